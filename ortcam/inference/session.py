"""An artifact opened in onnxruntime: on CUDA where that really starts, else on the CPU.

onnxruntime-gpu goes on without a word on the CPU where CUDA does not start; what a session runs
on is therefore read from the session, not from what was asked for.
"""

from __future__ import annotations

import contextlib
import ctypes
import io
import os
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ortcam.errors import DependencyError, InputError, ModelError, ProviderError, nearest
from ortcam.inference.cuda_graphs import SINCE, Replays

__all__ = ["Providers", "RunError", "Session", "Slot", "There", "is_training_build"]

Providers: TypeAlias = "str | Sequence[str | tuple[str, dict[str, Any]]]"
"""Execution providers as onnxruntime takes them; short names such as ``"cuda"`` will do."""

_Asked: TypeAlias = list[tuple[str, dict[str, Any]]]

_CPU = "CPUExecutionProvider"
_CUDA = "CUDAExecutionProvider"
_DTYPES: dict[str, type[np.generic]] = {
    "tensor(float)": np.float32,
    "tensor(double)": np.float64,
    "tensor(float16)": np.float16,
    "tensor(bool)": np.bool_,
    "tensor(string)": np.str_,
    **{f"tensor(int{bits})": np.dtype(f"int{bits}").type for bits in (8, 16, 32, 64)},
    **{f"tensor(uint{bits})": np.dtype(f"uint{bits}").type for bits in (8, 16, 32, 64)},
}


#: What only the training builds have: gradients, and a few operators that these are made of.
_TRAINING_OPERATOR = re.compile(r"com\.microsoft:(\w*Grad\w*|\w*Training|Scale)")


class RunError(ModelError):
    """onnxruntime loaded the network, and a run of it failed."""


@dataclass(frozen=True)
class Slot:
    """An input or output of the graph.

    Attributes:
        name: its tensor's.
        shape: an extent is a number, a name, or None where nothing is known.
        dtype: None for what NumPy has no type for.
    """

    name: str
    shape: tuple[int | str | None, ...]
    dtype: type[np.generic] | None

    def __str__(self) -> str:
        extents = ", ".join("?" if extent is None else str(extent) for extent in self.shape)
        return f"{self.name} [{extents}] {np.dtype(self.dtype).name if self.dtype else ''}".strip()


@dataclass(frozen=True, eq=False)
class There:
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
        runtime = _onnxruntime()
        self.threads = threads
        self.source = "the model" if isinstance(model, bytes) else str(model)
        loadable = model if isinstance(model, bytes) else _existing(Path(model))
        asked: _Asked = []
        if providers is None:
            session = _open_on_best(runtime, loadable, self.source, threads)
        else:
            asked = _asked(runtime, providers)
            if _replaying(asked):
                _check_replays(runtime)
            session = _open_on(runtime, loadable, asked, self.source, threads)
        self._session = session
        self.provider: str = session.get_providers()[0]
        self.inputs = _slots(session.get_inputs())
        self.outputs = _slots(session.get_outputs())
        self.metadata: dict[str, str] = dict(session.get_modelmeta().custom_metadata_map)
        self._replays = Replays(runtime, session, self._device) if _replaying(asked) else None

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
        self, outputs: Sequence[str], feeds: Mapping[str, NDArray[Any] | There]
    ) -> dict[str, There]:
        """Runs the model once, and leaves what it gives where it was computed.

        Shapes are computed, and read, on the host: they stay there.

        Raises:
            RunError: onnxruntime reports a failure.
        """
        with self._told():
            binding = self._session.io_binding()
            for name, value in feeds.items():
                if isinstance(value, There):
                    binding.bind_ortvalue_input(name, value.value)
                elif value.dtype.kind == "U":  # binding knows numbers only
                    there = _onnxruntime().OrtValue.ortvalue_from_numpy(value)
                    binding.bind_ortvalue_input(name, there)
                else:
                    binding.bind_cpu_input(name, np.asarray(value, order="C"))
            for name in outputs:
                where = ("cpu", 0) if _is_shape(self.outputs[name]) else self._device
                binding.bind_output(name, *where)
            self._session.run_with_iobinding(binding)
            values = binding.get_outputs()
        return {name: There(value) for name, value in zip(outputs, values, strict=True)}

    def put_there(self, array: NDArray[Any]) -> NDArray[Any] | There:
        """An array for several runs, on the device; numbers only, others stay on the host."""
        if self._device[0] == "cpu" or array.dtype.kind not in "biuf":
            return array
        in_order = np.asarray(array, order="C")
        return There(_onnxruntime().OrtValue.ortvalue_from_numpy(in_order, *self._device))

    @property
    def _device(self) -> tuple[str, int]:
        """Where the provider computes, as far as tensors can be left there."""
        if self.provider != _CUDA:
            return "cpu", 0
        return "cuda", int(self._session.get_provider_options()[_CUDA].get("device_id", 0))

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        """Tells of onnxruntime's failures in a sentence."""
        try:
            yield
        except Exception as error:  # onnxruntime's kinds share no base
            remedy = "; without enable_cuda_graph it may" if self.replays else ""
            raise RunError(
                f"onnxruntime cannot run {self.source}: {_plain(error)}{remedy}"
            ) from error


