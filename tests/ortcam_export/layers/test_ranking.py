"""The rule by which candidates are ranked, and the orders by one column."""

from __future__ import annotations

from typing import Any

import pytest

from ortcam.cli.commands.layers import ORDERS as OFFERED
from ortcam.errors import InputError
from ortcam_export import Candidate
from ortcam_export.layers.ranking import ORDERS, in_order, ranks


def layer(name: str, stride: float | None, cost: float | None, **more: Any) -> Candidate:
    facts: dict[str, Any] = {
        "operator": "Relu", "shape": (), "channels": 1, "reached": True, "chosen": False,
        "kind": "feature",
    }  # fmt: skip
    return Candidate(name=name, stride=stride, cost=cost, **(facts | more))


def ranked(features: list[Candidate]) -> list[str]:
    places = dict(zip((f.name for f in features), ranks(features), strict=True))
    return sorted((n for n in places if places[n]), key=lambda name: places[name] or 0)


def test_the_last_of_every_stride_comes_first_and_the_cheapest_of_these() -> None:
    features = [
        layer("early", 2, 0.9),
        layer("half", 2, 0.8),
        layer("deep", 8, 0.5),
        layer("deeper", 8, 0.4),
        layer("deepest", 8, 0.3),
        layer("late", 2, 0.0),
    ]
    assert ranked(features) == ["late", "deepest", "deeper", "half", "deep", "early"]


def test_what_cannot_be_used_comes_last() -> None:
    features = [
        layer("plain", 4, 0.9),
        layer("empty", 4, 0.1, is_empty=True),
        layer("beside", 4, None, reached=False),
        layer("scores", 4, 0.0, is_score=True),
    ]
    assert ranked(features) == ["plain", "empty", "scores"]
    assert ranks(features)[2] is None


def test_an_unknown_cost_comes_behind_known_ones_and_the_later_first() -> None:
    features = [layer("a", None, None), layer("b", 4, None), layer("c", 8, 0.2)]
    assert ranked(features) == ["c", "b", "a"]


def test_orders_by_a_column() -> None:
    features = [
        layer("a", 4, 0.5, rank=2, receptive_field=(9, 9), dead=0.5, concentration=0.1, inside=0.3),
        layer("b", 8, 0.1, rank=1, receptive_field="global", dead=0.1, concentration=0.9),
        layer("c", None, None, receptive_field=None, inside=0.9),
        layer("d", 2, 0.3, rank=3, receptive_field=(7, 30), dead=0.0, concentration=0.2, inside=0),
    ]
    found = {order: "".join(f.name for f in in_order(features, order)) for order in ORDERS}
    assert found == {
        "rank": "badc",
        "depth": "abcd",
        "stride": "dabc",
        "field": "bdac",
        "cost": "bdac",
        "dead": "dbac",
        "gini": "bdac",
        "inside": "cadb",
    }


def test_the_command_offers_these_orders() -> None:
    assert tuple(ORDERS) == OFFERED
    with pytest.raises(InputError, match="there is no order 'ranks'; the nearest is 'rank'"):
        in_order([], "ranks")
