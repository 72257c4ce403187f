"""Artifacts whose metadata a test states itself: the graph is the exporter's, the choice is not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import onnx
import onnx_ir as ir

import ortcam
from ortcam.artifact import METADATA_KEY, Artifact, Expectations, Layer, Score
from ortcam_export.append.gradient import append_gradient
from ortcam_export.graph.model_io import serialise
from ortcam_export.prepare.prepare import prepare


def artifact(
    network: onnx.ModelProto,
    score: Score,
    layers: Sequence[Layer],
    picture: str = "input",
    expects: Expectations | None = None,
) -> bytes:
    """The network with its gradient, and metadata of this score and these layers."""
    model = append_gradient(prepare(ir.from_proto(network)), score, layers)
    metadata = Artifact(
        layers=tuple(layers), score=score, picture=picture, expects=expects or Expectations()
    )
    model.metadata_props[METADATA_KEY] = metadata.to_json()
    return serialise(model)


def cam(*arguments: Any, **options: Any) -> ortcam.Cam:
    """Open :func:`artifact` of these arguments."""
    return ortcam.load(artifact(*arguments, **options), "cpu", threads=1)
