"""Which execution provider runs a model, and how a session is opened on it."""

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
"""Execution providers as onnxruntime takes them; short names such as ``"cuda"`` will do."""


ProviderOptions: TypeAlias = list[tuple[str, dict[str, Any]]]


CPU = "CPUExecutionProvider"


CUDA = "CUDAExecutionProvider"


def import_onnxruntime() -> Any:
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
    import_onnxruntime()
    from onnxruntime.capi import _pybind_state

    return hasattr(_pybind_state, "GradientGraphBuilder")


def resolve_providers(runtime: Any, providers: Providers) -> ProviderOptions:
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
            install = "; pip install 'ortcam[gpu]' in its place" if full == CUDA else ""
            raise ProviderError(
                f"the installed onnxruntime has no {full}; it has {', '.join(here)}{install}"
            )
        asked.append((full, options))
    return asked


def uses_cuda_graphs(asked: ProviderOptions) -> bool:
    """Whether CUDA graphs were asked for."""
    option = dict(asked).get(CUDA, {}).get("enable_cuda_graph", 0)
    return str(option).casefold() in ("1", "true")


def require_cuda_graphs(runtime: Any) -> None:
    """Checks that the installed ONNX Runtime is new enough for CUDA graphs.

    Raises:
        ProviderError: it is older.
    """
    if _version(runtime) < SINCE:
        raise ProviderError(
            f"enable_cuda_graph takes onnxruntime-gpu {'.'.join(map(str, SINCE))} or later, and "
            f"{runtime.__version__} is installed; pip install --upgrade onnxruntime-gpu"
        )


def open_on_best(runtime: Any, model: str | bytes, source: str, threads: int | None) -> Any:
    """A session on CUDA where it starts, else on the CPU.

    Raises:
        ModelError: ONNX Runtime cannot load the model.
    """
    if CUDA in runtime.get_available_providers():
        with contextlib.suppress(Exception):  # whatever keeps CUDA from starting: then the CPU
            return _start(runtime, model, [(CUDA, {})], threads)
    return open_on(runtime, model, [(CPU, {})], source, threads)


def open_on(
    runtime: Any,
    model: str | bytes,
    asked: ProviderOptions,
    source: str,
    threads: int | None,
) -> Any:
    """A session on the providers asked for, each of which must start.

    Raises:
        ModelError: ONNX Runtime cannot load the model.
        ProviderError: a provider does not start.
    """
    names = [name for name, _ in asked]
    try:
        session = _start(runtime, model, asked, threads)
    except Exception as error:  # onnxruntime's kinds share no base
        if names != [CPU]:  # the provider, or the model? a model that the CPU loads is sound
            open_on(runtime, model, [(CPU, {})], source, threads)
            said = (
                cuda_graph_error(error, source)
                or f"{names[0]} does not start: {plain_message(error)}"
            )
            raise ProviderError(said) from error
        raise load_error(error, model, source) from error
    for name in names:
        if name not in session.get_providers():
            raise ProviderError(f"{name} does not start: {_reason(runtime, name)}")
    return session


def _start(runtime: Any, model: str | bytes, asked: ProviderOptions, threads: int | None) -> Any:
    """A session as onnxruntime makes it, silently, and without its own fallback's prints."""
    options = runtime.SessionOptions()
    options.log_severity_level = 4  # what goes wrong comes as an exception too
    options.intra_op_num_threads = threads or 0  # 0: a thread for each core of the machine
    names = [name for name, _ in asked]
    with _quiet(runtime) if names != [CPU] else contextlib.nullcontext():
        if CUDA in names and hasattr(runtime, "preload_dlls"):
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
