"""Checks of an artifact that read its graph: its gradient on a picture, and shuffled weights."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from ortcam.artifact import FORMAT, METADATA_KEY, Artifact
from ortcam.errors import InputError
from ortcam.inference.two_part import Runs, TwoPartSession
from ortcam_export.append.ablations import RemoveAblations
from ortcam_export.export import export
from ortcam_export.graph.model_io import open_session
from ortcam_export.graph.traversal import part
from ortcam_export.prepare.shape_inference import infer
from ortcam_export.reading.model_file import read_artifact
from ortcam_export.verify.checkable_form import CheckableForm
from ortcam_export.verify.gradient import errors

__all__ = ["Checked"]


class Checked:
    """An artifact's graph, taken apart.

    Attributes:
        artifact: its metadata.
        network: the network in it, without the gradient.
        weighted: those of its nodes that have weights, in the order in which they run.
    """

    def __init__(self, path: Path, artifact: Artifact) -> None:
        """Read an artifact's file, or both files of one that is split in two.

        Raises:
            ModelError: it is not a usable ONNX file.
        """
        self.artifact = artifact
        self._parts = [read_artifact(path)]
        if artifact.gradient is not None and artifact.gradient.file is not None:
            self._parts.append(read_artifact(path.parent / artifact.gradient.file))
        for model in self._parts:
            RemoveAblations(artifact)(model)
            infer(model)
        names = [value.name or "" for value in self._parts[0].graph.inputs]
        inputs = [name for name in names if name not in artifact.question]
        outputs = dict.fromkeys([artifact.score.name, *(x.name for x in artifact.layers)])
        self.network = part(self._parts[0], inputs, list(outputs))
        self.weighted = [node for node in self.network.graph if _weights(node)]

    def gradient_errors(self, runs: Runs, feeds: Mapping[str, NDArray[Any]]) -> dict[str, float]:
        """Return the largest relative error of each layer's gradient on a picture.

        A low-precision network is checked in the same form as at export
        (:mod:`ortcam_export.verify.checkable_form`).

        Args:
            runs: the artifact, opened.
            feeds: the network's inputs.

        Raises:
            GradientError: it cannot be measured.
            ModelError: the network does not run on this input.
        """
        form = CheckableForm(self.network)
        network = form(self.network).model
        if form.description:
            sessions = [open_session(form(model).model) for model in self._parts]
            runs = TwoPartSession(*sessions) if len(sessions) == 2 else sessions[0]
            feeds = {
                v.name or "": feeds[v.name or ""].astype(v.dtype.numpy() if v.dtype else None)
                for v in network.graph.inputs
            }
        measurements = errors(network, runs, self.artifact, dict(feeds))
        return {name: error for name, (error, _) in measurements.items()}

    def shuffled(
        self, last: int, layers: Sequence[str], methods: Sequence[str], seed: int
    ) -> tuple[bytes, str]:
        """Export the same network with its last weights shuffled, each tensor within itself.

        The cascade of J. Adebayo et al., "Sanity Checks for Saliency Maps", NeurIPS 2018. Shuffled
        weights keep the distribution of the trained ones and nothing that was learnt.

        Args:
            last: the number of nodes with weights to shuffle, from the score downwards.
            layers: the feature layers.
            methods: methods that the artifact serves.
            seed: the random seed; a tensor's shuffle does not depend on how many others there are.

        Returns:
            The artifact, and the name of the earliest tensor computed with shuffled weights.
        """
        nodes = self.weighted[len(self.weighted) - last :]
        if not nodes:
            raise InputError("the network has no weights to shuffle")
        copy = self.network.clone()
        copies = {node.outputs[0].name: node for node in copy.graph}
        for node in nodes:
            name = node.outputs[0].name or ""
            for place, value in enumerate(_constants(copies[name])):
                _shuffle(value, np.random.default_rng([seed, place, zlib.crc32(name.encode())]))
        expects = asdict(self.artifact.expects)
        copy.metadata_props[METADATA_KEY] = json.dumps({"format": FORMAT, **expects})
        exported = export(
            copy,
            feature_layers=layers,
            reduction_layer=self.artifact.score.name,
            score=self.artifact.score.kind,
            class_axis=self.artifact.score.class_axis,
            picture_input=self.artifact.picture,
            methods=methods,
            verify=False,
        )
        return exported.model, nodes[0].outputs[0].name or ""


def _weights(node: ir.Node) -> list[ir.Value]:
    """A node's constants of two axes or more: kernels and matrices, not shapes."""
    return [
        value
        for value in _constants(node)
        if value.const_value is not None and len(value.const_value.shape) > 1
    ]


def _constants(node: ir.Node) -> list[ir.Value]:
    """All constants of a node, biases too."""
    return [v for v in node.inputs if v is not None and v.is_initializer()]


def _shuffle(value: ir.Value, random: np.random.Generator) -> None:
    assert value.const_value is not None
    tensor = value.const_value
    flat = tensor.numpy().ravel()
    shuffled = random.permutation(flat).reshape(tensor.shape.numpy())
    value.const_value = ir.Tensor(shuffled, dtype=tensor.dtype, name=tensor.name)
