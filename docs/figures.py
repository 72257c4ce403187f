"""Draws the figures of the README and of these pages, from the shipped network and picture.

They are the figures of ``make demo``, at the size at which a page shows them, one of each method's
map of the same class and layer, and one of the map at each layer.
"""

from __future__ import annotations

from pathlib import Path

from matplotlib.figure import Figure

import ortcam
import ortcam_export
from ortcam.methods import METHODS

DOCS = Path(__file__).parent
NETWORK = DOCS.parent / "models" / "deeplabv3plus_resnet18_camvid.onnx"
PICTURE = DOCS.parent / "models" / "street.png"
FIGURES = {
    "walkthrough.png": ["dec_relu4"],
    "layers.png": ["res5b_relu", "catAspp", "dec_relu1"],
}
METHODS_AT = "dec_relu1"
DPI = 100


def methods_figure() -> Figure:
    """Every method's map of Car."""
    artifact = ortcam_export.export(NETWORK, feature_layers=[METHODS_AT], methods="all")
    cam = ortcam.load(artifact.model)
    columns = 3
    rows = -(-len(METHODS) // columns)
    figure = Figure((3 * columns, 2.45 * rows), layout="constrained")
    axes = figure.subplots(rows, columns).ravel()
    for axis in axes:
        axis.axis("off")
    for axis, name in zip(axes, METHODS, strict=False):
        explanation = cam.explain(PICTURE, "Car", method=name)
        axis.imshow(explanation.overlay(colormap="jet"))
        axis.set_title(explanation.title, fontsize=10)
    return figure


if __name__ == "__main__":
    layers = [layer for chosen in FIGURES.values() for layer in chosen]
    cam = ortcam.load(ortcam_export.export(NETWORK, feature_layers=layers).model)
    for name, chosen in FIGURES.items():
        figure = cam.explain(PICTURE, ["Road", "Car"], chosen).figure(colormap="jet")
        figure.savefig(DOCS / name, dpi=DPI, pil_kwargs={"optimize": True})
    (page,) = ortcam_export.survey(NETWORK, PICTURE, "Car").figures(order="depth")
    page.savefig(DOCS / "survey.png", dpi=DPI, pil_kwargs={"optimize": True})
    methods_figure().savefig(DOCS / "methods.png", dpi=DPI, pil_kwargs={"optimize": True})
