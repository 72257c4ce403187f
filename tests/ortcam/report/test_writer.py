"""The content of a report, and that it is written whole or not at all."""

from __future__ import annotations

import gc
import re
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from reports import CLASSES, PICTURES, TITLE, Read, blocks, plane, waves
from results import Build, segmented

import ortcam
from ortcam import Explanation
from ortcam.artifact import Expectations, Preprocessing
from ortcam.errors import InputError, OutputError
from ortcam.grids.labels import NONE
from ortcam.grids.resample import upsample


def write_report(path: Path, explanation: Explanation, **options: Any) -> str:
    with ortcam.Report(path, **options) as report:
        report.add(explanation)
    return path.read_text(encoding="utf-8")


def test_no_name_becomes_markup(report: Path) -> None:
    read = Read(report.read_text(encoding="utf-8"))
    tags = [tag for tag, _ in read.tags]
    assert tags.count("script") == 2 + len(PICTURES)  # the settings, the pictures, the page's own
    assert tags.count("img") == len(PICTURES)
    assert tags.count("b") == 0
    assert not [name for _, attributes in read.tags for name in attributes if name[:2] == "on"]
    assert not [attributes for _, attributes in read.tags if "style" in attributes]
    for text in (*CLASSES, *PICTURES, TITLE):
        assert text in read.text


def test_the_data_are_the_explanation(
    report: Path, explanations: tuple[Explanation, Explanation]
) -> None:
    for data, explanation, name in zip(blocks(report), explanations, PICTURES, strict=True):
        height, width = explanation.grid
        assert data["name"] == name
        assert (data["full"], data["width"], data["height"]) == ([width, height], width, height)
        codes = plane(data["labels"], width).reshape(2, height, width)
        names = np.array([None, *(c["name"] for c in data["classes"])])[codes[0] + 256 * codes[1]]
        expected = np.array(CLASSES)[segmented(explanation).labels]
        np.testing.assert_array_equal(names, expected)
        scores = data["scores"]
        step = (scores["high"] - scores["low"]) / 255
        values = scores["low"] + plane(scores["plane"], width) * step
        assert segmented(explanation).score.shape[1:] != explanation.grid
        best = np.max(
            [
                np.asarray(Image.fromarray(p).resize((width, height), Image.Resampling.BILINEAR))
                for p in segmented(explanation).score
            ],
            axis=0,
        )
        np.testing.assert_allclose(values, best, atol=0.51 * step + 1e-6)
        assert [(m["layer"], m["class"]) for m in data["maps"]] == [
            (layer, c) for layer in ("early", "late") for c in explanation.classes
        ]
        for entry in data["maps"]:
            position = explanation.classes.index(entry["class"])
            raw = explanation.raw[entry["layer"]]
            most = max(float(r.max()) for r in explanation.raw.values())
            for scale, top in {
                "own": raw[position].max(), "shared": raw.max(), "layers": most, "none": 1
            }.items():  # fmt: skip
                plain, signed = entry["ranges"][scale]
                assert plain == pytest.approx([0, top])
                assert signed == pytest.approx([-top, top])
            assert (entry["low"], entry["high"]) == (0, entry["ranges"]["own"][0][1])
            step = entry["high"] / 255
            expected = np.minimum(upsample(raw[position], explanation.grid), entry["high"])
            np.testing.assert_allclose(
                plane(entry["plane"], width) * step, expected, atol=0.51 * step
            )


