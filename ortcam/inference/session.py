"""An artifact opened in onnxruntime: on CUDA where that really starts, else on the CPU.

onnxruntime-gpu goes on without a word on the CPU where CUDA does not start; what a session runs
on is therefore read from the session, not from what was asked for.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ortcam.errors import InputError, ModelError
from ortcam.inference.cuda_graphs import Replays
from ortcam.inference.ort_errors import RunError, plain_message
from ortcam.inference.providers import (
    CUDA,
    ProviderOptions,
    Providers,
    import_onnxruntime,
    open_on,
    open_on_best,
    require_cuda_graphs,
    resolve_providers,
    uses_cuda_graphs,
)
from ortcam.tensor_spec import TensorSpec

__all__ = ["DeviceTensor", "Session"]

_DTYPES: dict[str, type[np.generic]] = {
    "tensor(float)": np.float32,
    "tensor(double)": np.float64,
    "tensor(float16)": np.float16,
    "tensor(bool)": np.bool_,
    "tensor(string)": np.str_,
    **{f"tensor(int{bits})": np.dtype(f"int{bits}").type for bits in (8, 16, 32, 64)},
    **{f"tensor(uint{bits})": np.dtype(f"uint{bits}").type for bits in (8, 16, 32, 64)},
}


@dataclass(frozen=True, eq=False)
class DeviceTensor:
    """A tensor where it was computed.

    Attributes:
        value: onnxruntime's own.
    """

    value: Any

    @property
    def shape(self) -> tuple[int, ...]:
        """Its extents."""
        return tuple(self.value.shape())

    def array(self) -> NDArray[Any]:
        """Its numbers, copied to the host where it lies elsewhere."""
        array: NDArray[Any] = self.value.numpy()
        return array


class Session:
    """A model that runs.

    Attributes:
        source: what to call the model in an error.
        provider: the execution provider it really runs on.
        threads: how many it was opened with.
        inputs, outputs: by name, in the graph's order.
        metadata: the model's ``metadata_props``.
    """

    def __init__(
        self,
        model: str | os.PathLike[str] | bytes,
        providers: Providers | None = None,
        threads: int | None = None,
    ) -> None:
        """Opens a model.

        Args:
            model: a path, or a serialised ONNX model.
            providers: None for CUDA where it starts, else the CPU.
            threads: how many compute on the CPU; None for one for each of the machine's cores.

        Raises:
            DependencyError: onnxruntime is not installed.
            InputError: there is to be no thread.
            ModelError: the model cannot be loaded.
            ProviderError: a provider that was asked for does not start.
        """
        if threads is not None and threads < 1:
            raise InputError(f"threads is {threads}; it is 1 or more")
        runtime = import_onnxruntime()
        self.threads = threads
        self.source = "the model" if isinstance(model, bytes) else str(model)
        loadable = model if isinstance(model, bytes) else _existing(Path(model))
        asked: ProviderOptions = []
        if providers is None:
            session = open_on_best(runtime, loadable, self.source, threads)
        else:
            asked = resolve_providers(runtime, providers)
            if uses_cuda_graphs(asked):
                require_cuda_graphs(runtime)
            session = open_on(runtime, loadable, asked, self.source, threads)
        self._session = session
        self.provider: str = session.get_providers()[0]
        self.inputs = _slots(session.get_inputs())
        self.outputs = _slots(session.get_outputs())
        self.metadata: dict[str, str] = dict(session.get_modelmeta().custom_metadata_map)
        self._replays = Replays(runtime, session, self._device) if uses_cuda_graphs(asked) else None

    @property
    def replays(self) -> bool:
        """Whether it replays CUDA graphs; see :mod:`ortcam.inference.cuda_graphs`."""
        return self._replays is not None

    def run(
        self, outputs: Sequence[str], feeds: Mapping[str, NDArray[Any]]
    ) -> dict[str, NDArray[Any]]:
        """Runs the model once.

        Raises:
            RunError: onnxruntime reports a failure.
        """
        with self._told():
            if self._replays is not None:
                return self._replays.run(outputs, feeds)
            values = self._session.run(list(outputs), dict(feeds))
        return dict(zip(outputs, values, strict=True))

    def run_there(
        self, outputs: Sequence[str], feeds: Mapping[str, NDArray[Any] | DeviceTensor]
    ) -> dict[str, DeviceTensor]:
        """Runs the model once, and leaves what it gives where it was computed.

        Shapes are computed, and read, on the host: they stay there.

        Raises:
            RunError: onnxruntime reports a failure.
        """
        with self._told():
            binding = self._session.io_binding()
            for name, value in feeds.items():
                if isinstance(value, DeviceTensor):
                    binding.bind_ortvalue_input(name, value.value)
                elif value.dtype.kind == "U":  # binding knows numbers only
                    there = import_onnxruntime().OrtValue.ortvalue_from_numpy(value)
                    binding.bind_ortvalue_input(name, there)
                else:
                    binding.bind_cpu_input(name, np.asarray(value, order="C"))
            for name in outputs:
                where = ("cpu", 0) if _is_shape(self.outputs[name]) else self._device
                binding.bind_output(name, *where)
            self._session.run_with_iobinding(binding)
            values = binding.get_outputs()
        return {name: DeviceTensor(value) for name, value in zip(outputs, values, strict=True)}

    def put_there(self, array: NDArray[Any]) -> NDArray[Any] | DeviceTensor:
        """An array for several runs, on the device; numbers only, others stay on the host."""
        if self._device[0] == "cpu" or array.dtype.kind not in "biuf":
            return array
        in_order = np.asarray(array, order="C")
        return DeviceTensor(
            import_onnxruntime().OrtValue.ortvalue_from_numpy(in_order, *self._device)
        )

    @property
    def _device(self) -> tuple[str, int]:
        """Where the provider computes, as far as tensors can be left there."""
        if self.provider != CUDA:
            return "cpu", 0
        return "cuda", int(self._session.get_provider_options()[CUDA].get("device_id", 0))

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        """Tells of onnxruntime's failures in a sentence."""
        try:
            yield
        except Exception as error:  # onnxruntime's kinds share no base
            remedy = "; without enable_cuda_graph it may" if self.replays else ""
            raise RunError(
                f"onnxruntime cannot run {self.source}: {plain_message(error)}{remedy}"
            ) from error


def _existing(path: Path) -> str:
    if path.is_dir():
        raise ModelError(f"{path} is a folder, not an ONNX file")
    try:
        with path.open("rb"):
            return str(path)
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror or error}") from error


def _is_shape(slot: TensorSpec) -> bool:
    """Whether a tensor is a list of integers, or one, as shapes and extents are."""
    return slot.dtype is np.int64 and len(slot.shape) <= 1


def _slots(values: Sequence[Any]) -> dict[str, TensorSpec]:
    return {v.name: TensorSpec(v.name, tuple(v.shape), _DTYPES.get(v.type)) for v in values}
