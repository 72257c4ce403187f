"""Figures: the content of each panel, and that nothing overlaps."""

from __future__ import annotations

import dataclasses
import itertools
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from results import Build, segmented

import ortcam
from ortcam import Cam
from ortcam.drawing.colormap import table

pytest.importorskip("matplotlib")

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from ortcam.drawing.figures import ColorBar, Panel, panels_figure, wrap


@pytest.fixture(scope="module")
def cam(small: Build) -> Cam:
    cam: Cam = small(seed=4).load()
    return cam


def titles(figure: Figure) -> list[str]:
    return [axes.get_title() for axes in figure.axes if axes.get_title()]


def picture(figure: Figure, title: str) -> NDArray[Any]:
    (axes,) = (axes for axes in figure.axes if axes.get_title() == title)
    return np.asarray(axes.images[0].get_array())


def check_layout(figure: Figure) -> None:
    """Check that nothing overlaps or crosses the figure's edge."""
    figure.set_dpi(70)  # faster than 200, and good enough here
    renderer: Any = FigureCanvasAgg(figure).get_renderer()  # type: ignore[no-untyped-call]
    figure.draw(renderer)
    boxes: list[Any] = [axes.get_tightbbox(renderer) for axes in figure.axes]
    width, height = figure.canvas.get_width_height()
    for box in boxes:
        assert box.x0 >= 0
        assert box.y0 >= 0
        assert box.x1 <= width
        assert box.y1 <= height
    for one, other in itertools.combinations(boxes, 2):
        apart = max(one.x0 - other.x1, other.x0 - one.x1, one.y0 - other.y1, other.y0 - one.y1)
        assert apart > -1  # a pixel, for rounding


@pytest.mark.parametrize(
    ("shape", "count", "columns"),
    [
        ((22, 31), 2, [2]),
        ((22, 31), 3, [3]),
        ((20, 90), 3, [1, 1, 1]),
        ((22, 31), 4, [2, 2]),
        ((22, 31), 7, [3, 3, 1]),
        ((22, 31), 10, [4, 4, 2]),
    ],
)
def test_panels_are_wrapped_into_rows(
    shape: tuple[int, int], count: int, columns: list[int]
) -> None:
    image = np.zeros((*shape, 3), np.uint8)
    panels = [Panel(title=str(i), image=image) for i in range(count)]
    rows = wrap(panels)
    assert [len(row) for row in rows] == columns
    assert [panel for row in rows for panel in row] == panels
    bar = ColorBar(colormap="jet", limits=(-1.0, 2.0))
    figure = panels_figure(rows, [bar, *[None] * (len(rows) - 1)])
    assert titles(figure) == [str(i) for i in range(count)]
    (axes,) = (axes for axes in figure.axes if not axes.get_title())
    assert axes.get_ylim() == (-1, 2)
    check_layout(figure)


def test_a_segmentation_beside_the_names_of_its_classes(cam: Cam, rgb: NDArray[np.uint8]) -> None:
    names = ("Sky", "Road", "Wide Motor Vehicle", "Tree")
    segmentation = dataclasses.replace(cam.segment(rgb), classes=names)
    figure = segmentation.figure()
    shown, bar = figure.axes
    np.testing.assert_array_equal(shown.images[0].get_array(), segmentation.overlay())
    assert [label.get_text() for label in bar.get_yticklabels()] == list(names)
    assert np.asarray(bar.images[0].get_array())[:, 0].tolist() == [list(c) for c in cam.colors]
    check_layout(figure)


def test_two_classes_at_one_layer_are_two_by_two(cam: Cam, rgb: NDArray[np.uint8]) -> None:
    explanation = cam.explain(rgb, ["Road", "Tree"], "late")
    figure = explanation.figure(colormap="jet", scale="own", contours=False)
    assert titles(figure) == ["Picture", "Segmentation", "Grad-CAM: Road", "Grad-CAM: Tree"]
    np.testing.assert_array_equal(picture(figure, "Picture"), rgb)
    np.testing.assert_array_equal(picture(figure, "Segmentation"), segmented(explanation).overlay())
    for name in ("Road", "Tree"):
        np.testing.assert_array_equal(
            picture(figure, f"Grad-CAM: {name}"),
            explanation.overlay(name, colormap="jet", scale="own"),
        )
    lefts = [round(axes.get_position().x0, 3) for axes in figure.axes if axes.get_title()]
    assert lefts[0] == lefts[2] < lefts[1] == lefts[3]
    bars = [axes for axes in figure.axes if not axes.get_title()]
    assert [t.get_text() for t in bars[0].get_yticklabels()] == list(cam.classes)
    assert [t.get_text() for t in bars[1].get_yticklabels()] == ["0", "max"]
    np.testing.assert_array_equal(np.asarray(bars[1].images[0].get_array())[:, 0], table("jet"))
    check_layout(figure)


