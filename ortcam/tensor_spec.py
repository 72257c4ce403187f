"""The name, shape and type of a model's input or output."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

__all__ = ["TensorSpec"]


@dataclass(frozen=True)
class TensorSpec:
    """An input or output of a model.

    Attributes:
        name: the tensor's name.
        shape: each extent a number, a name, or None if unknown.
        dtype: the NumPy type, or None if there is none.

    Example:
        >>> str(TensorSpec("input", ("N", 3, None), np.float32))
        'input [N, 3, ?] float32'
    """

    name: str
    shape: tuple[int | str | None, ...]
    dtype: type[np.generic] | None

    def __str__(self) -> str:
        extents = ", ".join("?" if extent is None else str(extent) for extent in self.shape)
        return f"{self.name} [{extents}] {np.dtype(self.dtype).name if self.dtype else ''}".strip()
