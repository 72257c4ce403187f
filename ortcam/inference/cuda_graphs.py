"""CUDA graphs: a run's kernels are recorded once and then launched together.

Launching a network's hundred kernels one by one can take a GPU's host longer than the GPU takes to
run them. onnxruntime's CUDA provider, started with ``enable_cuda_graph``, records what a run
launches and launches the recording in the runs that follow. A recording holds addresses: so its
inputs and outputs stay where they are, what is new is written into them and read out of them, and
each set of shapes has a recording of its own.
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
"""The onnxruntime that this was written for. In earlier ones another run between two replays can
overwrite what the second reads: the addresses of a Concat's inputs, for one (onnxruntime#32121)."""

MOST = 16
"""Sets of shapes that are recorded; onnxruntime gives none of their memory back, so that what comes
after them is run as ever."""

_GRAPH = "gpu_graph_id"
_NONE = "-1"
"""The recording of a run that neither records nor replays."""

_Arrays: TypeAlias = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class _Recording:
    """A run of fixed shapes: its binding, which run it is, and what lies at fixed addresses."""

    binding: Any
    options: Any
    inputs: dict[str, Any]
    outputs: dict[str, Any]


class Replays:
    """Runs of a session of onnxruntime that was started with ``enable_cuda_graph``."""

    def __init__(self, runtime: Any, session: Any, device: tuple[str, int]) -> None:
        """Nothing is recorded yet.

        Args:
            runtime: onnxruntime.
            session: its session.
            device: where inputs and outputs lie, as ``("cuda", 0)``.
        """
        self._runtime = runtime
        self._session = session
        self._device = device
        self._outputs = [output.name for output in session.get_outputs()]
        self._recordings: dict[tuple[Any, ...], _Recording] = {}
        # A recording's inputs and outputs are there once, whoever runs it.
        self._lock = threading.Lock()

    def run(self, outputs: Sequence[str], feeds: _Arrays) -> dict[str, NDArray[Any]]:
        """Runs the model once, by its recording where there is one or one can be made.

        Arrays without elements, as of a run without a question, are run as ever.
        """
        arrays = {name: np.asarray(value, order="C") for name, value in feeds.items()}
        key = tuple((name, arrays[name].dtype.str, arrays[name].shape) for name in sorted(arrays))
        with self._lock:
            if key not in self._recordings:
                if len(self._recordings) == MOST or not all(a.size for a in arrays.values()):
                    return self._run_as_ever(outputs, arrays)
                self._recordings[key] = self._prepared(arrays)
            return self._replayed(self._recordings[key], outputs, arrays)

    def _run_as_ever(self, outputs: Sequence[str], arrays: _Arrays) -> dict[str, NDArray[Any]]:
        values = self._session.run(list(outputs), dict(arrays), self._options(_NONE))
        return dict(zip(outputs, values, strict=True))

    def _prepared(self, arrays: _Arrays) -> _Recording:
        """A recording to be: a run that is not recorded gives the outputs their places.

        All outputs are bound, so that one recording serves whatever is asked for.
        """
        make = self._runtime.OrtValue.ortvalue_from_shape_and_type
        inputs = {n: make(a.shape, a.dtype.type, *self._device) for n, a in arrays.items()}
        first = self._bound(inputs)
        for name in self._outputs:
            first.bind_output(name, *self._device)
        _write(inputs, arrays)
        _run(self._session, first, self._options(_NONE))
        outputs = dict(zip(self._outputs, first.get_outputs(), strict=True))
        binding = self._bound(inputs)
        for name, value in outputs.items():
            binding.bind_ortvalue_output(name, value)
        number = str(len(self._recordings) + 1)  # 0 is onnxruntime's own
        return _Recording(binding, self._options(number), inputs, outputs)

    def _replayed(
        self, recording: _Recording, outputs: Sequence[str], arrays: _Arrays
    ) -> dict[str, NDArray[Any]]:
        """Runs a recording; onnxruntime makes it in the first of these runs.

        Every input is written every time: between the runs its memory may have been another
        recording's.
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


def _write(places: Mapping[str, Any], arrays: _Arrays) -> None:
    for name, place in places.items():
        place.update_inplace(arrays[name])


def _run(session: Any, binding: Any, options: Any) -> None:
    """Runs what is bound; recordings have a stream of their own, which does not wait by itself."""
    binding.synchronize_inputs()
    session.run_with_iobinding(binding, options)
    binding.synchronize_outputs()
