"""The controls of a report: sliders, selects and checkboxes that its script serves."""

from __future__ import annotations

from ortcam.drawing.colormap import COLORMAPS
from ortcam.drawing.style import Scale
from ortcam.report.html import Markup, element
from ortcam.report.picture_data import GIVEN, scales

__all__ = ["color_bar", "map_controls", "opacity_slider", "reading"]

_SCALE_NAMES = {
    GIVEN: "the given value",
    "shared": "the layer's maximum",
    "own": "this map's maximum",
    "layers": "all layers' maximum",
    "none": "1",
}


def map_controls(scale: Scale) -> Markup:
    """The controls below the large map: opacity, colours, scale, outlines.

    Args:
        scale: of the report; numbers are one more choice.
    """
    return element(
        "div",
        opacity_slider("map", "Opacity of the map"),
        _select("Colours", "colormap", {name: name for name in COLORMAPS}),
        _select("Top colour at", "scale", {name: _SCALE_NAMES[name] for name in scales(scale)}),
        _checkbox("outline", element("span", "Outlines", class_="outlined")),
        _checkbox("alone", "Picture only"),
        class_="controls live",
    )


def opacity_slider(kind: str, label: str) -> Markup:
    """The opacity of the labels or the map over the picture."""
    return element(
        "label",
        label,
        element("input", type="range", name=f"{kind}-opacity", min=0, max=100, step=1),
        element("output"),
        class_="live",
    )


def color_bar() -> Markup:
    """The map's colours, and the values at both ends and in the middle."""
    return element(
        "div",
        element("canvas", width=256, height=1, class_="bar", aria_hidden="true"),
        *(element("span") for _ in range(3)),
        class_="scale live",
    )


def reading() -> Markup:
    """The value under the cursor."""
    return element("output", class_="reading live", aria_live="polite")


def _select(label: str, name: str, options: dict[str, str]) -> Markup:
    choices = (element("option", text, value=value) for value, text in options.items())
    return element("label", label, element("select", *choices, name=name))


def _checkbox(name: str, label: str) -> Markup:
    return element("label", element("input", type="checkbox", name=name), label)
