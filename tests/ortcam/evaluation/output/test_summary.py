"""Means, medians, intervals and the worst pictures."""

from __future__ import annotations

import numpy as np
import pytest

from ortcam.batch.journal import Points, Record, Row
from ortcam.evaluation.metric_names import format_value
from ortcam.evaluation.output.summary import interval, summarise


def row(picture: str, cls: str, value: float | None, metric: str = "energy") -> Row:
    return Row(picture, cls, "late", "grad-cam", metric, "", value)


def test_a_picture_counts_once_however_many_classes_it_has() -> None:
    records = [
        Record("a", (row("a", "Car", 0.2), row("a", "Road", 0.6))),
        Record("b", (row("b", "Car", 1.0), row("b", "Road", None))),
        Record("c", error="damaged"),
    ]
    summary = summarise(records, worst=2)
    assert (summary.done, summary.left_out) == (2, [("c", "damaged")])
    everything, car, road = summary.lines
    assert (everything.cls, everything.pictures, everything.undefined) == ("", 2, 1)
    assert everything.mean == pytest.approx((0.4 + 1.0) / 2)
    assert car.cls == "Car"
    assert car.mean == pytest.approx(0.6)
    assert car.median == pytest.approx(0.6)
    assert (road.cls, road.pictures, road.low) == ("Road", 1, None)
    assert everything.low == pytest.approx(0.4)
    assert everything.high == pytest.approx(1.0)


def test_the_interval_has_its_nominal_coverage() -> None:
    random = np.random.default_rng(5)
    hits = 0
    for _ in range(300):
        ends = interval(random.exponential(1.0, 60))
        assert ends is not None
        hits += ends[0] <= 1 <= ends[1]
    assert 0.89 <= hits / 300 <= 0.98
    assert interval(np.array([1.0])) is None


def test_the_interval_is_as_wide_as_the_normal_one() -> None:
    values = np.random.default_rng(6).normal(3, 2, 3000)
    ends = interval(values)
    assert ends is not None
    error = 1.96 * values.std() / len(values) ** 0.5
    assert ends == pytest.approx((values.mean() - error, values.mean() + error), abs=0.2 * error)


def test_the_worst_are_the_lowest_or_highest_and_one_a_picture() -> None:
    records = [
        Record(name, (row(name, "Car", value), row(name, "Road", value + 0.01)))
        for name, value in (("a", 0.5), ("b", 0.1), ("c", 0.9), ("d", 0.3))
    ]
    records += [
        Record(name, (row(name, "Car", value, "deletion-score"),))
        for name, value in (("e", 0.5), ("f", 0.1), ("g", 0.9))
    ]
    worst = summarise(records, worst=2).worst
    assert [(r.picture, r.cls) for r in worst["energy"]] == [("b", "Car"), ("d", "Car")]
    assert [r.picture for r in worst["deletion-score"]] == ["g", "e"]
    assert "context" not in worst


def test_curves_are_averaged_over_classes_and_then_pictures() -> None:
    def points(picture: str, cls: str, *values: float) -> Points:
        return Points(picture, cls, "late", "grad-cam", "deletion-score", [0, 1], list(values))

    records = [
        Record("a", curves=(points("a", "Car", 1, 0), points("a", "Road", 0, 0))),
        Record("b", curves=(points("b", "Car", 1, 0.5),)),
    ]
    (curve,) = summarise(records, worst=0).curves
    assert (curve.pictures, curve.shares) == (2, [0, 1])
    assert curve.values == pytest.approx([0.75, 0.25])


def test_unknown_metrics_in_a_journal_are_ignored() -> None:
    assert summarise([Record("a", (row("a", "Car", 1.0, "<b>"),))], worst=1).lines == []


def test_figures_are_in_the_order_of_the_work() -> None:
    """Layers, methods and stages; classes by name, since not every picture has all of them."""

    def record(picture: str, *classes: str) -> Record:
        names = ("late", "early"), ("z-cam", "a-cam"), ("5 of 29", "10 of 29")
        return Record(
            picture,
            tuple(
                Row(picture, c, layer, method, "randomised-spearman", other, 0.5)
                for other in names[2]
                for method in names[1]
                for c in classes
                for layer in names[0]
            ),
        )

    summary = summarise([record("a", "Tree"), record("b", "Car", "Tree")], 0).lines
    whole, parts = ([m for m in summary if bool(m.cls) == of_class] for of_class in (False, True))
    order = [
        (layer, method, other)
        for layer in ("late", "early")
        for method in ("z-cam", "a-cam")
        for other in ("5 of 29", "10 of 29")
    ]
    assert [(m.layer, m.method, m.other) for m in whole] == order
    assert summary[: len(whole)] == whole
    expected = [(*names[:2], c) for names in order[::2] for c in ("Car", "Tree")]
    assert [(m.layer, m.method, m.cls) for m in parts[::2]] == expected
    assert [m.other for m in parts] == ["5 of 29", "10 of 29"] * 8


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0.000"), (1.0, "1.000"), (-0.0123, "-0.012"), (0.00123, "0.001"), (2.3e-4, "2.3e-04")],
)
def test_values_for_people(value: float, text: str) -> None:
    assert format_value(value) == text
