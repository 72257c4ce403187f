"""Runs over a folder: their results, and how they resume."""

from __future__ import annotations

import csv
import json
import math
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from disc_network import artifact, disc, scene, score_of
from PIL import Image

import ortcam
from ortcam import metrics
from ortcam.batch.dataset import collect
from ortcam.batch.journal import Record
from ortcam.batch.workers import CancelCheck, Stopped
from ortcam.errors import ArtifactError, ClassError, InputError, LayerError
from ortcam.evaluation.compare_artifacts import compare, correspondence
from ortcam.evaluation.measure_picture import measure
from ortcam.evaluation.metric_names import DEFAULT, METRICS
from ortcam.evaluation.options import checked_options
from ortcam.grids.resample import upsample

CHEAP = ("pointing", "energy", "overlap", "context", "concentration")
Small = Callable[..., Any]


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "metrics.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def lines(folder: Path) -> list[bytes]:
    return (folder / "journal.jsonl").read_bytes().splitlines()


def test_figures_are_those_of_the_maps(spotted: ortcam.Cam, folder: Path) -> None:
    out = folder / "out"
    ortcam.evaluate(
        spotted,
        folder / "pictures",
        out,
        truth=folder / "labels",
        methods=["grad-cam", "hires-cam"],
        metrics=CHEAP,
        tolerance=0,
    )
    results = {(r["picture"], r["method"], r["metric"]): float(r["value"]) for r in rows(out)}
    assert len(results) == len(rows(out)) == 3 * 2 * len(CHEAP)
    for i in range(3):
        path = folder / "pictures" / f"{i}.png"
        object = np.asarray(Image.open(folder / "labels" / f"{i}.png")) == 0
        for method in ("grad-cam", "hires-cam"):
            explanation = spotted.explain(path, "Spot", method=method)
            map = explanation.map()
            inside = map[object].sum() / map.sum()
            assert results[f"{i}.png", method, "energy"] == pytest.approx(inside, rel=1e-4)
            # The labels are what the network predicts here.
            assert results[f"{i}.png", method, "context"] == pytest.approx(1 - inside, abs=1e-5)
            gini = metrics.concentration(map)
            assert results[f"{i}.png", method, "concentration"] == pytest.approx(gini, rel=1e-4)
            overlap = metrics.overlap(map, object)
            assert results[f"{i}.png", method, "overlap"] == pytest.approx(overlap, rel=1e-4)
            highest = object[map == map.max()].mean()
            assert results[f"{i}.png", method, "pointing"] == pytest.approx(highest, rel=1e-4)


def test_a_method_that_sees_what_the_network_sees_ranks_first(
    spotted: ortcam.Cam, folder: Path
) -> None:
    """Grad-CAM has a single weight here, so its map is bright wherever the picture is."""
    results = ortcam.evaluate(
        spotted,
        folder / "pictures",
        folder / "out",
        methods=["grad-cam", "hires-cam"],
        metrics=DEFAULT,
        steps=6,
        tolerance=0,
    )
    means = {
        (line.metric, line.method): line.mean for line in results.summary.lines if not line.cls
    }
    for metric, good in (
        ("energy", 1),
        ("overlap", 1),
        ("deletion-score", -1),
        ("deletion-iou", -1),
        ("insertion-score", 1),
        ("insertion-iou", 1),
        ("road-score", 1),
        ("road-iou", 1),
    ):
        one, other = means[metric, "hires-cam"], means[metric, "grad-cam"]
        assert one is not None
        assert other is not None
        assert good * one > good * other, metric


