"""The part of a network from a feature layer to the score, run on its own without its kinks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from ortcam.artifact import Artifact, Layer
from ortcam.inference.session import Session
from ortcam_export.graph.model_io import open_session
from ortcam_export.graph.names import find, tensor
from ortcam_export.graph.traversal import between, part, read_beside
from ortcam_export.trials.inputs import Feeds
from ortcam_export.verify.affine import is_affine
from ortcam_export.verify.forms.in_float64 import in_float64
from ortcam_export.verify.held_pattern import leaves
from ortcam_export.verify.run import Array, Doubles, run

__all__ = ["Tail", "run_plain"]


class Tail:
    """The part of a network from a feature layer to the score, as a network of its own.

    Attributes:
        layer: the feature layer, its first input.
        needs: its other inputs: tensors of the network that do not depend on the layer, and
            patterns of activations (:mod:`ortcam_export.verify.held_pattern`).
        end: the output that it computes: the logits of a softmax or sigmoid, or the score.
        is_affine: True if the end depends on the layer along straight lines.
        is_wide: True if it computes in float64 (:mod:`ortcam_export.verify.forms.in_float64`).
    """

    def __init__(self, network: ir.Model, score: str, layer: Layer) -> None:
        """Cuts a network; one that holds its patterns, for a score without kinks."""
        self.layer = layer
        value, target = tensor(network, layer.name), find(network, score)
        self._squash, target = _logits(target, value)
        self.end = target.name or ""
        nodes = between(network.graph, value, target)
        beside = [leaf for operand in read_beside(nodes, value) for leaf in leaves(operand)]
        self.needs = list(dict.fromkeys(leaf.name or "" for leaf in beside))
        self.is_affine = is_affine(nodes, value)
        self.is_wide = False
        self._part = part(network, [layer.name, *self.needs], [self.end])
        self._session: Session | None = None

    def widen(self) -> bool:
        """Compute in float64 from now on, and return True if that is new."""
        wide = None if self.is_wide else in_float64(self._part)
        if wide is not None:
            self._part, self._session, self.is_wide = wide, None, True
        return wide is not None

    def run(self, features: Array, plain: Mapping[str, Array]) -> Doubles:
        """The score that follows from these features, in float64."""
        return self.score(self.run_to_end(features, plain))

    def run_to_end(self, features: Array, plain: Mapping[str, Array]) -> Doubles:
        """The values at the end that follow from these features."""
        if self._session is None:
            self._session = open_session(self._part)
        feeds = {**{name: plain[name] for name in self.needs}, self.layer.name: features}
        if self.is_wide:
            single = np.dtype(np.float32)
            feeds = {k: v.astype(np.float64) if v.dtype == single else v for k, v in feeds.items()}
        return run(self._session, [self.end], feeds)[self.end].astype(np.float64)

    def release(self) -> None:
        """Free the memory of the session; the next run opens another one."""
        self._session = None

    def score(self, end: Doubles) -> Doubles:
        """The score that follows from values at the end."""
        return end if self._squash is None else self._squash.values(end)

    def change(self, score: Doubles, change: Doubles) -> Doubles:
        """The derivative of the score along a change of the end."""
        return change if self._squash is None else self._squash.change(score, change)

    def rounding(self, plain: Mapping[str, Array]) -> float:
        """The norm of the score's rounding error in the tail's precision."""
        end = plain[self.end].astype(np.float64)
        last_digit = np.finfo(np.float64 if self.is_wide else np.float32).eps
        return float(np.linalg.norm(self.change(self.score(end), end * last_digit)))


@dataclass(frozen=True)
class _Squash:
    """A softmax along an axis, or a sigmoid, in float64."""

    axis: int | None

    def values(self, x: Doubles) -> Doubles:
        if self.axis is None:
            return np.asarray(0.5 + 0.5 * np.tanh(x / 2))
        exponential = np.exp(x - x.max(self.axis, keepdims=True))
        return np.asarray(exponential / exponential.sum(self.axis, keepdims=True))

    def change(self, values: Doubles, change: Doubles) -> Doubles:
        """The derivative of the values along a change of x."""
        if self.axis is None:
            return np.asarray(values * (1 - values) * change)
        return np.asarray(values * (change - (values * change).sum(self.axis, keepdims=True)))


def run_plain(
    network: ir.Model, meta: Artifact, tails: Sequence[Tail], feeds: Feeds
) -> dict[str, Array]:
    """The score, the features and the inputs of the tails, for the trial pictures."""
    names = [meta.score.name, *(layer.name for layer in meta.layers)]
    names += [name for tail in tails for name in (*tail.needs, tail.end)]
    computed = [name for name in dict.fromkeys(names) if name not in feeds]
    session = open_session(part(network, list(feeds), computed))
    return {**feeds, **run(session, computed, feeds)}


def _logits(score: ir.Value, layer: ir.Value) -> tuple[_Squash | None, ir.Value]:
    """The softmax or sigmoid that computes the score, if any, and its operand or the score."""
    node = score.producer()
    logits = node.inputs[0] if node is not None and node.inputs else None
    if node is None or logits is None or node.domain or score is layer:
        return None, score
    if node.op_type == "Softmax":
        return _Squash(node.attributes.get_int("axis", -1)), logits
    return (_Squash(None), logits) if node.op_type == "Sigmoid" else (None, score)
