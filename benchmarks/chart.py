"""The results as a bar chart."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from benchmarks.record import interval

__all__ = ["draw"]

BARS = {
    "one layer": {
        "last-2": "ortcam",
        "torch-last-2": "PyTorch by hand",
        "captum-last-2": "Captum",
        "gradcam-last-2": "pytorch-grad-cam",
    },
    "four layers": {
        "four-2": "ortcam",
        "torch-four-2": "PyTorch by hand",
        "captum-four-2": "Captum",
        "gradcam-four-2": "pytorch-grad-cam",
    },
}
COLORS = {
    "ortcam": "#0b6e99",
    "PyTorch by hand": "#9aa5ad",
    "Captum": "#c9a66b",
    "pytorch-grad-cam": "#b86b4b",
}


def draw(data: dict[str, Any], path: Path) -> bool:
    """Draw the times of two classes over plain inference, a panel per network and device.

    The axis is linear and begins at 0; whiskers are the 95 % intervals of the medians.

    Returns:
        False if there is nothing to draw.
    """
    panels = [
        (device, one)
        for device, results in data.items()
        for one in results.get("networks", {}).values()
        if "ratio" in one["rows"].get("gradcam-last-2", {})
    ]
    if not panels:
        return False
    figure = Figure(figsize=(8, 2.3 * len(panels) + 0.7), layout="constrained")
    axes = figure.subplots(len(panels), squeeze=False)[:, 0]
    for axis, (device, one) in zip(axes, panels, strict=True):
        width, height = one["size"]
        axis.set_title(
            f"{one['title'].split(' (')[0]}, {width}x{height}, {device.upper()}",
            loc="left",
            fontsize=10,
        )
        place, ticks = 0.0, []
        for group, bars in BARS.items():
            for row, tool in bars.items():
                entry = one["rows"].get(row, {})
                if "ratio" in entry:
                    ratio = interval(entry["ratio"])
                    spread = [[ratio.median - ratio.low], [ratio.high - ratio.median]]
                    axis.barh(place, ratio.median, 0.8, color=COLORS[tool])
                    axis.errorbar(
                        ratio.median, place, xerr=spread, color="black", capsize=2, linewidth=0.8
                    )
                    axis.annotate(
                        f"{ratio.median:.2f}",
                        (ratio.high, place),
                        (4, 0),
                        textcoords="offset points",
                        va="center",
                        fontsize=8,
                    )
                else:
                    axis.annotate(
                        "not measured",
                        (0, place),
                        (4, 0),
                        va="center",
                        fontsize=8,
                        textcoords="offset points",
                        color="#777777",
                    )
                ticks.append((place, f"{tool}, {group}"))
                place += 1
            place += 0.5
        axis.set_yticks([t[0] for t in ticks], [t[1] for t in ticks], fontsize=8)
        axis.set_ylim(place - 0.8, -0.7)  # from the last bar up to the first
        axis.axvline(1, color="black", linewidth=0.8, linestyle=":")
        axis.set_xlim(0, axis.get_xlim()[1] * 1.05)
        axis.tick_params(axis="x", labelsize=8)
        axis.spines[["top", "right"]].set_visible(False)
    axes[-1].set_xlabel(
        "Time of Grad-CAM of 2 classes over plain inference in ONNX Runtime (dotted: 1)", fontsize=9
    )
    figure.savefig(path, dpi=110)
    return True
