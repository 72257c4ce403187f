"""An artifact in two parts: the network, run once a picture, and its gradient."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from numpy.typing import NDArray

from ortcam.artifact import Artifact
from ortcam.errors import ArtifactError, ProviderError
from ortcam.inference.providers import Providers
from ortcam.inference.session import DeviceTensor, Session
from ortcam.messages import Option
from ortcam.tensor_spec import TensorSpec

__all__ = ["ForwardPass", "Runs", "TwoPartSession", "open_parts"]


class Runs(Protocol):
    """A session that runs an artifact's whole graph, or two that do so together."""

    source: str
    provider: str
    inputs: dict[str, TensorSpec]
    outputs: dict[str, TensorSpec]

    def run(
        self, outputs: Sequence[str], feeds: Mapping[str, NDArray[Any]]
    ) -> dict[str, NDArray[Any]]:
        """Runs the graph once."""


class TwoPartSession:
    """The sessions of a split artifact, run as one, or the second again for each question.

    Attributes:
        source: the first file's path, for error messages.
        provider: the execution provider in use.
        inputs, outputs: those of both, without the tensors that only pass between them.
    """

    def __init__(self, network: Session, gradient: Session) -> None:
        """Connects the outputs of the first to the inputs of the second, by name."""
        self._network, self._gradient = network, gradient
        self.source, self.provider = network.source, network.provider
        tensors = {*network.inputs, *network.outputs}
        self._handed_over = [name for name in gradient.inputs if name in tensors]
        question = {n: spec for n, spec in gradient.inputs.items() if n not in tensors}
        self.inputs = network.inputs | question
        self.outputs = network.outputs | gradient.outputs

    def open(self, feeds: Mapping[str, NDArray[Any]], keep: Sequence[str]) -> ForwardPass:
        """Runs the network once, and keeps the named outputs and what the gradient reads.

        Raises:
            RunError: onnxruntime reports a failure.
        """
        inputs = {name: value for name, value in feeds.items() if name in self._network.inputs}
        computed = [name for name in self._handed_over if name not in inputs]
        outputs = list(dict.fromkeys([*keep, *computed]))
        values = inputs | self._network.run_on_device(outputs, inputs)
        for name in self._handed_over:
            if name in inputs:
                values[name] = self._gradient.to_device(inputs[name])
        return ForwardPass(self._gradient, self._handed_over, values)

    def run(
        self, outputs: Sequence[str], feeds: Mapping[str, NDArray[Any]]
    ) -> dict[str, NDArray[Any]]:
        """Runs both sessions once.

        Raises:
            RunError: onnxruntime reports a failure.
        """
        answers = [name for name in outputs if name in self._gradient.outputs]
        forward = self.open(feeds, [name for name in outputs if name not in answers])
        question = {n: value for n, value in feeds.items() if n not in self._network.inputs}
        arrays = forward.ask(answers, question) if answers else {}
        return {name: arrays[name] if name in arrays else forward.array(name) for name in outputs}


class ForwardPass:
    """One run of the network: its outputs, left on the device, and the gradient that reads them.

    Attributes:
        remembers: True to keep the last answer, and return it if the next question is the same.
    """

    def __init__(
        self,
        gradient: Session,
        handed_over: Sequence[str],
        values: Mapping[str, NDArray[Any] | DeviceTensor],
    ) -> None:
        self._gradient = gradient
        self._handed_over = {name: values[name] for name in handed_over}
        self._values = values
        self._arrays: dict[str, NDArray[Any]] = {}
        self.remembers = False
        self._last: tuple[object, dict[str, NDArray[Any]]] | None = None

    def array(self, name: str) -> NDArray[Any]:
        """A tensor of the run, copied to the host once."""
        if name not in self._arrays:
            value = self._values[name]
            self._arrays[name] = value.array() if isinstance(value, DeviceTensor) else value
        return self._arrays[name]

    def ask(
        self, outputs: Sequence[str], question: Mapping[str, NDArray[Any]]
    ) -> dict[str, NDArray[Any]]:
        """Runs the gradient once.

        Raises:
            RunError: onnxruntime reports a failure.
        """
        key = tuple(outputs), *((n, v.shape, v.tobytes()) for n, v in question.items())
        if self._last is not None and self._last[0] == key:
            return self._last[1]
        self._last = None  # freed before the next answer takes its memory
        values = self._gradient.run_on_device(outputs, {**self._handed_over, **question})
        answer = {name: value.array() for name, value in values.items()}
        if self.remembers:
            self._last = key, answer
        return answer


def open_parts(
    network: Session,
    artifact: Artifact,
    second: str | os.PathLike[str] | bytes | None,
    folder: Path | None,
    providers: Providers | None,
) -> Session | TwoPartSession:
    """Return the artifact's session, or both sessions if it is split.

    Args:
        network: the artifact, or its first part.
        artifact: its metadata.
        second: the second part; None for the file that the first names.
        folder: the first part's folder; None if it came as bytes.
        providers: as for a session.

    Raises:
        ArtifactError: the second part is missing, or is not the one that the first names.
        ModelError: it cannot be opened.
        ProviderError: the provider does not start, or CUDA graphs are enabled.
    """
    part = artifact.gradient
    if part is None:
        if second is not None:
            raise ArtifactError(
                f"{network.source} contains its gradient, so it takes no second part"
            )
        return network
    if second is None:
        if folder is None or part.file is None:
            raise ArtifactError(
                f"{network.source} is the first part of a split artifact and was not read from the "
                "second part's folder; pass the second part too, as ",
                Option("gradient"),
            )
        second = folder / part.file
    if _sha256(second, network.source) != part.sha256:
        what = "the second part" if isinstance(second, bytes) else str(second)
        raise ArtifactError(
            f"{what} is not the gradient that {network.source} was exported with; "
            "keep both files of one export together, or export the network again"
        )
    if network.replays:
        raise ProviderError(
            f"{network.source} is in two parts, and the tensors between them have no fixed "
            "address, which a CUDA graph needs; export the network again without ",
            Option("split", True),
            ", or leave out enable_cuda_graph",
        )
    gradient = Session(second, providers, network.threads)
    for name in gradient.inputs:
        if (
            name not in artifact.question
            and name not in network.outputs
            and name not in network.inputs
        ):
            raise ArtifactError(
                f"{network.source} is damaged: its second part reads a tensor {name!r} that the "
                "first part lacks; export the network again"
            )
    return TwoPartSession(network, gradient)


def _sha256(part: str | os.PathLike[str] | bytes, source: str) -> str:
    if isinstance(part, bytes):
        return hashlib.sha256(part).hexdigest()
    try:
        with Path(part).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ArtifactError(
            f"{source} needs its second part, {part}, which cannot be read: "
            f"{error.strerror or error}"
        ) from error
