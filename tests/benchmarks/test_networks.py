"""What is timed is what it says: the torch module is the shipped network, questions differ."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from benchmarks.contestants import Asked, Plain, rows
from benchmarks.networks import NETWORKS, SHIPPED, Network, artifact, tensor

SMALL = (96, 64)


@pytest.fixture(scope="module")
def small() -> Network:
    return dataclasses.replace(NETWORKS["shipped"], size=SMALL)


@pytest.mark.parametrize("name", ["shipped", "shipped-3x3"])
def test_every_row_runs_and_maps_agree(name: str, tmp_path: Path) -> None:
    network = dataclasses.replace(NETWORKS[name], size=SMALL)
    plain = tmp_path / "plain.onnx"
    network.build(network, plain)
    unit = Plain(plain, tensor(network), "CPUExecutionProvider")
    found = rows(network, plain, tmp_path, "CPUExecutionProvider", unit)
    assert ("batch-2" in found) == network.batches
    for row in found.values():
        assert (row.contestant is None) == bool(row.missing)
        if row.contestant:
            row.contestant.unit(0)
            row.contestant.run(0)
            row.contestant.run(1)
    truth = found["four-2"].maps
    assert truth is not None
    for row in found.values():
        for layer, maps in row.maps().items() if row.maps else ():
            np.testing.assert_allclose(maps, truth()[layer], rtol=1e-3, atol=1e-6)


def test_the_pictures_of_a_batch_are_explained_each_for_itself(
    small: Network, tmp_path: Path
) -> None:
    last = small.layers[-1]
    path = artifact(SHIPPED, (last,), tmp_path / "last.cam.onnx")
    eight = tensor(small, batch=8)
    maps = Asked(path, eight, "CPUExecutionProvider").batch([3, 8], last)
    assert maps.shape[:2] == (2, 8)
    third = Asked(path, eight[3:4], "CPUExecutionProvider").maps([3, 8], (last,))
    np.testing.assert_allclose(maps[:, 3], third[last], rtol=1e-3, atol=1e-6)
    assert np.abs(maps[:, 3] - maps[:, 0]).max() > 1e-3


@pytest.mark.torch
def test_the_torch_module_is_the_shipped_network(small: Network) -> None:
    torch = pytest.importorskip("torch")
    from benchmarks.torch_networks import module

    x = tensor(small)
    with torch.no_grad():
        score = module(small)(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(score, Plain(SHIPPED, x, "CPUExecutionProvider").score, atol=1e-5)


@pytest.mark.torch
@pytest.mark.parametrize("batched", [False, True])
def test_what_is_written_by_hand_makes_the_same_maps(
    batched: bool, small: Network, tmp_path: Path
) -> None:
    torch = pytest.importorskip("torch")
    from benchmarks.peers import written
    from benchmarks.torch_networks import module

    x = tensor(small)
    path = artifact(SHIPPED, small.layers, tmp_path / "four.cam.onnx")
    ours = Asked(path, x, "CPUExecutionProvider").maps([3, 8], small.layers)
    order = torch.channels_last if batched else torch.contiguous_format
    theirs = written(module(small), x, small.layers, (3, 8), order, batched)()
    for layer in small.layers:
        np.testing.assert_allclose(
            theirs[layer], ours[layer], rtol=1e-3, atol=1e-4 * ours[layer].max()
        )