def test_a_shared_scale_has_numbers(cam: Cam, rgb: NDArray[np.uint8]) -> None:
    explanation = cam.explain(rgb, ["Road", "Tree"], "late")
    figure = explanation.figure(contours=False)
    np.testing.assert_array_equal(picture(figure, "Grad-CAM: Road"), explanation.overlay("Road"))
    (*_, bar) = (axes for axes in figure.axes if not axes.get_title())
    top = explanation.raw["late"].max()
    low, high = bar.get_ylim()
    assert low == 0
    assert high == pytest.approx(top)
    ticks = [float(t.get_text()) for t in bar.get_yticklabels()]
    assert len(ticks) >= 3
    assert ticks == pytest.approx(bar.get_yticks().tolist(), rel=0.01)
    assert max(ticks) <= top
    check_layout(figure)


def test_several_layers_are_rows_from_early_to_late(cam: Cam, rgb: NDArray[np.uint8]) -> None:
    explanation = cam.explain(rgb, ["Road", "Tree"], ["late", "early"])
    assert explanation.layers == ("late", "early")
    figure = explanation.figure(contours=False)
    assert titles(figure) == [
        f"Grad-CAM: {name}"
        for name in ("Road (early)", "Tree (early)", "Road (late)", "Tree (late)")
    ]
    artifact = explanation.artifact
    turned = dataclasses.replace(artifact, layers=artifact.layers[::-1])
    figure_of_turned = dataclasses.replace(explanation, artifact=turned).figure()
    assert titles(figure_of_turned) == titles(figure)[2:] + titles(figure)[:2]
    np.testing.assert_array_equal(
        picture(figure, "Grad-CAM: Tree (early)"), explanation.overlay("Tree", "early")
    )
    tops = [axes.get_position().y1 for axes in figure.axes if axes.get_title()]
    assert tops[0] == tops[1] > tops[2] == tops[3]
    check_layout(figure)
    bars = [axes for axes in figure.axes if not axes.get_title()]
    expected = [explanation.raw[layer].max() for layer in ("early", "late")]
    assert [bar.get_ylim()[1] for bar in bars] == pytest.approx(expected)
    apart = explanation.figure(scale="own")
    (bar,) = (axes for axes in apart.axes if not axes.get_title())
    assert [t.get_text() for t in bar.get_yticklabels()] == ["0", "max"]
    check_layout(apart)


def texts(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.texts]


def test_outlines_are_fine_and_named(cam: Cam, rgb: NDArray[np.uint8]) -> None:
    box = ortcam.Box(3, 4, 20, 15)
    explanation = cam.explain(rgb, ["Road", ortcam.about("Tree").over(box)], "late")
    figure = explanation.figure()
    check_layout(figure)
    assert texts(figure) == [
        "pixels predicted as the class",
        "region asked about",
    ]
    shown = picture(figure, "Grad-CAM: Road")
    times = shown.shape[0] // 22
    assert shown.shape == (22 * times, 31 * times, 3)
    assert times > 10
    white = (shown == 255).all(axis=2)
    assert 0 < white.mean() < 0.03  # a line is one of these pixels wide, not one of the picture's
    inside = segmented(explanation).labels == 1
    assert not white[~inside.repeat(times, 0).repeat(times, 1)].any()
    everywhere = cam.explain(rgb, ["Road", "Tree"], ["early", "late"])
    assert texts(everywhere.figure()) == ["pixels predicted as the class"]
    check_layout(everywhere.figure())
    assert texts(everywhere.figure(contours=False)) == []
    assert (
        everywhere.figure(contours=False).get_size_inches()[1]
        < (everywhere.figure().get_size_inches()[1])
    )


def test_one_class_is_one_row_with_bar_and_legend(cam: Cam, rgb: NDArray[np.uint8]) -> None:
    figure = cam.explain(rgb, "Road", "late").figure()
    shown = [axes for axes in figure.axes if axes.get_title()]
    assert len({round(axes.get_position().y0, 3) for axes in shown}) == 1
    bar, legend = (axes for axes in figure.axes if not axes.get_title())
    assert [t.get_text() for t in legend.get_yticklabels()] == list(cam.classes)
    assert bar.get_position().x0 < legend.get_position().x0
    check_layout(figure)
    wide = cam.explain(np.zeros((20, 90, 3), np.uint8), "Road", "late").figure()
    lefts = {round(axes.get_position().x0, 3) for axes in wide.axes if axes.get_title()}
    assert len(lefts) == 1
    check_layout(wide)


