"""A description of an artifact, the same in ``ortcam info``, ``ortcam export`` and reports."""

from __future__ import annotations

import math

from ortcam.artifact import FLOAT32_DIGIT, Artifact, Preprocessing, Score, Verification
from ortcam.methods.registry import served

__all__ = ["reduction_layer", "rows", "verification"]


def rows(artifact: Artifact) -> list[tuple[str, str]]:
    """The artifact's metadata as pairs of a name and a value."""
    expects = artifact.expects
    classes = expects.classes or ()
    description = [
        ("feature layers", ", ".join(layer.name for layer in artifact.layers)),
        ("reduction layer", reduction_layer(artifact.score)),
        *([("evidence", artifact.score.reason)] if artifact.score.reason else []),
        ("classes", ", ".join(f"{i} {name}" for i, name in enumerate(classes)) or "unnamed"),
        ("picture", f"input {artifact.picture!r}"),
    ]
    if expects.preprocess is None:
        description.append(("preprocessing", "unknown"))
    else:
        description += _preprocessing_rows(expects.preprocess)
    return [
        *description,
        ("methods", ", ".join(served(artifact))),
        ("numbers", artifact.numbers or "unknown"),
        ("verification", verification(artifact.verification)),
        *_gradient_row(artifact),
        ("engine", f"{artifact.engine}, for {artifact.needs}"),
        ("network's SHA-256", artifact.source_sha256),
    ]


def _gradient_row(artifact: Artifact) -> list[tuple[str, str]]:
    part = artifact.gradient
    return [] if part is None else [("gradient", f"in {part.file}, SHA-256 {part.sha256}")]


def _preprocessing_rows(preprocess: Preprocessing) -> list[tuple[str, str]]:
    size = "that of the picture" if preprocess.size is None else "{}x{}".format(*preprocess.size)
    multiples = f", in multiples of {preprocess.divisor}" if preprocess.divisor > 1 else ""
    assumed = " (assumed)" if preprocess.assumed else ""
    return [
        ("layout", f"{preprocess.layout}, {preprocess.color_order}{assumed}"),
        ("values", f"({_scaled_pixel(preprocess.scale)} - mean) / std"),
        ("mean", ", ".join(f"{v:g}" for v in preprocess.mean)),
        ("std", ", ".join(f"{v:g}" for v in preprocess.std)),
        ("working size", f"{size}{multiples}"),
    ]


def _scaled_pixel(scale: float) -> str:
    """A pixel times the scale, as a person would write it."""
    inverse = 1 / scale
    divisor = round(inverse) if math.isfinite(inverse) else 0
    if divisor > 1 and math.isclose(scale * divisor, 1):
        return f"pixel / {divisor}"
    return "pixel" if scale == 1 else f"pixel * {scale:.6g}"


def reduction_layer(score: Score) -> str:
    """The reduction layer, its kind and what its classes are scored over."""
    over = {"list": "over a list", "time": "over time"}
    kinds = [score.kind, *(over[axis] for axis in dict.fromkeys(score.axes) if axis in over)]
    return f"{score.name} ({', '.join(kinds)})"


def verification(result: Verification | None) -> str:
    """The error of the exported gradient against central differences, as a bound.

    The bound includes the measurement's own uncertainty, and the last digit of float32.
    """
    if result is None:
        return "skipped"
    text = (
        f"relative error below {_at_most(result.bound)} over {result.directions} directions, "
        "against central differences"
    )
    if result.form:
        text += f" through the network {result.form}"
    if result.isolation is not None:
        change = _at_most(max(result.isolation, FLOAT32_DIGIT))
        text += f"; another picture in the batch changes the weights by less than {change}"
    return text


def _at_most(bound: float) -> str:
    """A bound to two digits, rounded up."""
    if not 0 < bound < math.inf:
        return str(bound)
    unit = 10.0 ** (math.floor(math.log10(bound)) - 1)
    return f"{math.ceil(bound / unit * (1 - 1e-9)) * unit:.1e}"
