"""What more than one command says of an artifact, in the same words."""

from __future__ import annotations

from ortcam.artifact import Score, Verification


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
    if checked.isolation is not None:
        text += f"; another picture in the batch changes the weights by {checked.isolation:.1e}"
    return text