def _onnxruntime() -> Any:
    """Imported when a model is opened, not before: the command line's help needs none."""
    try:
        import onnxruntime
    except ImportError as error:
        raise DependencyError(
            f"onnxruntime cannot be imported ({error}); "
            "pip install 'ortcam[cpu]', or 'ortcam[gpu]' for CUDA, but never both"
        ) from error
    if not hasattr(onnxruntime, "InferenceSession"):
        raise DependencyError(
            "onnxruntime is damaged, as it is when two of its builds were installed over each "
            "other; pip uninstall onnxruntime onnxruntime-gpu onnxruntime-training, "
            "then pip install 'ortcam[cpu]' or 'ortcam[gpu]'"
        )
    return onnxruntime


def is_training_build() -> bool:
    """Whether the installed onnxruntime is one of its training builds."""
    _onnxruntime()
    from onnxruntime.capi import _pybind_state

    return hasattr(_pybind_state, "GradientGraphBuilder")


def _existing(path: Path) -> str:
    if path.is_dir():
        raise ModelError(f"{path} is a folder, not an ONNX file")
    try:
        with path.open("rb"):
            return str(path)
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror or error}") from error


def _is_shape(slot: Slot) -> bool:
    """Whether a tensor is a list of integers, or one, as shapes and extents are."""
    return slot.dtype is np.int64 and len(slot.shape) <= 1


def _slots(values: Sequence[Any]) -> dict[str, Slot]:
    return {v.name: Slot(v.name, tuple(v.shape), _DTYPES.get(v.type)) for v in values}


# Which provider


def _asked(runtime: Any, providers: Providers) -> _Asked:
    """What was asked for, by onnxruntime's own names, each with its options."""
    listed = [providers] if isinstance(providers, str) else list(providers)
    if not listed:
        raise ProviderError("providers names no execution provider; leave it out for the best one")
    known = {name.casefold(): name for name in runtime.get_all_providers()}
    known |= {name.removesuffix("executionprovider"): full for name, full in known.items()}
    here = runtime.get_available_providers()
    asked = []
    for entry in listed:
        name, options = (entry, {}) if isinstance(entry, str) else entry
        full = known.get(name.casefold(), name)
        if full not in runtime.get_all_providers() and full not in here:
            short = [name.removesuffix("ExecutionProvider") for name in here]
            raise ProviderError(f"onnxruntime knows no provider {name!r}{nearest(name, short)}")
        if full not in here:
            install = "; pip install 'ortcam[gpu]' in its place" if full == _CUDA else ""
            raise ProviderError(
                f"the installed onnxruntime has no {full}; it has {', '.join(here)}{install}"
            )
        asked.append((full, options))
    return asked


def _replaying(asked: _Asked) -> bool:
    """Whether CUDA graphs were asked for."""
    option = dict(asked).get(_CUDA, {}).get("enable_cuda_graph", 0)
    return str(option).casefold() in ("1", "true")


def _check_replays(runtime: Any) -> None:
    if _version(runtime) < SINCE:
        raise ProviderError(
            f"enable_cuda_graph takes onnxruntime-gpu {'.'.join(map(str, SINCE))} or later, and "
            f"{runtime.__version__} is installed; pip install --upgrade onnxruntime-gpu"
        )


def _open_on_best(runtime: Any, model: str | bytes, source: str, threads: int | None) -> Any:
    if _CUDA in runtime.get_available_providers():
        with contextlib.suppress(Exception):  # whatever keeps CUDA from starting: then the CPU
            return _start(runtime, model, [(_CUDA, {})], threads)
    return _open_on(runtime, model, [(_CPU, {})], source, threads)


def _open_on(
    runtime: Any,
    model: str | bytes,
    asked: _Asked,
    source: str,
    threads: int | None,
) -> Any:
    names = [name for name, _ in asked]
    try:
        session = _start(runtime, model, asked, threads)
    except Exception as error:  # onnxruntime's kinds share no base
        if names != [_CPU]:  # the provider, or the model? a model that the CPU loads is sound
            _open_on(runtime, model, [(_CPU, {})], source, threads)
            said = _not_replayed(error, source) or f"{names[0]} does not start: {_plain(error)}"
            raise ProviderError(said) from error
        raise _not_loaded(error, model, source) from error
    for name in names:
        if name not in session.get_providers():
            raise ProviderError(f"{name} does not start: {_reason(runtime, name)}")
    return session


