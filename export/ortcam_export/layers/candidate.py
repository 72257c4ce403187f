"""A layer or score as ``ortcam layers`` lists it."""

from __future__ import annotations

from dataclasses import dataclass

from ortcam_export.layers.receptive_field import Field

__all__ = ["Candidate", "Shape"]

Shape = tuple[int | str, ...]


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A layer that a network offers.

    Attributes:
        name: of its tensor; what to give as feature or reduction layer.
        operator: what computes it.
        shape: its extents; an open one is its name, or ``"?"``.
        channels: how many channels (of a score: classes) it has, or None where that is open.
        stride: how many pixels of the input's first axis of space, its height, one of its cells
            stands for, or None where that cannot be told.
        strides: the same along each axis of space; empty where it cannot be told.
        reached: whether the gradient of the chosen score reaches it, and of tokens the picture's.
        chosen: whether the export would take it.
        kind: ``"feature"`` or ``"reduction"``.
        grid: of a layer of tokens the (height, width) that it is folded to, else None.
        rank: of a feature layer its place by the rule of :mod:`ortcam_export.layers.ranking`, from
            1 on; None where no gradient reaches it.
        receptive_field: the extents in pixels of what its central cell depends on, ``"global"``
            where that has no bound, or None where it cannot be told; see
            :class:`ortcam_export.layers.receptive_field.ReceptiveFields`.
        cost: the multiplications of one class's gradient from the score down to it, over those of
            the network's inference, or None where they cannot be told; see
            :mod:`ortcam_export.layers.cost`.
        pooled: whether no cotangent on that way has all of space, so that it is nearly free.
        is_score: whether it stands behind the scorer, and holds scores instead of features.
        is_empty: with a picture, whether its map of the class shows nothing.
        dead: with a picture, the share of its channels that are zero everywhere.
        concentration: with a picture, of its map; see
            :func:`ortcam.metrics.concentration`.
        inside: with a picture, the share of its map that lies on the pixels predicted as the
            class; see :func:`ortcam.metrics.energy`.
    """

    name: str
    operator: str
    shape: tuple[int | str, ...]
    channels: int | None
    stride: float | None
    reached: bool
    chosen: bool
    kind: str
    strides: tuple[float, ...] = ()
    grid: tuple[int | str, int | str] | None = None
    rank: int | None = None
    receptive_field: Field | None = None
    cost: float | None = None
    pooled: bool = False
    is_score: bool = False
    is_empty: bool = False
    dead: float | None = None
    concentration: float | None = None
    inside: float | None = None

    @property
    def stride_in_words(self) -> str:
        """The stride: ``4``, ``1 x 4 x 4`` where it differs by a quarter or more, or ``?``."""
        if self.strides and max(self.strides) >= 1.25 * min(self.strides):
            return " x ".join(f"{stride:g}" for stride in self.strides)
        return "?" if self.stride is None else f"{self.stride:g}"

    @property
    def field_in_words(self) -> str:
        """The receptive field: ``99``, ``99 x 51`` where its sides differ, ``global`` or ``?``."""
        field = self.receptive_field
        if field is None or isinstance(field, str):
            return field or "?"
        return str(field[0]) if len(set(field)) == 1 else " x ".join(map(str, field))

    @property
    def cost_in_words(self) -> str:
        """The cost in two decimals, ``<0.01`` or ``?``."""
        if self.cost is None:
            return "?"
        return "<0.01" if self.cost < 0.005 else f"{self.cost:.2f}"
