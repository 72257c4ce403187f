"""Rows for CUDA alone: other number formats, CUDA graphs, and maps computed on the device.

Each is timed over plain inference in the same format, as a CUDA graph too if the row is one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import onnx

from benchmarks.measure import Subject
from benchmarks.networks import Network, artifact, tensor
from benchmarks.subjects import ArtifactRun, PlainInference, Row
from ortcam.errors import OrtcamError

__all__ = ["EXACT", "rows"]

_CUDA = "CUDAExecutionProvider"

EXACT = [(_CUDA, {"use_tf32": "0"})]
"""Pure float32, as in PyTorch's setup here; by default both round to TF32 in convolutions."""

_TF32 = [(_CUDA, {"use_tf32": "1"})]
_GRAPH = [(_CUDA, {"use_tf32": "0", "enable_cuda_graph": "1"})]


def rows(network: Network, plain: Path, folder: Path, unit: PlainInference) -> dict[str, Row]:
    """The rows of one network, whose size is dynamic.

    Args:
        network: the network.
        plain: the file of the plain network.
        folder: the folder for its variants.
        unit: the plain network in its session.
    """
    half = _half(plain, folder / f"{network.name}.half.onnx")

    def row(name: str, model: Path, providers: Any, unit: Unit, **options: bool) -> Row:
        path = folder / f"{network.name}.{name}.cam.onnx"
        return _row(network, model, path, providers, unit, options)

    def inference(model: Path, providers: Any) -> Unit:
        return lambda: PlainInference(model, tensor(network), providers)

    fixed = _static(network, plain, folder / f"{network.name}.static.onnx")
    fixed_half = _static(network, half, folder / f"{network.name}.half.static.onnx")
    return {
        "last-2-maps": row("maps", plain, EXACT, lambda: unit, maps=True),
        "last-2-tf32": row("last", plain, _TF32, inference(plain, _TF32)),
        "last-2-fp16": row("half", half, EXACT, inference(half, EXACT)),
        "last-2-graph": row("graph", plain, _GRAPH, inference(fixed, _GRAPH), static=True),
        "last-2-fast": row(
            "fast", half, _GRAPH, inference(fixed_half, _GRAPH), static=True, maps=True
        ),
    }


Unit = Callable[[], PlainInference]


def _row(
    network: Network,
    model: Path,
    path: Path,
    providers: Sequence[tuple[str, dict[str, str]]],
    unit: Unit,
    options: dict[str, bool],
) -> Row:
    """A row; one that cannot run states the reason, and the others are timed regardless."""
    two, last = list(network.two_classes), network.layers[-1:]
    try:
        exported = artifact(model, last, path, size=network.size, **options)
        run = ArtifactRun(exported, tensor(network), providers)
        run.maps(two, last)
        inference = unit()
    except OrtcamError as error:
        return Row(missing=str(error))
    return Row(
        Subject(lambda _: run.maps(two, last), inference),
        lambda: run.maps(two, last),
        coarse=".half." in model.name or providers is _TF32,
    )


def _half(network: Path, path: Path) -> Path:
    """A network in float16 with float32 input and output."""
    from onnxruntime.transformers.float16 import convert_float_to_float16

    onnx.save(convert_float_to_float16(onnx.load(network), keep_io_types=True), path)
    return path


def _static(network: Network, model: Path, path: Path) -> Path:
    """A plain network whose input is a single picture of a fixed size."""
    proto, (width, height) = onnx.load(model), network.size
    dims = proto.graph.input[0].type.tensor_type.shape.dim
    for dim, extent in zip(dims, (1, 3, height, width), strict=True):
        dim.dim_value = extent
    for output in proto.graph.output:
        output.type.tensor_type.ClearField("shape")  # inferred from the input
    onnx.save(proto, path)
    return path