def test_the_numbers_are_counted(explanations: tuple[Explanation, ...], tmp_path: Path) -> None:
    explanation = explanations[0]
    html = write_report(tmp_path / "r.html", explanation)
    labels = segmented(explanation).labels
    shares = sorted(np.bincount(labels.ravel(), minlength=4) / labels.size, reverse=True)
    body = html.split("<tbody>")[1].split("</tbody>")[0]
    cells = re.findall(r"<td>([\d.]+)\u00a0%</td><td>([\d.]+|-)</td>", body)
    assert len(cells) == 4
    for (percent, score), share in zip(cells, shares, strict=True):
        assert float(percent) == pytest.approx(100 * share, abs=0.51)
        assert score == "-" if share == 0 else 0.25 <= float(score) <= 1
    (tree,) = (m for m in blocks(tmp_path / "r.html")[0]["maps"] if m["class"] == "Tree" and
               m["layer"] == "late")  # fmt: skip
    maps = explanation.map("Tree", "late")
    row, column = np.unravel_index(maps.argmax(), maps.shape)
    inside = 100 * maps[labels == 3].sum() / maps.sum()
    assert f"Maximum at column {column}, row {row}." in tree["description"]
    match = re.search(
        r"([\d.]+)\u00a0% of the map lies on pixels predicted as Tree", tree["description"]
    )
    assert match is not None
    assert float(match[1]) == pytest.approx(inside, abs=0.51)


def test_the_artifact_is_described(explanations: tuple[Explanation, ...], tmp_path: Path) -> None:
    import onnxruntime

    html = write_report(tmp_path / "r.html", explanations[0], about={"file": "a.cam.onnx"})
    description = dict(re.findall(r"<dt>(.*?)</dt><dd>(.*?)</dd>", html))
    assert description["file"] == "a.cam.onnx"
    assert description["ortcam"] == ortcam.__version__
    assert description["onnxruntime"] == onnxruntime.__version__
    assert description["feature layers"] == "early, late"
    assert description["reduction layer"] == "score (softmax)"
    assert description["verification"] == "skipped"
    assert description["mean"] == "0.4, 0.5, 0.6"
    assert description["engine"] == "ortcam, for onnxruntime"
    assert description["network&#x27;s SHA-256"] == "ab" * 32


def test_the_same_is_written_again(explanations: tuple[Explanation, ...], tmp_path: Path) -> None:
    pages = [write_report(tmp_path / f"{i}.html", explanations[0]) for i in range(2)]
    assert pages[0] == pages[1]


# Whole or not at all


def test_what_fails_leaves_what_was_there(
    explanations: tuple[Explanation, ...], tmp_path: Path
) -> None:
    (tmp_path / "r.html").write_text("before")

    def fail() -> None:
        with ortcam.Report(tmp_path / "r.html") as report:
            report.add(explanations[0])
            raise KeyError("x")

    with pytest.raises(KeyError):
        fail()
    with (
        pytest.raises(InputError, match="because no picture was added"),
        ortcam.Report(tmp_path / "r.html"),
    ):
        pass
    assert (tmp_path / "r.html").read_text() == "before"
    assert len(list(tmp_path.iterdir())) == 1
    with pytest.raises(OutputError, match="none does not exist"):
        ortcam.Report(tmp_path / "none" / "r.html")


def test_invalid_options_are_refused(
    small: Build, explanations: tuple[Explanation, ...], tmp_path: Path
) -> None:
    path = tmp_path / "r.html"
    with pytest.raises(InputError, match="alpha must be from 0 to 1, got 2"):
        ortcam.Report(path, alpha=2)
    with pytest.raises(InputError, match="no colour map 'jett'; the nearest"):
        ortcam.Report(path, colormap="jett")
    with pytest.raises(InputError, match="no scale 'mine'; give 'shared'"):
        ortcam.Report(path, scale="mine")
    with pytest.raises(InputError, match="add pictures in a with block"):
        ortcam.Report(path).add(explanations[0])
    with pytest.raises(InputError, match="a picture has no slices"):
        write_report(path, explanations[0], slice=1)
    other = small(seed=5).load().explain(waves(40, 30), 0)

    def two() -> None:
        with ortcam.Report(path) as report:
            report.add(explanations[0])
            report.add(other)

    with pytest.raises(InputError, match="a report is about one artifact"):
        two()
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_pictures_do_not_gather_in_memory(
    explanations: tuple[Explanation, ...], tmp_path: Path
) -> None:
    peaks = []
    for count in (1, 1, 12):
        tracemalloc.start()
        with ortcam.Report(tmp_path / "r.html") as report:
            for _ in range(count):
                report.add(explanations[0])
                gc.collect()  # of what Pillow leaves in circles
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert len(blocks(tmp_path / "r.html")) == 12
    assert peaks[2] < peaks[1] + (tmp_path / "r.html").stat().st_size / 4


