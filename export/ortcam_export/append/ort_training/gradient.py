"""Append the gradient of class scores that ONNX Runtime's gradient builder makes."""

from __future__ import annotations

from collections.abc import Sequence

import onnx_ir as ir
import onnx_ir.passes.common as passes

from ortcam.artifact import CLASS_WEIGHTS, REGION, Layer, Score
from ortcam.errors import OperatorError
from ortcam.messages import Option
from ortcam_export.append.ort_training.builder import NoGradientError, build, gradient_name, require
from ortcam_export.append.ort_training.loop_over_questions import ask_all, ask_one
from ortcam_export.append.ort_training.rewrites import WAY_OUT, ReplaceUnsupported
from ortcam_export.gradient.function_bodies import has_body, inlined
from ortcam_export.graph.names import tensor
from ortcam_export.graph.rewriting import rewrite

__all__ = ["append_gradient"]

#: The most operators that are replaced by their function bodies, one by one.
_EXPANSIONS = 16


def append_gradient(
    model: ir.Model,
    score: Score,
    layers: Sequence[Layer],
    *,
    class_weights: str = CLASS_WEIGHTS,
    region: str = REGION,
) -> ir.Model:
    """Append the gradient graph of Grad-CAM; see :mod:`ortcam_export.append.gradient`.

    Inputs and outputs are those of the other engine; the nodes need a training build to run.

    Raises:
        DependencyError: the installed onnxruntime is not a training build.
        LayerError: no gradient of the score reaches a layer.
        ModelError: the training build does not know the network's opset.
        OperatorError: the builder has no gradient for an operator between a layer and the score.
    """
    require()
    names = [layer.name for layer in layers]
    for _ in range(_EXPANSIONS):
        try:
            return _appended(model.clone(), score, layers, class_weights, region)
        except NoGradientError as error:
            if not has_body(error.operator):
                raise OperatorError(
                    f"{error.operator} (node {error.node!r}) has no gradient in ONNX Runtime's "
                    "gradient builder; ",
                    WAY_OUT,
                ) from error
            model = inlined(model, [("", error.operator)])
    raise OperatorError(
        f"too many operators after {names[0]!r} have no gradient in ONNX Runtime's gradient "
        "builder; export with ",
        Option("engine", "ortcam"),
    )


def _appended(
    model: ir.Model, score: Score, layers: Sequence[Layer], class_weights: str, region: str
) -> ir.Model:
    _refuse_narrow(model)
    for name in (score.name, *(layer.name for layer in layers)):
        if tensor(model, name) not in model.graph.outputs:
            model.graph.outputs.append(tensor(model, name))
    names = [layer.name for layer in layers]
    rewrite(model, ReplaceUnsupported(score.name, names))
    one = ask_one(model, score)
    built = build(model, one.y, names)
    gradients = {layer: tensor(built, gradient_name(layer.name)) for layer in layers}
    ask_all(built, one, gradients, class_weights=class_weights, region=region)
    passes.TopologicalSortPass()(built)
    return built


def _refuse_narrow(model: ir.Model) -> None:
    for value in (output for node in model.graph for output in node.outputs):
        if value.dtype in (ir.DataType.FLOAT16, ir.DataType.BFLOAT16):
            raise OperatorError(
                f"tensor {value.name!r} is {value.dtype.name.lower()}, which ONNX Runtime's "
                "gradient builder does not support; export with ",
                Option("engine", "ortcam"),
            )
