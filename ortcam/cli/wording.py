"""What more than one command says of an artifact, in the same words."""

from __future__ import annotations

import re

from ortcam.artifact import Score, Verification

#: Python's names of options whose names on the command line are others.
_OPTIONS = {
    "color_order": "--bgr",
    "feature_layers": "--layer",
    "inputs={name: array}": "--input NAME=FILE.npy",
    "tensor": "a .npy file",
    "verify=False": "--no-verify",
}

#: Those that are called the same.
_ALIKE = (
    *("divisor", "engine", "layout", "leading_tokens", "mean", "picture", "reduction_layer"),
    *("scale", "score", "size", "slice", "std", "token_grid"),
)


def options(text: str) -> str:
    """A sentence that names Python's options, ``score='logits'``, as a user types them."""
    for name, option in _OPTIONS.items():
        text = text.replace(name if "=" in name else f"{name}=", option)
    return re.sub(
        rf"(?<![\w-])({'|'.join(_ALIKE)})=('[\w-]*')?",
        lambda found: " ".join(
            ["--" + found[1].replace("_", "-"), *([found[2].strip("'")] if found[2] else [])]
        ),
        text,
    )


def reduction_layer(score: Score) -> str:
    """The reduction layer and what it is."""
    return f"{score.name} ({score.kind})"


def verification(checked: Verification | None) -> str:
    """How far the exported gradient is from central differences."""
    if checked is None:
        return "left out"
    text = (
        f"largest relative error {checked.error:.1e} over {checked.directions} directions, "
        "against central differences"
    )
    if checked.form:
        text += f" through the network {checked.form}"
    if checked.isolation is not None:
        text += f"; another picture in the batch changes the weights by {checked.isolation:.1e}"
    return text
