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
    "A Grad-CAM map is bright where the features of its layer raise the class's summed score, by "
    "the gradient at this picture. It is as coarse as its layer: no segmentation, no probability, "
    "and no proof of cause.",
    "Values of one layer can be compared with each other, over classes and over pictures; those "
    "of different layers cannot, as features have other magnitudes. Where the last colour stands "
    "for the greatest value of the layer, a faint map looks faint; where it stands for the map's "
    "own, that shows where a faint one lies.",
    "A map can be faint on what the network is surest of: there the score hardly changes.",
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
        return "not known"
