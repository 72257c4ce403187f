"""ONNX Runtime's gradient builder, part of the training builds of onnxruntime."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import onnx
import onnx_ir as ir

from ortcam.errors import DependencyError, LayerError, ModelError, OperatorError
from ortcam.inference.providers import is_training_build
from ortcam.messages import Option
from ortcam_export.graph.model_io import IR_VERSION, opset, put_back_weights, skeleton
from ortcam_export.graph.names import tensor

__all__ = ["LAST_OPSET", "NoGradientError", "build", "gradient_name", "require"]

#: The last opset that onnxruntime-training 1.19.2, its last release, knows.
LAST_OPSET = 21

_UNREGISTERED = re.compile(r"gradient builder has not been registered: (\S+) for node ?(.*)")


class NoGradientError(Exception):
    """The builder has no gradient for an operator.

    Attributes:
        operator: its type.
        node: the node's name.
    """

    def __init__(self, operator: str, node: str) -> None:
        super().__init__(operator, node)
        self.operator = operator
        self.node = node


def require() -> None:
    """Check that the installed onnxruntime is a training build.

    Raises:
        DependencyError: it is not; the message says what to install.
    """
    if not is_training_build():
        raise DependencyError(
            Option("engine", "ort-training"),
            " needs a training build of onnxruntime, which the installed one is "
            "not; pip install 'ortcam[export,training]' in a separate environment, or export "
            "with ",
            Option("engine", "ortcam"),
        )


def build(model: ir.Model, y: str, layers: Sequence[str]) -> ir.Model:
    """Differentiate a scalar with the builder.

    Args:
        model: a network in the form of :class:`~.rewrites.ReplaceUnsupported`; its IR version is
            lowered in place.
        y: the scalar; another shape would abort the process.
        layers: the tensors to differentiate with respect to.

    Returns:
        The network with a tensor :func:`gradient_name` for each layer, not yet an output.

    Raises:
        NoGradientError: the builder has no gradient for an operator.
        LayerError: y does not depend on a layer.
        ModelError: the training build does not know the network's opset.
        OperatorError: the builder fails for another reason.
    """
    if opset(model) > LAST_OPSET:
        raise ModelError(
            f"the network has opset {opset(model)}, but onnxruntime-training knows opsets up to "
            f"{LAST_OPSET}; export it again with opset {LAST_OPSET}, or use ",
            Option("engine", "ortcam"),
        )
    model.ir_version = IR_VERSION
    outputs = list(model.graph.outputs)
    model.graph.outputs[:] = dict.fromkeys([*outputs, tensor(model, y)])
    try:
        proto = _built(skeleton(model).SerializeToString(), y, layers)
    except RuntimeError as error:
        raise _explained(error) from error
    built = ir.from_proto(proto)
    put_back_weights(model, built)
    built.graph.outputs[:] = [tensor(built, output.name or "") for output in outputs]
    _keep_shapes(model, built)
    _type_gradients(built, layers)
    _forget_domains(built)
    return built


def gradient_name(layer: str) -> str:
    """The builder's name for a tensor's gradient."""
    return f"{layer}_grad"


def _built(model: bytes, y: str, layers: Sequence[str]) -> onnx.ModelProto:
    import onnxruntime
    from onnxruntime.capi import _pybind_state as state

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # errors come as exceptions too
    builder: Any = state.GradientGraphBuilder(model, {y}, set(layers), y, options)
    builder.build()
    return onnx.load_model_from_string(builder.get_model())


def _explained(error: RuntimeError) -> Exception:
    text = " ".join(str(error).split())
    if unregistered := _UNREGISTERED.search(text):
        return NoGradientError(unregistered[1], unregistered[2])
    if unused := re.search(r"(\S+) couldn't find the consumer node", text):
        return _unreached(unused[1])
    return OperatorError(
        f"ONNX Runtime's gradient builder fails ({text[-200:]}); export with ",
        Option("engine", "ortcam"),
    )


def _unreached(layer: str) -> LayerError:
    return LayerError(
        f"no gradient reaches {layer!r}: the score does not depend on it through operators that "
        "ONNX Runtime's gradient builder differentiates"
    )


def _keep_shapes(model: ir.Model, built: ir.Model) -> None:
    """Restore the shapes inferred before, of which ONNX Runtime knows fewer."""
    values = {value.name: value for node in model.graph for value in node.outputs}
    for node in built.graph:
        for value in node.outputs:
            before = values.get(value.name)
            if before is not None:
                value.shape, value.type = before.shape, before.type


def _type_gradients(built: ir.Model, layers: Sequence[str]) -> None:
    values = {value.name: value for node in built.graph for value in node.outputs}
    for layer in layers:
        gradient = values.get(gradient_name(layer))
        if gradient is None:
            raise _unreached(layer)
        gradient.shape, gradient.type = values[layer].shape, values[layer].type


def _forget_domains(model: ir.Model) -> None:
    """Remove imports of unused domains: the builder imports all it knows."""
    domains = {node.domain for node in model.graph.all_nodes()}
    for domain in set(model.opset_imports) - domains - {""}:
        del model.opset_imports[domain]
