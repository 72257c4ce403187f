"""The part of a network from a feature layer to the score, run by itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from ortcam.artifact import Artifact, Layer
from ortcam.errors import ModelError
from ortcam.inference.ort_errors import RunError
from ortcam.inference.two_part import Runs
from ortcam.messages import Option
from ortcam_export.graph.model_io import open_session
from ortcam_export.graph.names import find, tensor
from ortcam_export.graph.traversal import between, part, read_beside
from ortcam_export.trials.inputs import Feeds

__all__ = ["Array", "Doubles", "Tail", "run", "run_plain"]

Array = NDArray[Any]


Doubles = NDArray[np.float64]


class Tail:
    """The part of a network from a feature layer to the score, as a network of its own.

    Attributes:
        layer: the feature layer, its first input.
        needs: its other inputs: tensors of the network that do not depend on the layer.
        end: what it computes in float32: the logits of a softmax or sigmoid, or the score itself.
    """

    def __init__(self, network: ir.Model, score: str, layer: Layer) -> None:
        self.layer = layer
        value, target = tensor(network, layer.name), find(network, score)
        self._finish, target = _finish(target, value)
        self.end = target.name or ""
        nodes = between(network.graph, value, target)
        self.needs = [read.name or "" for read in read_beside(nodes, value)]
        self._session = open_session(part(network, [layer.name, *self.needs], [self.end]))

    def run(self, features: Array, plain: Mapping[str, Array]) -> Doubles:
        """The score that follows from these features, in float64."""
        feeds = {name: plain[name] for name in self.needs}
        feeds[self.layer.name] = features
        end = run(self._session, [self.end], feeds)[self.end].astype(np.float64)
        return end if self._finish is None else self._finish(end)

    def rounding(self, plain: Mapping[str, Array]) -> float:
        """The norm of what single precision leaves open of the score."""
        unit = plain[self.end].astype(np.float64) * np.finfo(np.float32).eps
        if self._finish is not None:
            score = self._finish(plain[self.end].astype(np.float64))
            unit *= score * (1 - score)  # the slope of a softmax or sigmoid
        return float(np.linalg.norm(unit))


def _finish(
    score: ir.Value, layer: ir.Value
) -> tuple[Callable[[Doubles], Doubles] | None, ir.Value]:
    """The softmax or sigmoid that gives the score, if one does, and what the tail ends in."""
    node = score.producer()
    logits = node.inputs[0] if node is not None and node.inputs else None
    if node is None or logits is None or node.domain or score is layer:
        return None, score
    if node.op_type == "Softmax":
        axis = node.attributes.get_int("axis", -1)

        def softmax(x: Doubles) -> Doubles:
            exponential = np.exp(x - x.max(axis, keepdims=True))
            return np.asarray(exponential / exponential.sum(axis, keepdims=True))

        return softmax, logits
    if node.op_type == "Sigmoid":
        return lambda x: np.asarray(0.5 + 0.5 * np.tanh(x / 2)), logits
    return None, score


def run_plain(
    network: ir.Model, meta: Artifact, tails: Sequence[Tail], feeds: Feeds
) -> dict[str, Array]:
    """The score, the features and what the tails need, for the trial pictures."""
    wanted = [meta.score.name, *(layer.name for layer in meta.layers)]
    wanted += [name for tail in tails for name in (*tail.needs, tail.end)]
    wanted = list(dict.fromkeys(wanted))
    computed = [name for name in wanted if name not in feeds]
    session = open_session(part(network, list(feeds), computed))
    return {**feeds, **run(session, computed, feeds)}


def run(session: Runs, outputs: list[str], feeds: Mapping[str, Array]) -> dict[str, Array]:
    """Outputs of a session, of these feeds those that it takes.

    Raises:
        ModelError: it does not run on them.
    """
    try:
        return session.run(outputs, {k: v for k, v in feeds.items() if k in session.inputs})
    except RunError as error:
        picture = max(feeds.values(), key=np.size)
        raise ModelError(
            f"the network does not run on trial input of shape {list(picture.shape)}: ",
            error.message,
            "; say the size it takes (",
            Option("size"),
            ", ",
            Option("divisor"),
            ")",
        ) from error