# Other kinds of networks and pictures


def test_a_classifier_has_scores(small: Build, tmp_path: Path) -> None:
    explanation = small(seed=4, classifier=True).load().explain(waves(40, 30), ["Road", "Car"])
    html = write_report(tmp_path / "r.html", explanation)
    assert "Segmentation</h3>" not in html
    rows = re.findall(r"<bdi>(\w+)</bdi></th><td>([\d.e-]+)</td>", html)
    order = np.argsort(-explanation.score)
    assert [name for name, _ in rows] == [("Sky", "Road", "Car", "Tree")[i] for i in order]
    np.testing.assert_allclose([float(s) for _, s in rows], explanation.score[order], rtol=5e-3)
    assert html.count("<img") == 1
    assert "labels" not in blocks(tmp_path / "r.html")[0]


def test_pixels_of_no_class_are_counted(small: Build, tmp_path: Path) -> None:
    explanation = small(seed=7, kind="sigmoid").load().explain(waves(40, 30), ["Road"])
    share = (segmented(explanation).labels == NONE).mean()
    assert 0 < share < 1
    html = write_report(tmp_path / "r.html", explanation)
    match = re.search(r"no class</th><td>([\d.]+)\u00a0%</td><td>-</td>", html)
    assert match is not None
    assert float(match[1]) == pytest.approx(100 * share, abs=0.51)


def test_a_map_that_shows_nothing_is_explained(small: Build, tmp_path: Path) -> None:
    explanation = small(seed=4, factor=0.0).load().explain(waves(40, 30), ["Road", "Car"])
    blank = {n.split(" is ")[0]: n for n in explanation.notes if "all zero" in n}
    assert blank
    html = write_report(tmp_path / "r.html", explanation)
    assert html.count("<small>all zero</small>") == len(blank)
    for entry in blocks(tmp_path / "r.html")[0]["maps"]:
        note = blank.get(f"the map of {entry['class']} at {entry['layer']}")
        if note:
            assert entry["description"] == f"The map is {note.split(' is ', 1)[1]}."
            assert entry["ranges"]["own"][0] == [0, 0]
    for note in blank.values():
        assert f"<li>{note[0].upper()}{note[1:]}.</li>" in html


def test_many_classes_name_those_in_the_picture(small: Build, tmp_path: Path) -> None:
    explanation = (
        small(seed=4, classes=40, expects=Expectations(preprocess=Preprocessing()))
        .load()
        .explain(waves(40, 30))
    )
    data = (write_report(tmp_path / "r.html", explanation), blocks(tmp_path / "r.html")[0])[1]
    there = np.unique(segmented(explanation).labels)
    assert sorted(c["name"] for c in data["classes"]) == sorted(f"class {i}" for i in there)


def test_a_large_picture_is_shown_smaller(small: Build, tmp_path: Path) -> None:
    explanation = (
        small(seed=4).load().explain(waves(3200, 50), ["Road"], size=(64, 32), upsample="none")
    )
    html = write_report(tmp_path / "r.html", explanation)
    data = blocks(tmp_path / "r.html")[0]
    assert (data["full"], data["width"], data["height"]) == ([3200, 50], 1600, 25)
    assert "3200x50 pixels, shown at 1600x25" in html
    assert "on the layers" in html


def test_a_tensor_has_no_picture(cam: ortcam.Cam, tmp_path: Path) -> None:
    tensor = cam.preprocess(waves(40, 30))
    html = write_report(tmp_path / "r.html", cam.explain(tensor=tensor, classes=[3]))
    assert "<img" not in html
    assert "Picture 1" in html
