"""The subjects are what they claim: the torch module is the shipped network, questions differ."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import onnx
import pytest

from benchmarks import cuda_variants, processes
from benchmarks.agreement import COARSE, difference
from benchmarks.networks import NETWORKS, Network, artifact, tensor
from benchmarks.paths import SHIPPED
from benchmarks.subjects import ArtifactRun, PlainInference, rows
from ortcam.errors import ProviderError

SMALL = (96, 64)


@pytest.fixture(scope="module")
def small() -> Network:
    return dataclasses.replace(NETWORKS["shipped"], size=SMALL)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["shipped", "shipped-3x3"])
def test_every_row_runs_and_maps_agree(name: str, tmp_path: Path) -> None:
    network = dataclasses.replace(NETWORKS[name], size=SMALL)
    plain = tmp_path / "plain.onnx"
    assert network.build is not None
    network.build(plain)
    unit = PlainInference(plain, tensor(network), "CPUExecutionProvider")
    table = rows(network, plain, tmp_path, "CPUExecutionProvider", unit)
    assert ("batch-2" in table) == network.batches
    for row in table.values():
        assert (row.subject is None) == bool(row.missing)
        if row.subject:
            row.subject.unit(0)
            row.subject.run(0)
            row.subject.run(1)
    truth = table["four-2"].maps
    assert truth is not None
    for row in table.values():
        for layer, maps in row.maps().items() if row.maps else ():
            np.testing.assert_allclose(maps, truth()[layer], rtol=1e-3, atol=1e-6)


def test_the_pictures_of_a_batch_are_explained_separately(small: Network, tmp_path: Path) -> None:
    last = small.layers[-1]
    path = artifact(SHIPPED, (last,), tmp_path / "last.cam.onnx")
    eight = tensor(small, batch=8)
    maps = ArtifactRun(path, eight, "CPUExecutionProvider").batch([3, 8], last)
    assert maps.shape[:2] == (2, 8)
    third = ArtifactRun(path, eight[3:4], "CPUExecutionProvider").maps([3, 8], (last,))
    np.testing.assert_allclose(maps[:, 3], third[last], rtol=1e-3, atol=1e-6)
    assert np.abs(maps[:, 3] - maps[:, 0]).max() > 1e-3
    single = ArtifactRun(path, eight, "CPUExecutionProvider").batch([3, 8], last, together=1)
    np.testing.assert_allclose(maps, single, rtol=1e-3, atol=1e-6)


@pytest.mark.slow
def test_the_rows_for_cuda_run_and_maps_agree(
    small: Network, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The CPU replaces CUDA, with the same networks and artifacts."""
    for name in ("EXACT", "_TF32", "_GRAPH"):
        monkeypatch.setattr(cuda_variants, name, [("CPUExecutionProvider", {})])
    unit = PlainInference(SHIPPED, tensor(small), "CPUExecutionProvider")
    table = cuda_variants.rows(small, SHIPPED, tmp_path, unit)
    last = artifact(SHIPPED, small.layers[-1:], tmp_path / "last.cam.onnx")
    truth = ArtifactRun(last, tensor(small), "cpu").maps(list(small.two_classes), small.layers[-1:])
    assert [name for name, row in table.items() if row.coarse] == [
        *("last-2-tf32", "last-2-fp16", "last-2-fast")
    ]
    for name, row in table.items():
        assert row.subject is not None, row.missing
        assert row.maps is not None
        row.subject.unit(0)
        row.subject.run(0)
        assert difference(row.maps(), truth) <= (COARSE if row.coarse else 1e-4), name
    halves = [str(n.op_type) for n in onnx.load(tmp_path / "shipped.half.onnx").graph.node]
    assert "Cast" in halves
    fixed = onnx.load(tmp_path / "shipped.half.static.onnx").graph.input[0]
    assert [d.dim_value for d in fixed.type.tensor_type.shape.dim] == [1, 3, *SMALL[::-1]]


def test_without_cuda_the_rows_state_the_reason(small: Network, tmp_path: Path) -> None:
    try:
        PlainInference(SHIPPED, tensor(small), "cuda")
    except ProviderError:
        unit = PlainInference(SHIPPED, tensor(small), "CPUExecutionProvider")
        table = cuda_variants.rows(small, SHIPPED, tmp_path, unit)
        assert all("CUDAExecutionProvider" in row.missing for row in table.values())
    else:
        pytest.skip("CUDA starts")


def test_processes_get_the_providers(small: Network, tmp_path: Path) -> None:
    for kind, layers in (("last", small.layers[-1:]), ("four", small.layers)):
        artifact(SHIPPED, layers, tmp_path / f"shipped.{kind}.cam.onnx")
    cpu: list[tuple[str, dict[str, str]]] = [("CPUExecutionProvider", {})]
    work = processes.jobs(small, SHIPPED, tmp_path, cpu, "cpu", 2, torch=False)
    assert set(work) == {"plain", "last-2", "four-2"}
    del work["four-2"]
    results = processes.measure(work, 1, lambda line: None)
    assert all(values["memory"][0] > 1e6 for values in results.values())


@pytest.mark.torch
def test_the_torch_module_is_the_shipped_network(small: Network) -> None:
    torch = pytest.importorskip("torch")
    from benchmarks.torch_export import module

    x = tensor(small)
    with torch.no_grad():
        score = module(small)(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(
        score, PlainInference(SHIPPED, x, "CPUExecutionProvider").score, atol=1e-5
    )


@pytest.mark.torch
@pytest.mark.parametrize("batched", [False, True])
def test_handwritten_pytorch_computes_the_same_maps(
    batched: bool, small: Network, tmp_path: Path
) -> None:
    torch = pytest.importorskip("torch")
    from benchmarks.peers import handwritten
    from benchmarks.torch_export import module

    x = tensor(small)
    path = artifact(SHIPPED, small.layers, tmp_path / "four.cam.onnx")
    ours = ArtifactRun(path, x, "CPUExecutionProvider").maps([3, 8], small.layers)
    order = torch.channels_last if batched else torch.contiguous_format
    theirs = handwritten(module(small), x, small.layers, (3, 8), order, batched)()
    for layer in small.layers:
        np.testing.assert_allclose(
            theirs[layer], ours[layer], rtol=1e-3, atol=1e-4 * ours[layer].max()
        )