def _start(runtime: Any, model: str | bytes, asked: _Asked, threads: int | None) -> Any:
    """A session as onnxruntime makes it, silently, and without its own fallback's prints."""
    options = runtime.SessionOptions()
    options.log_severity_level = 4  # what goes wrong comes as an exception too
    options.intra_op_num_threads = threads or 0  # 0: a thread for each core of the machine
    names = [name for name, _ in asked]
    with _quiet(runtime) if names != [_CPU] else contextlib.nullcontext():
        if _CUDA in names and hasattr(runtime, "preload_dlls"):
            runtime.preload_dlls()  # finds CUDA in NVIDIA's wheels, which the gpu extra installs
        return runtime.InferenceSession(
            model,
            options,
            providers=asked,
            disabled_optimizers=_HARMFUL if _version(runtime) < (1, 32) else None,
            enable_fallback=0,
        )


_HARMFUL = ["MatmulTransposeFusion"]
"""Before onnxruntime 1.32 the product that this makes divides by the number of its matrices, and
the process ends, where there is none: as in a run without a question."""


def _version(runtime: Any) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", runtime.__version__)[:3])


@contextlib.contextmanager
def _quiet(runtime: Any) -> Iterator[None]:
    """Keeps what onnxruntime says about a provider that does not start off the screen."""
    runtime.set_default_logger_severity(4)
    try:
        with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        runtime.set_default_logger_severity(2)  # onnxruntime's default; it tells nobody the level


def _reason(runtime: Any, provider: str) -> str:
    """Why a provider did not start, which onnxruntime only writes to its log."""
    stem = provider.removesuffix("ExecutionProvider").lower()
    folder = Path(runtime.__file__).parent / "capi"
    for library in sorted(folder.glob(f"*onnxruntime_providers_{stem}.*")):
        try:
            ctypes.CDLL(str(library))
        except OSError as error:
            remedy = "; pip install 'ortcam[gpu]' brings what CUDA needs" if stem == "cuda" else ""
            return f"{error}{remedy}"
    return "there is no device that it can use, or the device's driver is too old"


# What went wrong


def _not_replayed(error: Exception, source: str) -> str | None:
    """Why a model cannot be run as a CUDA graph; None where something else went wrong."""
    text = str(error)
    if not re.search(r"cannot use the (?:CUDA graph|graph capture) feature", text, re.IGNORECASE):
        return None
    if "control flow" in text:
        return (
            f"{source} cannot be run as a CUDA graph: it has control flow (If, Loop or Scan); "
            "leave out enable_cuda_graph"
        )
    return (
        f"{source} cannot be run as a CUDA graph: part of it is computed on the CPU, as sizes are "
        "that are known only in the run; export it again with static=True, or leave out "
        "enable_cuda_graph"
    )


def _not_loaded(error: Exception, model: str | bytes, source: str) -> ModelError:
    text = str(error)
    if unknown := re.search(r"(\S+)\(-?\d+\) is not a registered function/op", text):
        return ModelError(
            f"the installed onnxruntime has no operator {unknown[1]}, which {source} needs; "
            + (
                "it was exported with engine='ort-training' and needs a training build of "
                "onnxruntime: pip install 'ortcam[training]' in an environment of its own, or "
                "export the network again with engine='ortcam'"
                if _TRAINING_OPERATOR.fullmatch(unknown[1])
                else "a network with operators of its own cannot be run"
            )
        )
    if missing := re.search(r"find an implementation for (\w+)\(\d+\) node", text):
        return ModelError(
            f"the installed onnxruntime has no kernel for {missing[1]}, which {source} needs, on "
            "the CPU; "
            + (
                "export the network with engine='ortcam'"
                if _TRAINING_OPERATOR.fullmatch(f"com.microsoft:{missing[1]}")
                else "another execution provider may have one"
            )
        )
    if re.search("INVALID_PROTOBUF|No graph was found|does not have a graph", text):
        if _first_byte(model) == b"\x08":  # the tag of ir_version, which comes first
            return ModelError(f"{source} is a damaged ONNX file, or only the beginning of one")
        return ModelError(f"{source} is not an ONNX file")
    return ModelError(f"onnxruntime cannot load {source}: {_plain(error)}")


def _first_byte(model: str | bytes) -> bytes:
    if isinstance(model, bytes):
        return model[:1]
    with Path(model).open("rb") as file:
        return file.read(1)


def _plain(error: Exception) -> str:
    """The message of onnxruntime in one line, without its codes and its own source files."""
    text = " ".join(str(error).split())
    text = re.sub(r"^\[ONNXRuntimeError\] : \d+ : \w+ : ", "", text)
    text = re.sub(r"Non-zero status code returned while |Exception during [a-z]+: ", "", text)
    text = re.sub(r"/\S+\.(?:cc|h|cpp):\d+ (?:.*\) )?", "", text)
    text = re.sub(r"Status Message: (?:\S+\.(?:cc|h):\d+ \S+ )?", "", text)
    return text if len(text) <= 400 else text[:400] + "…"
