"""The network in an artifact, without the gradient that was appended to it."""

from __future__ import annotations

import onnx_ir as ir

from ortcam.artifact import Artifact
from ortcam.errors import ArtifactError
from ortcam_export.append.fast_softmax import RecomposeSoftmax
from ortcam_export.graph.traversal import part

__all__ = ["RemoveGradient"]


class RemoveGradient(ir.passes.FunctionalPass):
    """Keep the network up to an artifact's score and feature layers, its softmax recomposed.

    The model is the artifact's, or the first part of one that is split in two.
    """

    def __init__(self, artifact: Artifact) -> None:
        self._question = {artifact.class_weights, artifact.region, artifact.mask}
        layers = [layer.name for layer in artifact.layers]
        self._outputs = list(dict.fromkeys([artifact.score.name, *layers]))

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Extract the network.

        Raises:
            ArtifactError: the graph does not fit the metadata.
        """
        names = [value.name or "" for value in model.graph.inputs]
        inputs = [name for name in names if name not in self._question]
        try:
            network = part(model, inputs, self._outputs)
        except ValueError as error:
            raise ArtifactError(
                "the artifact is damaged: its graph does not compute the score and the layers "
                "named in its metadata; export the network again"
            ) from error
        RecomposeSoftmax()(network)
        return ir.passes.PassResult(network, modified=True)