def test_an_interrupted_run_resumes(
    spotted: ortcam.Cam, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(out: Path, **options: Any) -> None:
        ortcam.evaluate(spotted, folder / "pictures", out, steps=3, **options)

    run(folder / "whole")
    reports: list[int] = []

    def stop(done: int, total: int) -> None:
        reports.append(done)
        if len(reports) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(folder / "parts", progress=stop)
    assert len(lines(folder / "parts")) == 2
    assert {row["picture"] for row in rows(folder / "parts")} == {"0.png"}
    # A power cut in the middle of a line.
    with (folder / "parts" / "journal.jsonl").open("ab") as file:
        file.write(b'{"unit": "1.png", "rows": [["1.p')
    measured = []

    def counted(cam: Any, options: Any, item: Any, check: CancelCheck) -> Record:
        measured.append(item.name)
        return measure(cam, options, item, check)

    monkeypatch.setattr("ortcam.evaluation.run.measure", counted)
    run(folder / "parts", jobs=1)
    assert measured == ["1.png", "2.png"]
    for name in ("metrics.csv", "curves.csv"):
        assert (folder / "parts" / name).read_text() == (folder / "whole" / name).read_text()
    run(folder / "parts")
    assert measured == ["1.png", "2.png"]


def test_figures_do_not_depend_on_the_number_of_jobs(spotted: ortcam.Cam, folder: Path) -> None:
    for jobs in (1, 3):
        ortcam.evaluate(spotted, folder / "pictures", folder / str(jobs), steps=3, jobs=jobs)
    for name in ("metrics.csv", "curves.csv", "journal.jsonl"):
        assert (folder / "1" / name).read_bytes() == (folder / "3" / name).read_bytes()


def test_ctrl_c_does_not_wait_for_pictures_in_progress(
    spotted: ortcam.Cam, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Finished pictures are in the tables, and work on the others ends half way."""
    begun, half_way = threading.Event(), []

    def slow(cam: Any, options: Any, item: Any, check: CancelCheck) -> Record:
        if item.name == "0.png":
            assert begun.wait(10)
            return Record(item.name, notes=("done",))
        begun.set()
        try:
            for _ in range(1000):
                time.sleep(0.01)
                check()
        except Stopped:
            half_way.append(item.name)
            raise
        return Record(item.name)

    monkeypatch.setattr("ortcam.evaluation.run.measure", slow)

    def interrupt(done: int, total: int) -> None:
        if done == 1:
            raise KeyboardInterrupt

    start = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        ortcam.evaluate(spotted, folder / "pictures", folder / "out", jobs=2, progress=interrupt)
    assert time.monotonic() - start < 5
    assert "1.png" in half_way
    assert len(lines(folder / "out")) == 2
    assert (folder / "out" / "summary.json").is_file()


def test_work_on_a_picture_often_checks_for_cancellation(spotted: ortcam.Cam, folder: Path) -> None:
    """Before each class and layer, and after each of the curves, which take the longest."""
    options = checked_options(
        spotted,
        methods=["grad-cam", "hires-cam"],
        metrics=["deletion", "insertion", "road"],
        against=False,
        classes=None,
        layers=None,
        steps=2,
        tolerance=15,
        min_area=0.001,
        checks=1,
        stages=1,
        seed=0,
        size=None,
        inputs=None,
    )
    (item, *_) = collect(folder / "pictures", None)
    calls: list[None] = []
    measure(spotted, options, item, lambda: calls.append(None))
    assert len(calls) == 2 * (1 + 3)
    calls.clear()
    shared = correspondence(spotted, spotted, options)
    compare(spotted, spotted, shared, options, item, lambda: calls.append(None))
    assert len(calls) == 2


def test_a_run_with_other_options_does_not_resume(spotted: ortcam.Cam, folder: Path) -> None:
    def run(cam: ortcam.Cam = spotted, **options: Any) -> None:
        ortcam.evaluate(cam, folder / "pictures", folder / "out", metrics=CHEAP, **options)

    run()
    with pytest.raises(
        InputError, match=r"a different run \(options: .*start over with restart=True"
    ):
        run(seed=1)
    with pytest.raises(InputError, match=r"holds a different run \(truth: null there, "):
        run(truth=folder / "labels")
    other = ortcam.load(artifact(slope=5), providers="cpu")
    run(other)  # the same metadata and no file: indistinguishable
    (folder / "other.onnx").write_bytes(artifact(slope=5))
    with pytest.raises(InputError, match=r"holds a different run \(artifact: "):
        run(ortcam.load(folder / "other.onnx", "cpu"))
    run(seed=1, restart=True)
    assert len(lines(folder / "out")) == 4


@pytest.mark.parametrize(
    ("damage", "number"),
    [
        (b"{}\n", 1),
        (b"[1]\n", 1),
        (b"\xff\n", 1),
        (None, 2),
    ],
)
def test_a_damaged_journal_is_refused(
    spotted: ortcam.Cam, folder: Path, damage: bytes | None, number: int
) -> None:
    def run() -> None:
        ortcam.evaluate(spotted, folder / "pictures", folder / "out", metrics=CHEAP)

    run()
    journal = folder / "out" / "journal.jsonl"
    for bad in (damage,) if damage else (b'{"unit": 3}\n', b"[" * 9999 + b"\n", b"x\n"):
        if damage:
            journal.write_bytes(bad)
        else:
            journal.write_bytes(lines(folder / "out")[0] + b"\n" + bad)
        with pytest.raises(InputError, match=f"line {number} of .*is damaged"):
            run()


def test_figures_do_not_depend_on_what_came_before(spotted: ortcam.Cam, folder: Path) -> None:
    for limit in (1, 3):
        ortcam.evaluate(
            spotted,
            folder / "pictures",
            folder / f"{limit}",
            metrics=["road"],
            limit=limit,
            steps=3,
        )
    few, all = rows(folder / "1"), rows(folder / "3")
    assert few
    assert all[0]["picture"] == "0.png"
    assert [row for row in all if row["picture"] == few[0]["picture"]] == few


def test_pictures_that_cannot_be_evaluated_are_left_out(spotted: ortcam.Cam, folder: Path) -> None:
    (folder / "pictures" / "0.png").write_bytes(b"no picture")
    (folder / "labels" / "1.png").unlink()
    results = ortcam.evaluate(
        spotted, folder / "pictures", folder / "out", truth=folder / "labels", metrics=CHEAP
    ).summary
    assert results.done == 1
    (one, why), (other, because) = results.left_out
    assert (one, other) == ("0.png", "1.png")
    assert "not a picture" in why
    assert "has no label image" in because
    summary = json.loads((folder / "out" / "summary.json").read_text())
    assert [entry["picture"] for entry in summary["left_out"]] == ["0.png", "1.png"]
    assert summary["objects"] == "as labelled"


def test_a_class_that_is_not_there_is_not_evaluated(spotted: ortcam.Cam, folder: Path) -> None:
    Image.fromarray(np.zeros((24, 32, 3), np.uint8)).save(folder / "pictures" / "1.png")
    results = ortcam.evaluate(spotted, folder / "pictures", folder / "out", metrics=CHEAP).summary
    assert {line.pictures for line in results.lines} == {2}
    assert results.notes == [("the picture has none of the selected classes", 1)]


def test_a_map_that_shows_nothing_is_undefined(folder: Path) -> None:
    flat = ortcam.load(artifact(slope=0), providers="cpu")  # the score is 0.5 everywhere
    results = ortcam.evaluate(flat, folder / "pictures", folder / "out", metrics=DEFAULT).summary
    assert {(line.pictures, line.undefined, line.mean) for line in results.lines} == {(0, 3, None)}
    assert all(row["value"] == "" for row in rows(folder / "out"))
    assert any("all zero" in note for note, _ in results.notes)


def test_curves_are_in_their_table(spotted: ortcam.Cam, folder: Path) -> None:
    results = ortcam.evaluate(
        spotted, folder / "pictures", folder / "out", metrics=["deletion", "road"], steps=4
    ).summary
    with (folder / "out" / "curves.csv").open(newline="") as file:
        table = list(csv.DictReader(file))
    points = [
        (float(row["share"]), float(row["value"]))
        for row in table
        if (row["picture"], row["curve"]) == ("1.png", "deletion-score")
    ]
    assert [share for share, _ in points] == [0, 0.25, 0.5, 0.75, 1]
    area = metrics.area_under([v for _, v in points], [s for s, _ in points])
    (value,) = (
        float(row["value"])
        for row in rows(folder / "out")
        if (row["picture"], row["metric"]) == ("1.png", "deletion-score")
    )
    assert value == pytest.approx(area, rel=1e-4)
    mean = next(curve for curve in results.curves if curve.curve == "deletion-score")
    first = [
        float(r["value"]) for r in table if r["curve"] == "deletion-score" and r["share"] == "0.0"
    ]
    assert mean.values[0] == pytest.approx(np.mean(first), rel=1e-4)
    assert {row["curve"] for row in table} == {
        f"{name}-{what}"
        for name in ("deletion", "road-most", "road-least")
        for what in ("score", "iou")
    }


def test_layers_agree_as_their_maps_do(small: Small, rgb: Any, tmp_path: Path) -> None:
    cam = small().load()
    Image.fromarray(rgb).save(tmp_path / "picture.png")
    ortcam.evaluate(cam, tmp_path / "picture.png", tmp_path / "out", metrics=["layers"])
    results = rows(tmp_path / "out")
    assert results
    for row in results:
        assert (row["layer"], row["other"]) == ("early", "late")
        raw = cam.explain(rgb, row["class"]).raw
        maps = [upsample(raw[layer][0], rgb.shape[:2]) for layer in ("early", "late")]
        likeness = metrics.spearman if row["metric"] == "layers-spearman" else metrics.top_iou
        value = likeness(*maps)
        assert (math.isnan(value) and not row["value"]) or value == pytest.approx(
            float(row["value"]), rel=1e-4
        )


def test_channels_may_come_last(small: Small, rgb: Any, tmp_path: Path) -> None:
    Image.fromarray(rgb).save(tmp_path / "picture.png")
    tables = []
    for last in (False, True):
        out = tmp_path / str(last)
        cam = small(channels_last=last).load()
        ortcam.evaluate(cam, tmp_path / "picture.png", out, steps=2)
        tables.append(rows(out))
    assert len(tables[0]) > 20
    for one, other in zip(*tables, strict=True):
        assert {**one, "value": ""} == {**other, "value": ""}
        assert float(one["value"] or "nan") == pytest.approx(
            float(other["value"] or "nan"), rel=1e-3, abs=1e-4, nan_ok=True
        )


# ---- Two artifacts --------------------------------------------------------------------------


def test_an_artifact_against_itself_is_alike(spotted: ortcam.Cam, folder: Path) -> None:
    results = ortcam.evaluate(
        spotted, folder / "pictures", folder / "out", against=spotted, methods="hires-cam"
    ).summary
    means = {line.metric: line.mean for line in results.lines if not line.cls}
    assert means["against-difference"] == pytest.approx(0, abs=1e-6)
    for name in ("spearman", "pearson", "top-iou", "prediction"):
        assert means[f"against-{name}"] == pytest.approx(1, abs=1e-5)


def test_differences_are_measured(folder: Path) -> None:
    one = ortcam.load(artifact(), providers="cpu")
    other = ortcam.load(artifact(slope=20, layer="bright_DequantizeLinear_Output"), providers="cpu")
    ortcam.evaluate(one, folder / "pictures", folder / "out", against=other, methods="hires-cam")
    map, its = (
        cam.explain(folder / "pictures" / "0.png", "Spot", method="hires-cam").map()
        for cam in (one, other)
    )
    moved = np.abs(map / map.sum() - its / its.sum()).sum() / 2
    results = {r["metric"]: r for r in rows(folder / "out") if r["picture"] == "0.png"}
    assert float(results["against-difference"]["value"]) == pytest.approx(moved, rel=1e-4)
    assert moved > 0.01
    assert results["against-difference"]["layer"] == "bright"
    summary = json.loads((folder / "out" / "summary.json").read_text())
    assert "layer bright is compared with bright_DequantizeLinear_Output" in summary["matched"]
    assert summary["worst"]["against-difference"][0]["value"] == max(
        float(r["value"]) for r in rows(folder / "out") if r["metric"] == "against-difference"
    )


def test_artifacts_without_anything_in_common_are_refused(
    spotted: ortcam.Cam, small: Small, folder: Path
) -> None:
    foreign = ortcam.load(artifact(name="Blot"), providers="cpu")
    with pytest.raises(ClassError, match="no class in common: one has Spot and the other Blot"):
        ortcam.evaluate(spotted, folder / "pictures", folder / "out", against=foreign)
    from ortcam.artifact import Expectations

    several = small(expects=Expectations(classes=("Spot", "B", "C", "D"))).load()
    with pytest.raises(LayerError, match="no layer in common: one has bright and the other early"):
        ortcam.evaluate(spotted, folder / "pictures", folder / "out", against=several)
    with pytest.raises(InputError, match="leave metrics out"):
        ortcam.evaluate(
            spotted, folder / "pictures", folder / "out", against=spotted, metrics=["energy"]
        )


# ---- What is refused ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"metrics": ["enrgy"]}, "there is no metric 'enrgy'; the nearest is 'energy'"),
        ({"metrics": []}, "no metric given; choose from pointing, energy"),
        ({"methods": []}, "no method given; leave methods out for grad-cam"),
        ({"methods": ["grad"]}, "there is no method 'grad'"),
        ({"steps": 1}, "steps must be at least 2, got 1"),
        ({"tolerance": -1}, "tolerance must be at least 0, got -1"),
        ({"min_area": 2}, "min_area= must be a fraction of the picture, from 0 to 1, got 2"),
        ({"limit": 0}, "limit must be at least 1, got 0"),
        ({"metrics": ["gradient"]}, "was opened from memory; export it to a file first"),
    ],
)
def test_options_are_checked_before_the_work(
    spotted: ortcam.Cam, folder: Path, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        ortcam.evaluate(spotted, folder / "pictures", folder / "out", **options)
    assert not (folder / "out" / "metrics.csv").exists()


def test_what_does_not_fit_is_refused(spotted: ortcam.Cam, small: Small, folder: Path) -> None:
    with pytest.raises(ClassError, match="no class 'Spt'"):
        ortcam.evaluate(spotted, folder / "pictures", folder / "out", classes="Spt")
    with pytest.raises(LayerError, match="no layer 'dark'"):
        ortcam.evaluate(spotted, folder / "pictures", folder / "out", layers="dark")
    classifier = small(classifier=True).load()
    with pytest.raises(InputError, match=r"energy needs the class of each pixel.*choose other"):
        ortcam.evaluate(classifier, folder / "pictures", folder / "out", metrics="energy")
    with pytest.raises(InputError, match=r"gives no class to each pixel.*leave truth= out"):
        ortcam.evaluate(classifier, folder / "pictures", folder / "out", truth=folder / "pictures")
    with pytest.raises(ArtifactError, match="methods='hires-cam'"):
        ortcam.evaluate(small().load(), folder / "pictures", folder / "out", methods="hires-cam")
    (folder / "nothing").mkdir()
    with pytest.raises(InputError, match=r"no picture in .*nothing; files in a folder count"):
        ortcam.evaluate(spotted, folder / "nothing", folder / "out")
    with pytest.raises(InputError, match="holds no label image of any picture"):
        ortcam.evaluate(spotted, folder / "pictures", folder / "out", truth=folder / "nothing")


def test_every_metric_can_be_computed_alone(spotted: ortcam.Cam, folder: Path) -> None:
    for name in DEFAULT:
        results = ortcam.evaluate(
            spotted, folder / "pictures", folder / name, metrics=name, steps=2, limit=1
        ).summary
        figures = {line.metric for line in results.lines}
        assert figures == (set() if name == "layers" else set(METRICS[name]))  # there is one layer


def test_the_old_name_of_the_smallest_area_warns(spotted: ortcam.Cam, folder: Path) -> None:
    def run(name: str, **options: Any) -> bytes:
        ortcam.evaluate(spotted, folder / "pictures", folder / name, metrics=CHEAP, **options)
        return (folder / name / "metrics.csv").read_bytes()

    with pytest.warns(DeprecationWarning, match="least= is now min_area="):
        old = run("old", least=0.9)
    assert old == run("new", min_area=0.9) != run("default")


def test_the_old_name_of_the_metrics_module_warns() -> None:
    with pytest.warns(DeprecationWarning, match=r"ortcam\.evaluation\.metrics is now"):
        from ortcam.evaluation import metrics as old
    assert old is metrics
    with pytest.raises(AttributeError, match="no attribute 'metric'"):
        ortcam.evaluation.metric  # noqa: B018


def test_the_disc_is_what_the_network_sees() -> None:
    assert (score_of(scene()) >= 0.5)[~disc()].sum() == 0
