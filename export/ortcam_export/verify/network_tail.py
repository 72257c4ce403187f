"""The part of a network from a feature layer to the score, run on its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import onnx_ir as ir

from ortcam.artifact import Artifact, Layer
from ortcam_export.graph.model_io import open_session
from ortcam_export.graph.names import find, tensor
from ortcam_export.graph.traversal import between, part, read_beside
from ortcam_export.trials.inputs import Feeds
from ortcam_export.verify.run import Array, Doubles, run

__all__ = ["Tail", "run_plain"]


class Tail:
    """The part of a network from a feature layer to the score, as a network of its own.

    Attributes:
        layer: the feature layer, its first input.
        needs: its other inputs: tensors of the network that do not depend on the layer.
        end: the output computed in float32: the logits of a softmax or sigmoid, or the score.
    """

    def __init__(self, network: ir.Model, score: str, layer: Layer) -> None:
        self.layer = layer
        value, target = tensor(network, layer.name), find(network, score)
        self._probabilities, target = _logits(target, value)
        self.end = target.name or ""
        nodes = between(network.graph, value, target)
        self.needs = [operand.name or "" for operand in read_beside(nodes, value)]
        self._session = open_session(part(network, [layer.name, *self.needs], [self.end]))

    def run(self, features: Array, plain: Mapping[str, Array]) -> Doubles:
        """The score that follows from these features, in float64."""
        feeds = {name: plain[name] for name in self.needs}
        feeds[self.layer.name] = features
        end = run(self._session, [self.end], feeds)[self.end].astype(np.float64)
        return end if self._probabilities is None else self._probabilities(end)

    def rounding(self, plain: Mapping[str, Array]) -> float:
        """The norm of the score's rounding error in single precision."""
        unit = plain[self.end].astype(np.float64) * np.finfo(np.float32).eps
        if self._probabilities is not None:
            score = self._probabilities(plain[self.end].astype(np.float64))
            unit *= score * (1 - score)  # the slope of a softmax or sigmoid
        return float(np.linalg.norm(unit))


def run_plain(
    network: ir.Model, meta: Artifact, tails: Sequence[Tail], feeds: Feeds
) -> dict[str, Array]:
    """The score, the features and the inputs of the tails, for the trial pictures."""
    names = [meta.score.name, *(layer.name for layer in meta.layers)]
    names += [name for tail in tails for name in (*tail.needs, tail.end)]
    computed = [name for name in dict.fromkeys(names) if name not in feeds]
    session = open_session(part(network, list(feeds), computed))
    return {**feeds, **run(session, computed, feeds)}


def _logits(
    score: ir.Value, layer: ir.Value
) -> tuple[Callable[[Doubles], Doubles] | None, ir.Value]:
    """The softmax or sigmoid that computes the score, if any, and its operand or the score."""
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
