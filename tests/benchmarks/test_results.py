"""The file, bounds and table of the benchmark, with invented figures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.agreement import difference
from benchmarks.bounds import bounds, ci_ratios, figure, verdicts
from benchmarks.ci_check import too_slow
from benchmarks.measure import Interval, Pairs
from benchmarks.networks import NETWORKS
from benchmarks.record import Record, pairs, read, row
from benchmarks.run import compare_maps
from benchmarks.subjects import Row
from benchmarks.table import LABELS, markdown

MACHINE = {"processor": "a processor", "threads": 2, "cores": 4, "system": "Linux", "gpu": None}
MACHINE |= {"python": "3.11.0", "versions": {"onnxruntime": "1.30.0"}}


def steady(ratio: float) -> Pairs:
    return Pairs((0.1 * ratio,) * 30, (0.1,) * 30)


@pytest.fixture
def results() -> dict[str, Any]:
    rows = {"last-2": row(steady(1.01)), "gradcam-last-2": row(steady(7.07))}
    rows |= {"four-2": row(steady(2.5)), "opened-1": {"missing": "it is not there"}}
    network = {"title": "a network", "size": [480, 360], "layers": ["x"], "rows": rows}
    network["bytes"] = {"plain": 10**7, "last": 11 * 10**6, "four": 2 * 10**7}
    start = {"import": [0.2, 0.2], "first": [0.5, 0.6], "memory": [100, 100]}
    explain = {"import": [0.3, 0.3], "first": [0.6, 0.66], "memory": [120, 120]}
    return {
        "machine": MACHINE,
        "networks": {"shipped": network},
        "processes": {"plain": start, "last-2": explain},
        "installed": {"ortcam[cpu]": {"packages": 7, "bytes": 177_000_000}, "Captum": None},
    }


def test_figures_are_found_at_the_places_of_bounds(results: dict[str, Any]) -> None:
    outcome = figure(results, "shipped/last-2", "gradcam-last-2")
    assert outcome is not None
    assert outcome.median == pytest.approx(7)
    memory, start = (figure(results, f"{kind}/last-2") for kind in ("memory", "start"))
    assert memory == Interval(1.2, 1.2, 1.2)
    assert start is not None
    assert start.median == pytest.approx(1.15)
    assert figure(results, "size/shipped") == Interval(1.1, 1.1, 1.1)
    for nowhere in ("shipped/opened-1", "shipped/last-all", "unet-r34/last-2", "size/unet-r34"):
        assert figure(results, nowhere) is None
    assert figure({}, "memory/last-2") is None


def test_verdicts(results: dict[str, Any]) -> None:
    outcome = {(v.what, v.where): v.met for v in verdicts(results)}
    assert outcome["2 classes, last feature layer", "shipped/last-2"] is True
    assert outcome["2 classes, four layers", "shipped/four-2"] is False
    faster = "times faster than pytorch-grad-cam, 2 classes, one layer"
    assert outcome[faster, "shipped/last-2"] is True
    assert outcome["peak memory, 2 classes, last feature layer", "memory/last-2"] is False
    assert outcome["2 classes, last feature layer", "shipped-large/last-2"] is None


def test_every_bound_names_existing_rows() -> None:
    for bound in bounds():
        assert ("at_most" in bound) != ("at_least" in bound)
        for where in bound["at"]:
            kind, name = where.split("/")
            names = NETWORKS if kind == "size" else LABELS
            assert name in names
            assert kind in ("memory", "start", "size") or kind in NETWORKS
        assert bound.get("over", "plain") in LABELS
    assert set(ci_ratios()[0]) <= set(LABELS)


def test_the_table_shows_results_and_gaps(results: dict[str, Any]) -> None:
    text = markdown({"cpu": results})
    assert "| 2 classes, last feature layer | shipped/last-2 | at most 1.02 | 1.01 | yes |" in text
    assert "| 2 classes, four layers | shipped/four-2 | at most 1.95 | 2.50 | **no** |" in text
    assert "| ortcam, 2 classes, last layer | 1.01 | 101.0 | not measured |" in text
    assert "not available: it is not there" in text
    assert "CUDA: not measured." in text
    assert "a processor, 2 of 4 cores, Linux, Python 3.11.0; onnxruntime 1.30.0." in text
    assert "10.0 MB: 1.10 with the last layer, 2.00 with four layers" in text
    assert "| ortcam[cpu] | 7 | 177 |" in text
    assert "| Captum | not installed here |" in text
    lines = [line.count(" | ") for line in text.splitlines() if line.startswith("|")]
    assert set(lines) <= {2, 4, 5}


def test_results_are_kept_network_by_network(tmp_path: Path) -> None:
    path = tmp_path / "benchmark.json"
    first = Record(path, "cpu", MACHINE)
    first.put({"rows": {}}, "networks", "shipped")
    Record(path, "cuda", MACHINE).put(1, "installed")
    again = Record(path, "cpu", MACHINE)
    assert again.get("networks", "shipped")
    assert not again.get("networks", "unet-r34")
    assert set(read(path)) == {"cpu", "cuda"}
    assert not Record(path, "cpu", MACHINE | {"cores": 8}).get("networks", "shipped")
    assert read(tmp_path / "none.json") == {}


def test_a_row_has_the_medians_of_its_times() -> None:
    measurement = Pairs(tuple(0.1 + 0.001 * i for i in range(30)), (0.05,) * 30)
    entry = row(measurement)
    assert entry["seconds"]["median"] == pytest.approx(0.1145)
    assert entry["ratio"]["median"] == pytest.approx(2.29)
    assert pairs(entry).ratios == pytest.approx(measurement.ratios)


def test_maps_that_differ_are_not_timed() -> None:
    truth = {"a": np.eye(3, dtype=np.float32)[None], "b": 2 * np.ones((1, 2, 2), np.float32)}
    off = truth["a"].copy()
    off[0, 0, 1] = 0.01

    def entry(maps: dict[str, Any]) -> Row:
        return Row(maps=lambda: maps)

    assert difference({"a": off}, truth) == pytest.approx(0.01)
    rows = {"four-2": entry(truth), "same": entry({"b": truth["b"]}), "timed": Row()}
    assert compare_maps(rows) == {"four-2": 0, "same": 0}
    with pytest.raises(
        ValueError, match=r"the maps of other differ from those of four-2 by 1.0e-02"
    ):
        compare_maps(rows | {"other": entry({"a": off})})
    coarse = Row(maps=lambda: {"a": off}, coarse=True)
    peers = rows | {"torch-last-2": entry({"a": off})}
    assert compare_maps(peers)["torch-last-2"] == pytest.approx(0.01)
    assert peers["torch-last-2"] == Row(missing="its maps differ by 1.0e-02")
    assert compare_maps(rows | {"coarse": coarse})["coarse"] == pytest.approx(0.01)
    far = Row(maps=lambda: {"a": truth["a"] + 10 * (off - truth["a"])}, coarse=True)
    with pytest.raises(
        ValueError, match=r"the maps of coarse differ from those of four-2 by 1.0e-01"
    ):
        compare_maps(rows | {"coarse": far})
    with pytest.raises(ValueError, match="the maps of other differ from those of four-2 by nan"):
        compare_maps(rows | {"other": entry({"a": off * np.nan})})
    with pytest.raises(ValueError, match="no maps of"):
        difference({"a": off[:, :2]}, truth)


def test_only_much_slower_rows_are_too_slow() -> None:
    measured = {"x": steady(1.29), "y": steady(1.31), "z": steady(2.5)}
    assert too_slow(measured, {"x": 1.0, "y": 1.0, "z": 2.0}, 1.3) == {"y"}


def test_the_chart_begins_at_zero_and_needs_a_peer(
    results: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    figures = pytest.importorskip("matplotlib.figure")
    drawn: list[Any] = []
    monkeypatch.setattr(figures.Figure, "savefig", lambda figure, *_, **__: drawn.append(figure))
    from benchmarks.chart import draw

    assert draw({"cpu": results}, tmp_path / "chart.png")
    (axes,) = drawn[0].axes
    assert axes.get_xscale() == "linear"
    assert axes.get_xlim()[0] == 0
    assert [bar.get_width() for bar in axes.patches] == pytest.approx([1.01, 7.07, 2.5])
    del results["networks"]["shipped"]["rows"]["gradcam-last-2"]
    assert not draw({"cpu": results}, tmp_path / "chart.png")
