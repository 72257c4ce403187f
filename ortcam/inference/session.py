"""A model in an onnxruntime session: on CUDA if it starts, else on the CPU.

onnxruntime-gpu falls back to the CPU silently if CUDA does not start. The provider in use is
therefore read from the session, not from the request.
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
    """A tensor on the device that computed it.

    Attributes:
        value: onnxruntime's OrtValue.
    """

    value: Any

    @property
    def shape(self) -> tuple[int, ...]:
        """The tensor's shape."""
        return tuple(self.value.shape())

    def array(self) -> NDArray[Any]:
        """The values, copied to the host if they are elsewhere."""
        array: NDArray[Any] = self.value.numpy()
        return array


class Session:
    """A model, loaded and ready to run.

    Attributes:
        source: the model's path, or "the model", for error messages.
        provider: the execution provider in use.
        threads: the number of CPU threads requested, or None.
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
            model: a path, or a serialized ONNX model.
            providers: in order of preference; None for CUDA if it starts, else the CPU.
            threads: the number of CPU threads; None for one for each of the machine's cores.

        Raises:
            DependencyError: onnxruntime is not installed.
            InputError: ``threads`` is below 1.
            ModelError: the model cannot be loaded.
            ProviderError: a requested provider does not start.
        """
        if threads is not None and threads < 1:
            raise InputError(f"threads must be at least 1, got {threads}")
        runtime = import_onnxruntime()
        self.threads = threads
        self.source = "the model" if isinstance(model, bytes) else str(model)
        loadable = model if isinstance(model, bytes) else _existing(Path(model))
        options: ProviderOptions = []
        if providers is None:
            session = open_on_best(runtime, loadable, self.source, threads)
        else:
            options = resolve_providers(runtime, providers)
            if uses_cuda_graphs(options):
                require_cuda_graphs(runtime)
            session = open_on(runtime, loadable, options, self.source, threads)
        self._session = session
        self.provider: str = session.get_providers()[0]
        self.inputs = _specs(session.get_inputs())
        self.outputs = _specs(session.get_outputs())
        self.metadata: dict[str, str] = dict(session.get_modelmeta().custom_metadata_map)
        uses_graphs = uses_cuda_graphs(options)
        self._replays = Replays(runtime, session, self._device) if uses_graphs else None

    @property
    def replays(self) -> bool:
        """True if runs are CUDA graphs; see :mod:`ortcam.inference.cuda_graphs`."""
        return self._replays is not None

    def run(
        self, outputs: Sequence[str], feeds: Mapping[str, NDArray[Any]]
    ) -> dict[str, NDArray[Any]]:
        """Runs the model once.

        Raises:
            RunError: onnxruntime reports a failure.
        """
        with self._run_errors():
            if self._replays is not None:
                return self._replays.run(outputs, feeds)
            values = self._session.run(list(outputs), dict(feeds))
        return dict(zip(outputs, values, strict=True))

    def run_on_device(
        self, outputs: Sequence[str], feeds: Mapping[str, NDArray[Any] | DeviceTensor]
    ) -> dict[str, DeviceTensor]:
        """Runs the model once, and leaves its outputs on the device.

        Shapes are computed and read on the host, and stay there.

        Raises:
            RunError: onnxruntime reports a failure.
        """
        with self._run_errors():
            binding = self._session.io_binding()
            for name, value in feeds.items():
                if isinstance(value, DeviceTensor):
                    binding.bind_ortvalue_input(name, value.value)
                elif value.dtype.kind == "U":  # binding knows numbers only
                    text = import_onnxruntime().OrtValue.ortvalue_from_numpy(value)
                    binding.bind_ortvalue_input(name, text)
                else:
                    binding.bind_cpu_input(name, np.asarray(value, order="C"))
            for name in outputs:
                device = ("cpu", 0) if _is_shape(self.outputs[name]) else self._device
                binding.bind_output(name, *device)
            self._session.run_with_iobinding(binding)
            values = binding.get_outputs()
        return {name: DeviceTensor(value) for name, value in zip(outputs, values, strict=True)}

    def to_device(self, array: NDArray[Any]) -> NDArray[Any] | DeviceTensor:
        """Copies numbers to the device, for several runs; text stays on the host."""
        if self._device[0] == "cpu" or array.dtype.kind not in "biuf":
            return array
        contiguous = np.asarray(array, order="C")
        return DeviceTensor(
            import_onnxruntime().OrtValue.ortvalue_from_numpy(contiguous, *self._device)
        )

    @property
    def _device(self) -> tuple[str, int]:
        """The device that holds tensors between runs: CUDA's, or else the host."""
        if self.provider != CUDA:
            return "cpu", 0
        return "cuda", int(self._session.get_provider_options()[CUDA].get("device_id", 0))

    @contextlib.contextmanager
    def _run_errors(self) -> Iterator[None]:
        """Raises onnxruntime's failures as one sentence."""
        try:
            yield
        except Exception as error:  # onnxruntime's kinds share no base
            remedy = "; leave out enable_cuda_graph" if self.replays else ""
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


def _is_shape(spec: TensorSpec) -> bool:
    """True for an integer or a list of integers, such as a shape or an extent."""
    return spec.dtype is np.int64 and len(spec.shape) <= 1


def _specs(values: Sequence[Any]) -> dict[str, TensorSpec]:
    return {v.name: TensorSpec(v.name, tuple(v.shape), _DTYPES.get(v.type)) for v in values}
