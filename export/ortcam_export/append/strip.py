"""An artifact's network, without the gradient that was appended to it."""

from __future__ import annotations

import onnx_ir as ir

from ortcam.artifact import Artifact
from ortcam.errors import ArtifactError
from ortcam_export.append.fast_softmax import as_softmax

__all__ = ["without_gradient"]


def without_gradient(model: ir.Model, artifact: Artifact) -> ir.Model:
    """The network up to the score and the feature layers of an artifact, its softmax as it was.

    Args:
        model: the artifact's graph, of one that is split its first part; it is not changed.
        artifact: its metadata.

    Raises:
        ArtifactError: the graph is not as the metadata say.
    """
    graph = model.graph
    asked = {artifact.class_weights, artifact.region, artifact.mask}
    inputs = [value.name or "" for value in graph.inputs if value.name not in asked]
    outputs = dict.fromkeys([artifact.score.name, *(layer.name for layer in artifact.layers)])
    try:
        own = ir.convenience.extract(graph, inputs, list(outputs))
    except ValueError as error:
        raise ArtifactError(
            "the artifact is damaged: its graph does not lead to the score and the layers that its "
            "metadata name; export the network again"
        ) from error
    network = ir.Model(own, ir_version=model.ir_version)
    as_softmax(network)
    return network
