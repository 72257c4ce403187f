"""The name, shape and type of a model's input or output."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

__all__ = ["TensorSpec"]


@dataclass(frozen=True)
class TensorSpec:
    """An input or output of the graph.

    Attributes:
        name: its tensor's.
        shape: an extent is a number, a name, or None where nothing is known.
        dtype: None for what NumPy has no type for.
    """

    name: str
    shape: tuple[int | str | None, ...]
    dtype: type[np.generic] | None

    def __str__(self) -> str:
        extents = ", ".join("?" if extent is None else str(extent) for extent in self.shape)
        return f"{self.name} [{extents}] {np.dtype(self.dtype).name if self.dtype else ''}".strip()
