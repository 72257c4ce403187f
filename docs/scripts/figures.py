"""Draw the figures of the README and of these pages, from the shipped network and picture.

There are the figures of ``make demo``, at the size at which the pages show them; one with the map
of each method and one with that of each preset, for one class and layer; and one with the map at
each layer.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from matplotlib.figure import Figure
from PIL import Image

import ortcam
import ortcam_export
from ortcam.drawing.presets import PRESETS
from ortcam.methods.registry import METHODS

DOCS = Path(__file__).parents[1]
NETWORK = DOCS.parent / "models" / "deeplabv3plus_resnet18_camvid.onnx"
PICTURE = DOCS.parent / "models" / "street.png"
FIGURES = {
    "walkthrough.png": ["dec_relu4"],
    "layers.png": ["res5b_relu", "catAspp", "dec_relu1"],
}
METHODS_AT = "dec_relu1"
DPI = 100


def methods_figure() -> Figure:
    """Draw the picture, and the map of Car by every method."""
    artifact = ortcam_export.export(NETWORK, feature_layers=[METHODS_AT], methods="all")
    cam = ortcam.load(artifact.model)
    each = (cam.explain(PICTURE, "Car", method=name) for name in METHODS)
    maps = {one.title: one.overlay(colormap="jet") for one in each}
    return side_by_side({"Picture": Image.open(PICTURE), **maps}, columns=4)


def presets_figure() -> Figure:
    """Draw the map of Car by every preset, as its tool draws it."""
    cam = ortcam.load(ortcam_export.export(NETWORK, feature_layers=[METHODS_AT]).model)
    each = {name: cam.explain(PICTURE, "Car", preset=name) for name in PRESETS}
    return side_by_side({name: one.overlay() for name, one in each.items()}, columns=3)


def side_by_side(pictures: Mapping[str, Image.Image], columns: int) -> Figure:
    """Draw pictures in columns, below their titles."""
    rows = -(-len(pictures) // columns)
    figure = Figure((3 * columns, 2.45 * rows), layout="constrained")
    axes = figure.subplots(rows, columns).ravel()
    for axis in axes:
        axis.axis("off")
    for axis, (title, picture) in zip(axes, pictures.items(), strict=False):
        axis.imshow(picture)
        axis.set_title(title, fontsize=10)
    return figure


if __name__ == "__main__":
    layers = [layer for chosen in FIGURES.values() for layer in chosen]
    cam = ortcam.load(ortcam_export.export(NETWORK, feature_layers=layers).model)
    for name, chosen in FIGURES.items():
        figure = cam.explain(PICTURE, ["Road", "Car"], chosen).figure(colormap="jet")
        figure.savefig(DOCS / name, dpi=DPI, pil_kwargs={"optimize": True})
    (page,) = ortcam_export.survey(NETWORK, PICTURE, "Car").figures(order="depth")
    others = {"survey": page, "methods": methods_figure(), "presets": presets_figure()}
    for name, figure in others.items():
        figure.savefig(DOCS / f"{name}.png", dpi=DPI, pil_kwargs={"optimize": True})
