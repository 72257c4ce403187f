"""CUDA graphs: the kernels of a run are recorded once and then launched together.

Launching a network's hundred kernels one by one can take the host longer than the GPU takes to run
them. With ``enable_cuda_graph``, onnxruntime's CUDA provider records the launches of one run and
replays them in later runs. A recording holds addresses. Its inputs and outputs therefore keep their
memory, new values are copied in and results copied out, and each set of shapes has its own
recording.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = ["MOST", "SINCE", "Replays"]

SINCE = (1, 31, 1)
"""The first usable onnxruntime. In earlier versions a run between two replays can overwrite memory
that the second replay reads, such as the addresses of a Concat's inputs (onnxruntime#32121)."""

MOST = 16
"""The largest number of recordings. onnxruntime never frees their memory, so runs of further shapes
are not recorded."""

_GRAPH = "gpu_graph_id"
_UNRECORDED = "-1"
"""The graph id of a run that neither records nor replays."""

_Arrays: TypeAlias = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class _Recording:
    """A run with fixed shapes: its binding, its options, and the tensors at fixed addresses."""

    binding: Any
    options: Any
    inputs: dict[str, Any]
    outputs: dict[str, Any]


class Replays:
    """The runs of an onnxruntime session that was started with ``enable_cuda_graph``."""

    def __init__(self, runtime: Any, session: Any, device: tuple[str, int]) -> None:
        """Starts without recordings.

        Args:
            runtime: the module onnxruntime.
            session: its session.
            device: the device of inputs and outputs, such as ``("cuda", 0)``.
        """
        self._runtime = runtime
        self._session = session
        self._device = device
        self._outputs = [output.name for output in session.get_outputs()]
        self._recordings: dict[tuple[Any, ...], _Recording] = {}
        # All threads share a recording's inputs and outputs.
        self._lock = threading.Lock()

    def run(self, outputs: Sequence[str], feeds: _Arrays) -> dict[str, NDArray[Any]]:
        """Runs the model once, as a recording if possible.

        Runs with empty arrays, such as those without a question, are not recorded.
        """
        arrays = {name: np.asarray(value, order="C") for name, value in feeds.items()}
        key = tuple((name, arrays[name].dtype.str, arrays[name].shape) for name in sorted(arrays))
        with self._lock:
            if key not in self._recordings:
                if len(self._recordings) == MOST or not all(a.size for a in arrays.values()):
                    return self._run_unrecorded(outputs, arrays)
                self._recordings[key] = self._new_recording(arrays)
            return self._replay(self._recordings[key], outputs, arrays)

    def _run_unrecorded(self, outputs: Sequence[str], arrays: _Arrays) -> dict[str, NDArray[Any]]:
        values = self._session.run(list(outputs), dict(arrays), self._options(_UNRECORDED))
        return dict(zip(outputs, values, strict=True))

    def _new_recording(self, arrays: _Arrays) -> _Recording:
        """Prepares a recording; a first, unrecorded run allocates its outputs.

        All outputs are bound, so that one recording serves every choice of outputs.
        """
        make = self._runtime.OrtValue.ortvalue_from_shape_and_type
        inputs = {n: make(a.shape, a.dtype.type, *self._device) for n, a in arrays.items()}
        first = self._bound(inputs)
        for name in self._outputs:
            first.bind_output(name, *self._device)
        _write(inputs, arrays)
        _run(self._session, first, self._options(_UNRECORDED))
        outputs = dict(zip(self._outputs, first.get_outputs(), strict=True))
        binding = self._bound(inputs)
        for name, value in outputs.items():
            binding.bind_ortvalue_output(name, value)
        number = str(len(self._recordings) + 1)  # 0 is onnxruntime's own
        return _Recording(binding, self._options(number), inputs, outputs)

    def _replay(
        self, recording: _Recording, outputs: Sequence[str], arrays: _Arrays
    ) -> dict[str, NDArray[Any]]:
        """Runs a recording; onnxruntime records in the first of these runs.

        Every input is written every time, since another recording may have used its memory.
        """
        _write(recording.inputs, arrays)
        _run(self._session, recording.binding, recording.options)
        return {name: np.array(recording.outputs[name].numpy()) for name in outputs}

    def _bound(self, inputs: Mapping[str, Any]) -> Any:
        binding = self._session.io_binding()
        for name, value in inputs.items():
            binding.bind_ortvalue_input(name, value)
        return binding

    def _options(self, number: str) -> Any:
        options = self._runtime.RunOptions()
        options.add_run_config_entry(_GRAPH, number)
        return options


def _write(tensors: Mapping[str, Any], arrays: _Arrays) -> None:
    for name, tensor in tensors.items():
        tensor.update_inplace(arrays[name])


def _run(session: Any, binding: Any, options: Any) -> None:
    """Runs a binding; recordings have their own stream, which must be synchronized."""
    binding.synchronize_inputs()
    session.run_with_iobinding(binding, options)
    binding.synchronize_outputs()