def test_a_number_s_scale_is_that_of_the_bar(cam: Cam, rgb: NDArray[np.uint8]) -> None:
    explanation = cam.explain(rgb, ["Road", "Tree"], ["early", "late"])
    figure = explanation.figure(scale={"early": 3.0, "late": 0.5})
    bars = [axes for axes in figure.axes if not axes.get_title()]
    assert [bar.get_ylim() for bar in bars] == [(0, 3.0), (0, 0.5)]
    check_layout(figure)


@pytest.mark.parametrize("shape", [(22, 31), (60, 20), (8, 200), (120, 90)])
@pytest.mark.parametrize("classes", [1, 4])
def test_panels_keep_the_pictures_shape(cam: Cam, shape: tuple[int, int], classes: int) -> None:
    photo = np.random.default_rng(0).integers(0, 256, (*shape, 3), np.uint8)
    explanation = cam.explain(photo, list(range(classes)))
    one = cam.explain(photo, list(range(classes)), "late")
    for figure in (explanation.figure(), one.figure(), segmented(one).figure()):
        check_layout(figure)
        width, height = figure.get_size_inches()
        assert max(width, height) < 40
        box = figure.axes[0].get_position()
        aspect = (box.height * height) / (box.width * width)
        limited = max(shape) / min(shape) > 20
        assert limited or aspect == pytest.approx(shape[0] / shape[1], rel=0.01)


def test_a_large_photograph_is_made_smaller_in_its_panel(cam: Cam) -> None:
    photo = np.zeros((1500, 2000, 3), np.uint8)
    photo[:, 1000:] = 200
    figure = cam.explain(photo, "Road", "late", size=(31, 22)).figure()
    shown = picture(figure, "Picture")
    assert max(shown.shape) < 2000
    assert shown.shape[1] / shown.shape[0] == pytest.approx(4 / 3, rel=0.01)
    assert [shown[5, 5, 0], shown[5, -5, 0]] == [0, 200]
    box = figure.axes[0].get_position()
    width, height = figure.get_size_inches()
    assert box.width * width / (box.height * height) == pytest.approx(4 / 3, rel=0.01)


def renamed(explanation: Any, *classes: str) -> Any:
    return dataclasses.replace(explanation, classes=classes)


def test_names_are_shown_as_they_stand_and_long_ones_are_cut(
    cam: Cam, rgb: NDArray[np.uint8]
) -> None:
    explanation = cam.explain(rgb, ["Road", "Tree"], "late")
    figure = renamed(explanation, "$x^2$ \\frac", "a very long name " * 9).figure()
    shown = titles(figure)
    assert shown[2] == r"Grad-CAM: \$x^2\$ \frac"
    assert shown[3].startswith("Grad-CAM: a ver")
    assert "…" in shown[3]
    check_layout(figure)


def test_a_map_that_is_all_zero_is_marked(cam: Cam, rgb: NDArray[np.uint8]) -> None:
    explanation = cam.explain(rgb, ["Road", "Tree"], "late")
    raw = {"late": explanation.raw["late"] * np.array([1, 0], np.float32)[:, None, None]}
    figure = dataclasses.replace(explanation, raw=raw).figure()
    assert titles(figure)[2:] == ["Grad-CAM: Road", "Grad-CAM: Tree, all zero"]
    check_layout(figure)


def test_a_classifier_and_a_tensor_have_fewer_panels(
    small: Build, cam: Cam, rgb: NDArray[np.uint8]
) -> None:
    classifier = small(seed=4, classifier=True).load()
    assert titles(classifier.explain(rgb, "Road", "late").figure()) == [
        "Picture", "Grad-CAM: Road",
    ]  # fmt: skip
    of_tensor = cam.explain(tensor=cam.preprocess(rgb), classes="Road", layers="late")
    figure = of_tensor.figure(contours=False)
    assert titles(figure) == ["Segmentation", "Grad-CAM: Road"]
    np.testing.assert_array_equal(picture(figure, "Grad-CAM: Road"), of_tensor.overlay())
    check_layout(figure)


def test_figures_need_neither_pyplot_nor_a_display(
    small: Build, rgb: NDArray[np.uint8], tmp_path: Path
) -> None:
    (tmp_path / "a.onnx").write_bytes(small().model)
    np.save(tmp_path / "rgb.npy", rgb)
    code = """
import sys
from pathlib import Path
import numpy as np
import ortcam
folder = Path(sys.argv[1])
explanation = ortcam.load(folder / "a.onnx").explain(np.load(folder / "rgb.npy"), "Road", "late")
explanation.save(folder / "e.png")
print("matplotlib" in sys.modules, "matplotlib.pyplot" in sys.modules)
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(ortcam.__file__).parents[1],
    )
    assert done.stdout == "True False\n"
    assert (tmp_path / "e.png").stat().st_size > 1000
