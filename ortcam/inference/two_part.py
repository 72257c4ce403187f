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
    """What an artifact's graph is run by: a session, or a pair of them."""

    source: str
    provider: str
    inputs: dict[str, TensorSpec]
    outputs: dict[str, TensorSpec]

    def run(
        self, outputs: Sequence[str], feeds: Mapping[str, NDArray[Any]]
    ) -> dict[str, NDArray[Any]]:
        """Runs it once."""


class TwoPartSession:
    """Two sessions that run as one, or the second as often as wanted.

    Attributes:
        source: what to call it in an error.
        provider: the execution provider that it really runs on.
        inputs, outputs: of both; what the first hands to the second alone is among neither.
    """

    def __init__(self, network: Session, gradient: Session) -> None:
        """Joins what the first gives to what the second takes."""
        self._network, self._gradient = network, gradient
        self.source, self.provider = network.source, network.provider
        given = {*network.inputs, *network.outputs}
        self._handed = [name for name in gradient.inputs if name in given]
        question = {n: slot for n, slot in gradient.inputs.items() if n not in given}
        self.inputs = network.inputs | question
        self.outputs = network.outputs | gradient.outputs

    def open(self, feeds: Mapping[str, NDArray[Any]], keep: Sequence[str]) -> ForwardPass:
        """Runs the network, and keeps these of its outputs and what the gradient needs.

        Raises:
            RunError: onnxruntime reports a failure.
        """
        own = {name: value for name, value in feeds.items() if name in self._network.inputs}
        computed = [name for name in self._handed if name not in own]
        outputs = list(dict.fromkeys([*keep, *computed]))
        given = {name: self._gradient.put_there(own[name]) for name in self._handed if name in own}
        values = own | given | self._network.run_there(outputs, own)
        return ForwardPass(self._gradient, self._handed, values)

    def run(
        self, outputs: Sequence[str], feeds: Mapping[str, NDArray[Any]]
    ) -> dict[str, NDArray[Any]]:
        """Runs both once.

        Raises:
            RunError: onnxruntime reports a failure.
        """
        asked = [name for name in outputs if name in self._gradient.outputs]
        kept = self.open(feeds, [name for name in outputs if name not in asked])
        question = {n: value for n, value in feeds.items() if n not in self._network.inputs}
        found = kept.ask(asked, question) if asked else {}
        return {name: found[name] if name in found else kept.array(name) for name in outputs}


class ForwardPass:
    """A picture that went through the network: what was kept of it, on the device.

    Attributes:
        remembers: whether the last answer is kept too, for the next who asks the same.
    """

    def __init__(
        self,
        gradient: Session,
        handed: Sequence[str],
        values: Mapping[str, NDArray[Any] | DeviceTensor],
    ) -> None:
        self._gradient = gradient
        self._handed = {name: values[name] for name in handed}
        self._values = values
        self._arrays: dict[str, NDArray[Any]] = {}
        self.remembers = False
        self._last: tuple[object, dict[str, NDArray[Any]]] | None = None

    def array(self, name: str) -> NDArray[Any]:
        """A tensor that was kept."""
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
        asked = tuple(outputs), *((n, v.shape, v.tobytes()) for n, v in question.items())
        if self._last is not None and self._last[0] == asked:
            return self._last[1]
        self._last = None  # before the next takes its memory
        values = self._gradient.run_there(outputs, {**self._handed, **question})
        found = {name: value.array() for name, value in values.items()}
        if self.remembers:
            self._last = asked, found
        return found


def open_parts(
    network: Session,
    artifact: Artifact,
    second: str | os.PathLike[str] | bytes | None,
    folder: Path | None,
    providers: Providers | None,
) -> Session | TwoPartSession:
    """An artifact's session, or the pair of them where it is split.

    Args:
        network: the artifact, or its first part.
        artifact: its metadata.
        second: the second part; None for the one that the first names.
        folder: of the first part; None where it came as bytes.
        providers: as for a session.

    Raises:
        ArtifactError: the second part is missing, or another one than the first names.
        ModelError: it cannot be opened.
        ProviderError: it does not start on the provider, or CUDA graphs were asked for.
    """
    part = artifact.gradient
    if part is None:
        if second is not None:
            raise ArtifactError(
                f"{network.source} has its gradient in itself, and takes no second part"
            )
        return network
    if second is None:
        if folder is None or part.file is None:
            raise ArtifactError(
                f"{network.source} is the first part of an artifact in two, and was not read from "
                "beside the second; give that too, as ",
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
            f"{network.source} is in two parts, and what lies between them has no fixed place, as "
            "a CUDA graph needs it; export the network again without ",
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
                f"{network.source} is damaged: its second part takes a tensor {name!r} that the "
                "first has not; export the network again"
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
