"""The sections of a report beside its pictures: the artifact, the help, and the settings."""

from __future__ import annotations

import importlib
from collections.abc import Mapping

from ortcam.artifact import Artifact
from ortcam.drawing import contours
from ortcam.drawing.colormap import COLORMAPS, SIGNED, table
from ortcam.drawing.overlay import RISE
from ortcam.drawing.style import DrawingStyle
from ortcam.report.html import Markup, element, join, json_block
from ortcam.report.picture_data import GIVEN
from ortcam.results.describe_artifact import rows
from ortcam.version import __version__

__all__ = ["artifact_section", "help_section", "settings"]


def artifact_section(artifact: Artifact, about: Mapping[str, str]) -> Markup:
    """A description of the artifact and of the software that ran it.

    Args:
        artifact: its metadata.
        about: more facts, such as its file's name; they come first.
    """
    facts = [
        *about.items(),
        ("ortcam", __version__),
        ("onnxruntime", _version("onnxruntime")),
        *rows(artifact),
    ]
    pairs = (join([element("dt", key), element("dd", value)]) for key, value in facts)
    return element(
        "section", element("h2", "The artifact"), element("dl", *pairs), class_="identity"
    )


def help_section() -> Markup:
    """Instructions for reading a map."""
    paragraphs = (element("p", text) for text in _HELP)
    return element("section", element("h2", "How to read a map"), *paragraphs, class_="help")


_HELP = (
    "A Grad-CAM map is bright where the features of its layer raise the class's summed score, "
    "according to the gradient at this picture. It is as coarse as its layer, and it is neither a "
    "segmentation, nor a probability, nor proof of a cause.",
    "Values at one layer can be compared across classes and pictures. Values at different layers "
    "cannot, because their features differ in magnitude. If the top colour stands for the layer's "
    "maximum, a faint map looks faint; set it to the map's own maximum to see where a faint map "
    "lies.",
    "A map can be faint for a class of which the network is certain, because the score hardly "
    "changes there.",
)


def settings(style: DrawingStyle) -> Markup:
    """Data for the script: the colours, and how maps are drawn at first."""
    return json_block(
        {
            "colormaps": {name: table(name).tobytes().hex() for name in COLORMAPS},
            "signed": sorted(SIGNED),
            "rise": RISE,
            "outlines": [contours.PREDICTED, contours.ASKED, contours.EDGE],
            "opacity": style.alpha,
            "colormap": style.colormap,
            "scale": style.scale if isinstance(style.scale, str) else GIVEN,
            "outline": style.contours,
        },
        id="settings",
    )


def _version(module: str) -> str:
    """A module's version, whichever distribution it comes from."""
    try:
        return str(importlib.import_module(module).__version__)
    except ImportError:
        return "unknown"
