"""The order in which candidates are listed: one rule, and orders by a single column.

The rule: among layers of one stride, a later one sees more of the picture, and its gradient is
shorter. So the last layer of every stride comes first, ordered by the cost of the gradient; then
the last but one of every stride; and so on. Behind these come layers whose map of the class in
question is empty, then the tensors between the scorer and the score, which hold scores and not
features. Layers that no gradient reaches come last and have no rank.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from ortcam.errors import InputError, nearest
from ortcam_export.layers.receptive_field import GLOBAL

if TYPE_CHECKING:
    from ortcam_export.layers.candidate import Candidate

__all__ = ["ORDERS", "in_order", "ranks"]


def ranks(features: Sequence[Candidate]) -> list[int | None]:
    """Return each feature layer's rank by the rule, from 1 on.

    Args:
        features: from early to late.
    """
    behind: Counter[tuple[float | None, ...]] = Counter()
    keys: dict[int, tuple[float, ...]] = {}
    for i, layer in reversed(list(enumerate(features))):
        if not layer.reached:
            continue
        last = 0 if layer.is_score else 1 if layer.is_empty else 2
        group = (layer.stride, *layer.strides) if last == 2 else (-last,)
        cost = math.inf if layer.cost is None else layer.cost
        keys[i] = (-last, behind[group], cost, -i)
        behind[group] += 1
    places = {i: place for place, i in enumerate(sorted(keys, key=keys.__getitem__), 1)}
    return [places.get(i) for i in range(len(features))]


def in_order(features: Sequence[Candidate], order: str) -> list[Candidate]:
    """Sort feature layers, which come from early to late, by one of :data:`ORDERS`.

    Layers whose value is unknown come last.

    Raises:
        InputError: there is no such order.
    """
    if order not in ORDERS:
        raise InputError(f"there is no order {order!r}{nearest(order, ORDERS, most=len(ORDERS))}")
    value = ORDERS[order]

    def key(layer: Candidate) -> tuple[bool, Any]:
        number = value(layer)
        return number is None, number or 0

    return sorted(features, key=key) if order != "depth" else list(features)


def _field(layer: Candidate) -> float | None:
    field = layer.receptive_field
    if field is None or isinstance(field, str):
        return None if field != GLOBAL else -math.inf
    return -math.prod(field)


def _negative(value: float | None) -> float | None:
    return None if value is None else -value


ORDERS: dict[str, Callable[[Candidate], float | None]] = {
    "rank": lambda layer: layer.rank,
    "depth": lambda layer: None,
    "stride": lambda layer: layer.stride,
    "field": _field,
    "cost": lambda layer: layer.cost,
    "dead": lambda layer: layer.dead,
    "gini": lambda layer: _negative(layer.concentration),
    "inside": lambda layer: _negative(layer.inside),
}
"""The orders of layers: the finest, the largest receptive field, the cheapest and so on first."""
