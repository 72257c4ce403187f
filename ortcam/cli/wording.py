"""Messages that name an option of Python's, as a user of the command line types it."""

from __future__ import annotations

import re

#: Python's names of options whose names on the command line are others.
_OPTIONS = {
    "color_order": "--bgr",
    "feature_layers": "--layer",
    "restart=True": "--restart",
    "inputs={name: array}": "--input NAME=FILE.npy",
    "static=True": "--static",
    "tensor": "a .npy file",
    "verify=False": "--no-verify",
}

#: Those that are called the same.
_ALIKE = (
    *("divisor", "engine", "layout", "leading_tokens", "mean", "picture", "picture_input"),
    *("preset", "reduction_layer", "scale", "score", "size", "slice", "std", "token_grid"),
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
