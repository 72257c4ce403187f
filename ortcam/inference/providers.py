"""Execution providers: resolving their names, and opening a session on one."""

from __future__ import annotations

import contextlib
import ctypes
import io
import re
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from ortcam.errors import DependencyError, ProviderError, nearest
from ortcam.inference.cuda_graphs import SINCE
from ortcam.inference.ort_errors import cuda_graph_error, load_error, plain_message
from ortcam.messages import Option

__all__ = [
    "CPU",
    "CUDA",
    "ProviderOptions",
    "Providers",
    "import_onnxruntime",
    "is_training_build",
    "open_on",
    "open_on_best",
    "require_cuda_graphs",
    "resolve_providers",
    "uses_cuda_graphs",
]

Providers: TypeAlias = "str | Sequence[str | tuple[str, dict[str, Any]]]"
"""Execution providers as onnxruntime takes them, or by short names such as ``"cuda"``."""

ProviderOptions: TypeAlias = list[tuple[str, dict[str, Any]]]
"""Execution providers by onnxruntime's names, each with its options."""

CPU = "CPUExecutionProvider"
CUDA = "CUDAExecutionProvider"


def import_onnxruntime() -> Any:
    """Imports onnxruntime when a model is opened, so that ``ortcam --help`` works without it.

    Raises:
        DependencyError: it is not installed, or its installation is damaged.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise DependencyError(
            f"onnxruntime cannot be imported ({error}); "
            "pip install 'ortcam[cpu]', or 'ortcam[gpu]' for CUDA, but never both"
        ) from error
    if not hasattr(onnxruntime, "InferenceSession"):
        raise DependencyError(
            "the installation of onnxruntime is damaged, probably because two of its builds "
            "overwrote each other; "
            "pip uninstall onnxruntime onnxruntime-gpu onnxruntime-training, "
            "then pip install 'ortcam[cpu]' or 'ortcam[gpu]'"
        )
    return onnxruntime


def is_training_build() -> bool:
    """True if the installed onnxruntime is a training build."""
    import_onnxruntime()
    from onnxruntime.capi import _pybind_state

    return hasattr(_pybind_state, "GradientGraphBuilder")


def resolve_providers(runtime: Any, providers: Providers) -> ProviderOptions:
    """Return the requested providers by onnxruntime's names, each with its options.

    Raises:
        ProviderError: a provider is unknown, or the installed onnxruntime lacks it.
    """
    listed = [providers] if isinstance(providers, str) else list(providers)
    if not listed:
        raise ProviderError("no execution provider is named; leave ", Option("providers"), " out")
    known = {name.casefold(): name for name in runtime.get_all_providers()}
    known |= {name.removesuffix("executionprovider"): full for name, full in known.items()}
    available = runtime.get_available_providers()
    resolved = []
    for entry in listed:
        name, options = (entry, {}) if isinstance(entry, str) else entry
        full = known.get(name.casefold(), name)
        if full not in runtime.get_all_providers() and full not in available:
            short = [name.removesuffix("ExecutionProvider") for name in available]
            raise ProviderError(f"onnxruntime has no provider {name!r}{nearest(name, short)}")
        if full not in available:
            install = "; pip install 'ortcam[gpu]' instead" if full == CUDA else ""
            raise ProviderError(
                f"the installed onnxruntime has no {full}; it has {', '.join(available)}{install}"
            )
        resolved.append((full, options))
    return resolved


def uses_cuda_graphs(providers: ProviderOptions) -> bool:
    """True if the options enable CUDA graphs."""
    option = dict(providers).get(CUDA, {}).get("enable_cuda_graph", 0)
    return str(option).casefold() in ("1", "true")


def require_cuda_graphs(runtime: Any) -> None:
    """Checks that the installed ONNX Runtime is new enough for CUDA graphs.

    Raises:
        ProviderError: it is older.
    """
    if _version(runtime) < SINCE:
        raise ProviderError(
            f"enable_cuda_graph needs onnxruntime-gpu {'.'.join(map(str, SINCE))} or later, and "
            f"{runtime.__version__} is installed; pip install --upgrade onnxruntime-gpu"
        )


def open_on_best(runtime: Any, model: str | bytes, source: str, threads: int | None) -> Any:
    """Open a session on CUDA if it starts, else on the CPU.

    Raises:
        ModelError: ONNX Runtime cannot load the model.
    """
    if CUDA in runtime.get_available_providers():
        with contextlib.suppress(Exception):  # whatever the reason, the CPU is next
            return _start(runtime, model, [(CUDA, {})], threads)
    return open_on(runtime, model, [(CPU, {})], source, threads)


def open_on(
    runtime: Any,
    model: str | bytes,
    providers: ProviderOptions,
    source: str,
    threads: int | None,
) -> Any:
    """Open a session on the given providers, all of which must start.

    Raises:
        ModelError: ONNX Runtime cannot load the model.
        ProviderError: a provider does not start.
    """
    names = [name for name, _ in providers]
    try:
        session = _start(runtime, model, providers, threads)
    except Exception as error:  # onnxruntime's kinds share no base
        if names != [CPU]:  # the provider, or the model? a model that the CPU loads is sound
            open_on(runtime, model, [(CPU, {})], source, threads)
            raise ProviderError(
                cuda_graph_error(error, source)
                or f"{names[0]} does not start: {plain_message(error)}"
            ) from error
        raise load_error(error, model, source) from error
    for name in names:
        if name not in session.get_providers():
            raise ProviderError(f"{name} does not start: {_reason(runtime, name)}")
    return session


def _start(
    runtime: Any, model: str | bytes, providers: ProviderOptions, threads: int | None
) -> Any:
    """Open an onnxruntime session that prints nothing and does not fall back."""
    options = runtime.SessionOptions()
    options.log_severity_level = 4  # errors are raised as well
    options.intra_op_num_threads = threads or 0  # 0: a thread for each core of the machine
    names = [name for name, _ in providers]
    with _quiet(runtime) if names != [CPU] else contextlib.nullcontext():
        if CUDA in names and hasattr(runtime, "preload_dlls"):
            runtime.preload_dlls()  # finds CUDA in NVIDIA's wheels, which the gpu extra installs
        return runtime.InferenceSession(
            model,
            options,
            providers=providers,
            disabled_optimizers=_HARMFUL if _version(runtime) < (1, 32) else None,
            enable_fallback=0,
        )


_HARMFUL = ["MatmulTransposeFusion"]
"""Optimizers that crash old versions. Before onnxruntime 1.32 the product that this one fuses
divides by the number of its matrices, which is 0 in a run without a question."""


def _version(runtime: Any) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", runtime.__version__)[:3])


@contextlib.contextmanager
def _quiet(runtime: Any) -> Iterator[None]:
    """Hides what onnxruntime prints about a provider that does not start."""
    runtime.set_default_logger_severity(4)
    try:
        with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        runtime.set_default_logger_severity(2)  # onnxruntime's default; the level cannot be read


def _reason(runtime: Any, provider: str) -> str:
    """Return the reason why a provider did not start, which onnxruntime only logs."""
    stem = provider.removesuffix("ExecutionProvider").lower()
    folder = Path(runtime.__file__).parent / "capi"
    for library in sorted(folder.glob(f"*onnxruntime_providers_{stem}.*")):
        try:
            ctypes.CDLL(str(library))
        except OSError as error:
            remedy = "; pip install 'ortcam[gpu]' brings what CUDA needs" if stem == "cuda" else ""
            return f"{error}{remedy}"
    return "it has no usable device, or the device's driver is too old"
