"""Draws the figures of the README and of these pages, from the shipped network and picture.

They are the figures of ``make demo``, at the size at which a page shows them.
"""

from __future__ import annotations

from pathlib import Path

import ortcam
import ortcam_export

DOCS = Path(__file__).parent
NETWORK = DOCS.parent / "models" / "deeplabv3plus_resnet18_camvid.onnx"
PICTURE = DOCS.parent / "models" / "street.png"
FIGURES = {
    "walkthrough.png": ["dec_relu4"],
    "layers.png": ["res5b_relu", "catAspp", "dec_relu1"],
}
DPI = 100

if __name__ == "__main__":
    layers = [layer for chosen in FIGURES.values() for layer in chosen]
    cam = ortcam.load(ortcam_export.export(NETWORK, feature_layers=layers).model)
    for name, chosen in FIGURES.items():
        figure = cam.explain(PICTURE, ["Road", "Car"], chosen).figure(colormap="jet")
        figure.savefig(DOCS / name, dpi=DPI, pil_kwargs={"optimize": True})
