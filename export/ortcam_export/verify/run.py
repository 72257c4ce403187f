"""Run a session on trial inputs, and the arrays that come of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ortcam.errors import ModelError
from ortcam.inference.ort_errors import RunError
from ortcam.inference.two_part import Runs
from ortcam.messages import Option

__all__ = ["Array", "Doubles", "run"]

Array = NDArray[Any]
Doubles = NDArray[np.float64]


def run(
    session: Runs, outputs: list[str], feeds: Mapping[str, Array], *, gradient: bool = False
) -> dict[str, Array]:
    """Return outputs of a session, none for none; feeds that it does not take are ignored.

    Args:
        session: the session.
        outputs: the names of the outputs.
        feeds: its inputs.
        gradient: True if the network has run on them, and the session adds its gradient.

    Raises:
        ModelError: it does not run on them.
    """
    if not outputs:  # onnxruntime would return all
        return {}
    try:
        return session.run(outputs, {k: v for k, v in feeds.items() if k in session.inputs})
    except RunError as error:
        picture = max(feeds.values(), key=np.size)
        where = f"on trial input of shape {list(picture.shape)}"
        if gradient:
            raise ModelError(
                f"the network runs {where}, but its gradient does not: ",
                error.message,
                "; please report the network",
            ) from error
        raise ModelError(
            f"the network does not run {where}: ",
            error.message,
            "; set the size that it takes (",
            Option("size"),
            ", ",
            Option("divisor"),
            ")",
        ) from error
