"""A survey's maps and numbers, against a separate export of each layer."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import Any

import networks
import numpy as np
import onnx
import pytest
from matplotlib.figure import Figure
from networks import Builder
from numpy.typing import NDArray
from onnx import TensorProto, numpy_helper
from PIL import Image

import ortcam
from ortcam import metrics
from ortcam.errors import ClassError, InputError, LayerError, OutputError, PictureError
from ortcam_export import Candidate, Survey, export, layers, survey
from ortcam_export.trials.inputs import scene

EXPECTED: dict[str, Any] = {"mean": 0.5, "std": 0.3, "classes": ["Sky", "Road", "Car", "Tree"]}


@pytest.fixture(scope="module")
def picture() -> np.ndarray[Any, np.dtype[np.uint8]]:
    return scene((40, 28), np.random.default_rng(5))


@pytest.fixture(scope="module")
def model() -> onnx.ModelProto:
    """A U-Net, in whose ``enc1`` two of six channels are dead."""
    made = networks.unet()
    for tensor in made.graph.initializer:
        if tensor.name in ("enc1_norm.scale", "enc1_norm.bias"):
            values = numpy_helper.to_array(tensor).copy()
            values[[1, 4]] = 0 if tensor.name.endswith("scale") else -1
            tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
    return made


@pytest.fixture(scope="module")
def surveyed(model: onnx.ModelProto, picture: Any) -> Survey:
    return survey(model, picture, "Road", **EXPECTED)


def named(found: Survey) -> dict[str, Candidate]:
    return {c.name: c for c in found.candidates}


def assert_alike(found: NDArray[np.float32], wanted: NDArray[np.float32]) -> None:
    """To float32's rounding of the map's largest value."""
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-5 * wanted.max())


def test_each_map_is_that_of_an_export(
    surveyed: Survey, model: onnx.ModelProto, picture: Any
) -> None:
    listed = [c.name for c in layers(model) if c.kind == "feature"]
    assert list(surveyed.maps) == listed
    for name in ("enc1_relu", "mid_relu", "cat1", "dec1_relu", "logits"):
        cam = ortcam.load(export(model, feature_layers=[name], verify=False, **EXPECTED).model)
        alone = cam.explain(picture, "Road")
        assert_alike(surveyed.maps[name], alone.raw[name][0])
        measured = named(surveyed)[name]
        assert measured.concentration == pytest.approx(
            metrics.concentration(alone.raw[name][0]), rel=1e-3
        )
        assert alone.segmentation is not None
        there = alone.segmentation.labels == 1
        np.testing.assert_array_equal(surveyed.predicted, there)
        assert measured.inside == pytest.approx(metrics.energy(alone.map(), there), rel=1e-3)


def test_dead_channels_are_counted(surveyed: Survey) -> None:
    found = named(surveyed)
    assert found["enc1_relu"].dead == pytest.approx(2 / 6)
    assert found["logits"].dead == 0


def test_facts_are_those_of_the_list(surveyed: Survey, model: onnx.ModelProto) -> None:
    none: dict[str, Any] = {"rank": None, "dead": None, "concentration": None, "inside": None}
    bare = [dataclasses.replace(c, is_empty=False, **none) for c in surveyed.candidates]
    assert bare == [dataclasses.replace(c, rank=None) for c in layers(model)]


def test_little_memory_takes_more_exports_and_gives_the_same(
    surveyed: Survey, model: onnx.ModelProto, picture: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    groups = []

    def counted(*arguments: Any, **options: Any) -> Any:
        groups.append(options["feature_layers"])
        return export(*arguments, **options)

    monkeypatch.setattr(sys.modules["ortcam_export.layers.survey"], "export", counted)
    told: list[tuple[int, int]] = []
    again = survey(
        model, picture, "Road", memory=40_000, progress=lambda *n: told.append(n), **EXPECTED
    )
    assert len(groups) > 2
    assert sum(groups, []) == list(surveyed.maps)  # noqa: RUF017
    for group in groups:
        taken = sum(4 * again.maps[n].size * (named(again)[n].channels or 0) for n in group)
        assert taken <= 40_000 or len(group) == 1, group
    assert told[-1] == (12, 12)
    for name, plane in surveyed.maps.items():
        assert_alike(again.maps[name], plane)


def test_an_artifact_is_looked_at_as_it_is(
    surveyed: Survey, model: onnx.ModelProto, picture: Any, tmp_path: Path
) -> None:
    path = tmp_path / "unet.cam.onnx"
    chosen = ["mid_relu", "dec1_relu"]
    export(model, path, feature_layers=chosen, verify=False, **EXPECTED)
    facts = [c for c in layers(path) if c.kind == "feature"]
    assert [(c.name, c.chosen) for c in facts] == [(name, True) for name in chosen]
    plain = {c.name: c for c in layers(model)}
    for candidate in facts:
        of_network = plain[candidate.name]
        for fact in ("stride", "receptive_field", "cost", "pooled", "channels", "reached"):
            assert getattr(candidate, fact) == getattr(of_network, fact), fact
    found = survey(path, picture, 1)
    for name in chosen:
        assert_alike(found.maps[name], surveyed.maps[name])
    with pytest.raises(InputError, match=r"description of its network; leave out mean=$"):
        survey(path, picture, 1, mean=0.5)
    with pytest.raises(InputError, match="is an artifact, whose score is 'probabilities'"):
        layers(path, score="logits")


def test_both_parts_of_an_artifact(model: onnx.ModelProto, picture: Any, tmp_path: Path) -> None:
    path = tmp_path / "unet.cam.onnx"
    export(model, path, feature_layers=["mid_relu"], verify=False, split=True)
    assert [c.name for c in layers(path)] == ["mid_relu", "probabilities"]
    assert list(survey(path, picture).maps) == ["mid_relu"]
    with pytest.raises(ortcam.ArtifactError):
        layers(tmp_path / "unet.cam.grad.onnx")


def test_without_a_class_it_is_the_one_seen_most(model: onnx.ModelProto, picture: Any) -> None:
    found = survey(model, picture, feature_layers=["dec1_relu"], **EXPECTED)
    cam = ortcam.load(export(model, verify=False, **EXPECTED).model)
    counts = np.bincount(cam.segment(picture).labels.ravel(), minlength=4)
    assert found.question == cam.classes[counts.argmax()]
    assert found.predicted is not None
    assert found.predicted.sum() == counts.max()
    assert f"{100 * counts.max() / counts.sum():.1f} %" in " ".join(found.notes)


def test_a_question_in_words(model: onnx.ModelProto, picture: Any) -> None:
    found = survey(model, picture, "Car - Road", feature_layers=["dec1_relu"], **EXPECTED)
    assert found.question == "Car - Road"
    cam = ortcam.load(export(model, verify=False, **EXPECTED).model)
    np.testing.assert_array_equal(found.predicted, cam.segment(picture).labels == 2)


def test_a_classifier_has_no_inside(picture: Any) -> None:
    found = survey(networks.classifier(), picture)
    assert found.predicted is None
    assert [c.inside for c in found.candidates if c.kind == "feature"] == [None, None]
    assert named(found)["b_relu"].concentration is not None


def test_an_empty_map_ranks_behind_the_others(picture: Any) -> None:
    g = Builder(0)
    a = g.block("input", 3, 6, "a")
    zero = g.constant("zero", np.zeros((1, 6, 1, 1)), np.float32)
    b = g.relu(g.node("Mul", [g.conv(a, 6, 6, "b"), zero], "off"), "b_relu")
    c = g.block(g.node("Add", [a, b], "sum"), 6, 6, "c")
    g.node("Softmax", [g.conv(c, 6, 4, "logits", k=1)], "probabilities", axis=1)
    model = g.model({"probabilities": (TensorProto.FLOAT, ["N", 4, "H", "W"])})
    found = named(survey(model, picture, 1))
    assert [n for n, c in found.items() if c.is_empty] == ["b", "b_relu"]
    assert found["b_relu"].dead == 1
    assert found["b_relu"].concentration is None
    places = sorted((c.rank, n) for n, c in found.items() if c.rank)
    assert [n for _, n in places][-3:] == ["b_relu", "b", "logits"]


def test_a_layer_that_gives_no_map_is_left_out_and_noted(picture: Any) -> None:
    """Patches with rows and columns of their own have four axes of space."""
    g = Builder(0)
    a = g.block("input", 3, 8, "a")
    patches = g.node("Reshape", [a, g.constant("apart", [0, 8, 7, 4, 10, 4])], "patches")
    six = g.relu(patches, "six_relu")
    back = g.node("Reshape", [six, g.constant("back", [0, 8, 28, 40])], "together")
    b = g.block(back, 8, 8, "b")
    g.node("Softmax", [g.conv(b, 8, 4, "logits", k=1)], "probabilities", axis=1)
    model = g.model(
        {"probabilities": (TensorProto.FLOAT, [1, 4, 28, 40])},
        {"input": (TensorProto.FLOAT, [1, 3, 28, 40])},
    )
    assert "six_relu" in {c.name for c in layers(model)}
    found = survey(model, picture, 1)
    assert list(found.maps) == ["a_relu", "b_relu", "logits"]
    (note,) = (note for note in found.notes if "six_relu" in note)
    assert note.startswith("six_relu gives no map: layer 'six_relu' has features of [1, 8, 7, 4,")
    with pytest.raises(LayerError, match="choose a layer with rows and columns"):
        survey(model, picture, 1, feature_layers=["six_relu"])


def test_what_is_wrong_is_said(model: onnx.ModelProto, picture: Any, tmp_path: Path) -> None:
    with pytest.raises(ClassError, match="there is no class 'Roof'"):
        survey(model, picture, "Roof", **EXPECTED)
    with pytest.raises(LayerError, match="no layer 'dec1' is listed; the nearest"):
        survey(model, picture, feature_layers=["dec1"])
    with pytest.raises(PictureError):
        survey(model, tmp_path / "none.png")
    with pytest.raises(InputError, match="mean"):
        survey(model, picture, mean=[1.0, 2.0])


# ---- Figures --------------------------------------------------------------------------------


def titles(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.texts if text.get_fontweight() == "bold"]


def test_pages_hold_every_map_in_order(surveyed: Survey) -> None:
    (page,) = surveyed.figures()
    ranked = sorted((c for c in surveyed.candidates if c.rank), key=lambda c: c.rank or 0)
    assert titles(page) == [f"{c.rank}  {c.name}" for c in ranked]
    assert len(page.axes) == 12
    pages = surveyed.figures(order="depth", most=5)
    assert [len(p.axes) for p in pages] == [4, 4, 4]
    names = [title.split()[1] for p in pages for title in titles(p)]
    assert names == list(surveyed.maps)
    with pytest.raises(InputError, match="there is no order"):
        surveyed.figures(order="size")


@pytest.mark.parametrize("shape", [(28, 40), (40, 9), (9, 40)])
def test_nothing_is_drawn_over_something_else(surveyed: Survey, shape: tuple[int, int]) -> None:
    """Whatever the picture's shape, and however long the layers' names."""
    named = tuple(
        dataclasses.replace(c, name=f"/{c.name}/layer.{i}/$block/relu/Relu_output_0", rank=i)
        for i, c in enumerate(surveyed.candidates[:-1])
    )
    long = dataclasses.replace(
        surveyed,
        candidates=named,
        maps={c.name: surveyed.maps["mid_relu"] for c in named},
        picture=np.zeros((*shape, 3), np.uint8),
        predicted=np.ones(shape, bool),
    )
    (page,) = long.figures()
    page.canvas.draw()
    boxes = [axes.get_window_extent() for axes in page.axes]
    boxes += [text.get_window_extent() for text in page.texts]
    for i, box in enumerate(boxes):
        assert page.bbox.x0 <= box.x0
        assert box.x1 <= page.bbox.x1
        assert page.bbox.y0 <= box.y0
        for other in boxes[:i]:
            apart = box.x1 <= other.x0 or other.x1 <= box.x0
            assert apart or box.y1 <= other.y0 + 1 or other.y1 <= box.y0 + 1


def test_long_names_are_told_apart(surveyed: Survey) -> None:
    """In two lines, as the middle of a path is where PyTorch's layers differ."""
    renamed = tuple(
        dataclasses.replace(c, name=f"/encoder/layer{i}/layer{i}.1/relu_1/Relu_output_0")
        for i, c in enumerate(surveyed.candidates[:-1])
    )
    long = dataclasses.replace(
        surveyed, candidates=renamed, maps={c.name: surveyed.maps["mid_relu"] for c in renamed}
    )
    (page,) = long.figures(order="depth")
    shown = titles(page)
    for i in range(len(renamed)):
        assert any(f"/encoder/layer{i}/layer{i}" in title for title in shown), shown
    assert shown.count("relu_1/Relu_output_0") == len(renamed)


def test_files(surveyed: Survey, tmp_path: Path) -> None:
    assert surveyed.save(tmp_path / "one.png") == [tmp_path / "one.png"]
    written = surveyed.save(tmp_path / "all.png", most=6)
    assert [path.name for path in written] == ["all.png", "all-2.png"]
    for path in written:
        with Image.open(path) as image:
            assert image.width > 500
    with pytest.raises(OutputError, match=r"all\.npz is a file of arrays"):
        surveyed.save(tmp_path / "all.npz")
    with pytest.raises(OutputError, match="does not exist"):
        surveyed.save(tmp_path / "none" / "all.png")
