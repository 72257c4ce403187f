"""What there is on CUDA alone: other number formats, CUDA graphs, and maps made on the device.

Each is timed over a plain inference in the same format, and as a CUDA graph where it is one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import onnx

from benchmarks.contestants import Asked, Plain, Row
from benchmarks.measure import Contestant
from benchmarks.networks import Network, artifact, tensor
from ortcam.errors import OrtcamError

__all__ = ["EXACT", "rows"]

_CUDA = "CUDAExecutionProvider"

EXACT = [(_CUDA, {"use_tf32": "0"})]
"""float32 throughout, as PyTorch is set up too; by default both round to TF32 in convolutions."""

_TF32 = [(_CUDA, {"use_tf32": "1"})]
_GRAPH = [(_CUDA, {"use_tf32": "0", "enable_cuda_graph": "1"})]


def rows(network: Network, plain: Path, folder: Path, unit: Plain) -> dict[str, Row]:
    """The rows of one network, which takes pictures of any size.

    Args:
        network: which.
        plain: its file.
        folder: for what is made of it.
        unit: the plain network, in its session.
    """
    half = _half(plain, folder / f"{network.name}.half.onnx")

    def row(name: str, model: Path, providers: Any, own: Unit, **how: bool) -> Row:
        return _row(network, model, folder / f"{network.name}.{name}.cam.onnx", providers, own, how)

    def inference(model: Path, providers: Any) -> Unit:
        return lambda: Plain(model, tensor(network), providers)

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


Unit = Callable[[], Plain]


def _row(
    network: Network,
    model: Path,
    path: Path,
    providers: Sequence[tuple[str, dict[str, str]]],
    unit: Unit,
    how: dict[str, bool],
) -> Row:
    """What cannot be run says why, and the others are timed all the same."""
    two, last = list(network.asked), network.layers[-1:]
    try:
        asked = Asked(
            artifact(model, last, path, size=network.size, **how), tensor(network), providers
        )
        asked.maps(two, last)
        own = unit()
    except OrtcamError as error:
        return Row(missing=str(error))
    return Row(
        Contestant(lambda _: asked.maps(two, last), own),
        lambda: asked.maps(two, last),
        coarse=".half." in model.name or providers is _TF32,
    )


def _half(network: Path, path: Path) -> Path:
    """A network in float16, whose input and output are float32."""
    from onnxruntime.transformers.float16 import convert_float_to_float16

    onnx.save(convert_float_to_float16(onnx.load(network), keep_io_types=True), path)
    return path


def _static(network: Network, model: Path, path: Path) -> Path:
    """A plain network whose input is one picture of its size."""
    proto, (width, height) = onnx.load(model), network.size
    dims = proto.graph.input[0].type.tensor_type.shape.dim
    for dim, extent in zip(dims, (1, 3, height, width), strict=True):
        dim.dim_value = extent
    for output in proto.graph.output:
        output.type.tensor_type.ClearField("shape")  # it follows
    onnx.save(proto, path)
    return path
