"""Explanations and segmentations, drawn and saved."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from results import Build, segmented

import ortcam
from ortcam import Cam, Explanation, Segmentation
from ortcam.drawing.overlay import paint_labels, paint_map
from ortcam.errors import ClassError, InputError, LayerError, OutputError
from ortcam.grids.resample import upsample


@pytest.fixture(scope="module")
def explain(small: Build) -> Callable[..., Explanation]:
    cam: Cam = small(seed=4).load()
    return cam.explain


@pytest.fixture
def explanation(explain: Callable[..., Explanation], rgb: NDArray[np.uint8]) -> Explanation:
    return explain(rgb, ["Tree", "Road"])


@pytest.fixture
def segmentation(explanation: Explanation) -> Segmentation:
    return segmented(explanation)


def test_the_maps_are_in_their_own_scale_and_one_by_one_the_same(explanation: Explanation) -> None:
    assert explanation.maps.shape == (2, 2, 22, 31)
    assert explanation.maps is explanation.maps
    for i, layer in enumerate(explanation.layers):
        for k, name in enumerate(explanation.classes):
            np.testing.assert_array_equal(explanation.map(name, layer), explanation.maps[i, k])
            assert explanation.maps[i, k].max() == pytest.approx(
                explanation.raw[layer][k].max(), rel=0.25
            )


def test_a_class_goes_by_name_or_the_networks_index(explanation: Explanation) -> None:
    np.testing.assert_array_equal(explanation.map(3, "late"), explanation.map("Tree", "late"))
    np.testing.assert_array_equal(explanation.map(1, "late"), explanation.map("Road", "late"))


def test_the_only_class_and_layer_need_no_names(
    explain: Callable[..., Explanation], rgb: NDArray[np.uint8]
) -> None:
    one = explain(rgb, "Road", "late")
    np.testing.assert_array_equal(one.map(), one.maps[0, 0])
    assert one.overlay().size == (31, 22)


def test_a_class_or_layer_that_is_not_explained_is_refused(explanation: Explanation) -> None:
    for question, error, message in (
        (("Car", "late"), ClassError, "class 'Car' is not explained: .* of Tree, Road"),
        ((0, "late"), ClassError, "class 0 is not explained"),
        ((None, "late"), ClassError, "name a class"),
        (("Road", "middle"), LayerError, "layer 'middle' is not explained: .*maps at early, late"),
        (("Road", None), LayerError, "name a layer"),
    ):
        with pytest.raises(error, match=message):
            explanation.map(*question)
        with pytest.raises(error, match=message):
            explanation.overlay(*question)


def test_an_overlay_is_coloured_over_the_maps_own_range(
    explanation: Explanation, rgb: NDArray[np.uint8]
) -> None:
    plane, top = explanation.map("Road", "late"), explanation.raw["late"][1].max()
    assert 0 < top != explanation.raw["late"].max()
    np.testing.assert_array_equal(
        np.asarray(explanation.overlay("Road", "late", alpha=0.3, colormap="jet", scale="own")),
        paint_map(rgb, plane, float(top), alpha=0.3, colormap="jet"),
    )


def test_an_overlay_on_a_shared_scale_goes_to_the_layers_greatest(
    explanation: Explanation, rgb: NDArray[np.uint8]
) -> None:
    top = float(explanation.raw["late"].max())
    assert explanation.top(1, "late", "shared") == explanation.top(0, "late", "shared") == top
    assert explanation.top(1, "late", "own") < top
    np.testing.assert_array_equal(
        np.asarray(explanation.overlay("Road", "late")),
        paint_map(rgb, explanation.map("Road", "late"), top),
    )


def test_a_scale_may_be_that_of_all_layers_none_or_a_number(
    explanation: Explanation, rgb: NDArray[np.uint8]
) -> None:
    tops = {layer: float(explanation.raw[layer].max()) for layer in explanation.layers}
    plane = explanation.map("Road", "late")
    scales: tuple[tuple[Any, float], ...] = (
        ("layers", max(tops.values())),
        ("none", 1.0),
        (0.25, 0.25),
        (np.float32(3), 3.0),
        ({"late": 7.0, "early": 1.0}, 7.0),
        (ortcam.common_scale([explanation]), tops["late"]),
    )
    for scale, top in scales:
        assert explanation.top(1, "late", scale) == pytest.approx(top)
        np.testing.assert_array_equal(
            np.asarray(explanation.overlay("Road", "late", scale=scale)),
            paint_map(rgb, plane, explanation.top(1, "late", scale)),
        )


def test_pictures_have_a_scale_in_common(
    explain: Callable[..., Explanation], rgb: NDArray[np.uint8]
) -> None:
    faint = np.full_like(rgb, 120)
    explanations = [explain(picture, ["Road", "Tree"]) for picture in (rgb, faint)]
    scale = ortcam.common_scale(iter(explanations))
    for layer in ("early", "late"):
        assert scale[layer] == max(e.raw[layer].max() for e in explanations)
    assert explanations[1].top(0, "late") < scale["late"]
    blank = dataclasses.replace(
        explanations[0], raw={k: 0 * v for k, v in explanations[0].raw.items()}
    )
    assert ortcam.common_scale([blank]) == {"early": 1.0, "late": 1.0}
    assert ortcam.common_scale([blank, explanations[0]])["late"] == explanations[0].top(0, "late")


def test_invalid_scales_are_refused(explanation: Explanation) -> None:
    for scale, message in (
        (0, "the scale must be a finite number above 0, got 0"),
        (-1.5, "above 0, got -1.5"),
        (float("nan"), "above 0, got nan"),
        ({"late": float("inf")}, "above 0, got inf"),
    ):
        with pytest.raises(InputError, match=message):
            explanation.overlay("Road", "late", scale=scale)
    with pytest.raises(LayerError, match="the scale has no value for layer 'early', only for late"):
        explanation.figure(scale={"late": 1.0})


def test_invalid_options_are_refused(explanation: Explanation, segmentation: Segmentation) -> None:
    for options, message in (
        ({"alpha": 1.5}, "alpha must be from 0 to 1, got 1.5"),
        ({"alpha": float("nan")}, "alpha must be from 0 to 1, got nan"),
        ({"colormap": "infrno"}, "no colour map 'infrno'; the nearest is 'inferno'"),
        ({"scale": "common"}, "no scale 'common'; give 'shared', 'own', 'layers', 'none', or"),
    ):
        with pytest.raises(InputError, match=message):
            explanation.overlay("Road", "late", **options)
        with pytest.raises(InputError, match=message):
            explanation.figure(**options)
    for draw in (segmentation.overlay, segmentation.figure):
        with pytest.raises(InputError, match="transparency must be from 0 to 1, got -1"):
            draw(-1)


def test_without_upsampling_the_maps_stay_at_their_layers_size(
    explain: Callable[..., Explanation], rgb: NDArray[np.uint8]
) -> None:
    one = explain(rgb, ["Road", "Sky"], upsample="none")
    np.testing.assert_array_equal(one.maps[1], one.raw["late"])
    assert one.maps.shape == (2, 2, 11, 16)
    nearest = upsample(one.raw["late"][0], (22, 31), "nearest")
    np.testing.assert_array_equal(
        np.asarray(one.overlay("Road", "late")),
        paint_map(rgb, nearest, float(one.raw["late"][0].max())),
    )


def test_maps_of_different_grids_fit_in_no_one_array(
    explanation: Explanation, tmp_path: Path
) -> None:
    raw = {"early": np.ones((2, 5, 5), np.float32), "late": np.ones((2, 3, 3), np.float32)}
    mixed = dataclasses.replace(explanation, raw=raw, upsampling="none")
    with pytest.raises(InputError, match=r"the layers' grids differ.*take them from raw"):
        _ = mixed.maps
    assert mixed.map("Road", "early").shape == (5, 5)
    mixed.save(tmp_path / "e.npz")
    with np.load(tmp_path / "e.npz", allow_pickle=False) as saved:
        assert "maps" not in saved.files
        assert saved["raw_1"].shape == (2, 3, 3)


def test_a_segmentation_is_laid_over_the_picture(
    segmentation: Segmentation, rgb: NDArray[np.uint8]
) -> None:
    expected = paint_labels(rgb, segmentation.labels, segmentation.colors, 0.4)
    np.testing.assert_array_equal(np.asarray(segmentation.overlay()), expected)
    wide = np.asarray(segmentation.overlay(legend=True))
    np.testing.assert_array_equal(wide[:22, :31], expected)
    assert wide.shape[1] > 60


def test_of_many_classes_a_legend_names_those_that_are_there(segmentation: Segmentation) -> None:
    assert segmentation.legend == (0, 1, 2, 3)
    score = np.zeros((100, 4, 5), np.float32)
    score[[7, 90], :, [1, 3]] = 1
    names = tuple(f"class {i}" for i in range(100))
    many = dataclasses.replace(
        segmentation, score=score, classes=names, colors=((0, 0, 0),) * 100, grid=(4, 5)
    )
    assert many.legend == (0, 7, 90)


# Saving


def test_an_explanation_comes_back_from_npz_without_pickles(
    explanation: Explanation, tmp_path: Path
) -> None:
    explanation.save(tmp_path / "e.npz")
    with np.load(tmp_path / "e.npz", allow_pickle=False) as file:
        saved = dict(file)
    np.testing.assert_array_equal(saved["maps"], explanation.maps)
    assert saved["maps"].dtype == np.float32
    assert saved["classes"].tolist() == ["Tree", "Road"]
    assert saved["class_indices"].tolist() == [3, 1]
    assert saved["layers"].tolist() == ["early", "late"]
    for i, layer in enumerate(explanation.layers):
        np.testing.assert_array_equal(saved[f"raw_{i}"], explanation.raw[layer])
        np.testing.assert_array_equal(saved[f"weights_{i}"], explanation.weights[layer])
    assert str(saved["upsampling"]) == "bicubic"
    assert "nothing rescaled" in str(saved["scale"])
    identity = json.loads(str(saved["artifact"]))
    assert identity["source_sha256"] == "ab" * 32
    assert (identity["score"], identity["format"]) == ("score", 1)


def test_a_segmentation_comes_back_from_npz(segmentation: Segmentation, tmp_path: Path) -> None:
    segmentation.save(tmp_path / "s.NPZ")
    with np.load(tmp_path / "s.NPZ", allow_pickle=False) as saved:
        np.testing.assert_array_equal(saved["labels"], segmentation.labels)
        np.testing.assert_array_equal(saved["score"], segmentation.score)
        assert saved["classes"].tolist() == ["Sky", "Road", "Car", "Tree"]
        assert saved["colors"].tolist()[1] == [128, 64, 128]
        assert json.loads(str(saved["artifact"]))["kind"] == "softmax"


def test_pictures_are_saved(
    explanation: Explanation, segmentation: Segmentation, tmp_path: Path
) -> None:
    segmentation.save(tmp_path / "s.png", transparency=0.7)
    with Image.open(tmp_path / "s.png") as image:
        expected = segmentation.overlay(0.7, legend=True)
        np.testing.assert_array_equal(np.asarray(image), np.asarray(expected))
    explanation.save(tmp_path / "e.png", colormap="jet", alpha=0.2, scale="shared")
    buffer = BytesIO()
    explanation.figure(colormap="jet", alpha=0.2, scale="shared").savefig(buffer, format="png")
    with Image.open(tmp_path / "e.png") as image, Image.open(buffer) as expected:
        np.testing.assert_array_equal(np.asarray(image), np.asarray(expected))


def test_a_path_that_cannot_be_written_is_found_before_the_drawing(
    explanation: Explanation,
    segmentation: Segmentation,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def drawn(*_: object, **__: object) -> None:
        raise AssertionError("it was drawn")

    monkeypatch.setattr(Explanation, "figure", drawn)
    monkeypatch.setattr(Segmentation, "overlay", drawn)
    formats = ".png, .jpg, .svg, .pdf"
    for result, listed in (
        (explanation, f"{formats}, .npz or .html"),
        (segmentation, f"{formats} or .npz"),
    ):
        for path, message in (
            (tmp_path / "out.gif", f"has no known format; name a {listed} file"),
            (tmp_path / "out", "has no known format"),
            (tmp_path / "none" / "out.png", "none does not exist"),
            (tmp_path / "none" / "out.npz", "none does not exist"),
        ):
            with pytest.raises(OutputError, match=message):
                result.save(path)
    with pytest.raises(OutputError, match=f"has no known format; name a {formats} or .npz file"):
        segmentation.save(tmp_path / "out.html")
    assert not list(tmp_path.iterdir())


def test_an_unknown_drawing_option_is_a_type_error(
    explanation: Explanation, tmp_path: Path
) -> None:
    options: Any = {"colour": "jet"}
    for call in (
        lambda: explanation.overlay("Road", "late", **options),
        lambda: explanation.figure(**options),
        lambda: explanation.save(tmp_path / "e.npz", **options),
    ):
        with pytest.raises(TypeError, match="'colour' is not a drawing option: alpha, colormap"):
            call()
    assert not list(tmp_path.iterdir())
