"""Raising a network's opset with onnx's converter, and restoring what the converter drops."""

from __future__ import annotations

from collections import defaultdict

import onnx
import onnx_ir as ir
from onnx import version_converter

from ortcam.errors import ModelError
from ortcam_export.graph.expansion import Expansion
from ortcam_export.graph.model_io import IR_VERSION, OPSET, opset, put_back_weights, skeleton
from ortcam_export.graph.values import output_names
from ortcam_export.prepare.qdq import needs_opset_21
from ortcam_export.prepare.shape_inference import infer

__all__ = ["RaiseOpset"]


class RaiseOpset(ir.passes.InPlacePass):
    """Opset below 18 -> 18; below 21 -> 21, where a quantizer of ONNX Runtime's needs it."""

    def __init__(self, least: int = OPSET) -> None:
        """Take a higher opset than 18 as the least, where another graph is to be joined."""
        self._least = least

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Raise the opset, unless it is high enough.

        Raises:
            ModelError: onnx's converter cannot raise the opset.
        """
        model.ir_version = max(model.ir_version or 0, IR_VERSION)  # IR 3 wants weights as inputs
        target = max(self._least, 21 if needs_opset_21(model) else OPSET)
        before = opset(model)
        if before >= target:
            return ir.passes.PassResult(model, False)
        if before < 9 and any(node.op_type == "Scan" for node in model.graph.all_nodes()):
            raise ModelError(  # the converter would remove the batch axis of the whole network
                "the network has a Scan of opset 8, which scans each picture of a batch "
                "separately; export it again with opset 9 or later"
            )
        infer(model)  # the converter flattens what a Softmax reads, unless it knows the rank
        if before < 13:
            _write_last_axis(model)
            _flatten_hardmax(model)
        converted = _converted(model, before, target)
        put_back_weights(model, converted)
        _put_back_names(model.graph, converted.graph)
        if before < 11:
            _keep_asymmetric(converted)
        _put_back_metadata(model.graph, converted.graph)
        model.graph = converted.graph
        return ir.passes.PassResult(model, True)


def _converted(model: ir.Model, before: int, target: int) -> ir.Model:
    try:
        return ir.from_proto(version_converter.convert_version(skeleton(model), target))
    except (RuntimeError, ValueError, onnx.checker.ValidationError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else "no reason given"
        raise ModelError(
            f"the network has opset {before} and cannot be raised to {target} ({reason}); "
            f"export it again with opset {target} or later"
        ) from error


def _write_last_axis(model: ir.Model) -> None:
    """Softmax(x, axis=-1) -> Softmax(x, axis=rank - 1), and the same of a LogSoftmax.

    Raises:
        ModelError: the rank is unknown. Below opset 13 a Softmax runs over all axes from its own
            on: flattened, as the converter would write it, its axis of classes could not be told
            from the others.
    """
    for node in model.graph.all_nodes():
        if node.op_type in ("Softmax", "LogSoftmax") and not node.domain:
            x = node.inputs[0]
            if x is None or x.shape is None:
                raise ModelError(
                    f"the network has opset {opset(model)}, where the axis of its {node.op_type} "
                    f"{node.outputs[0].name!r} depends on a rank that is unknown; "
                    "export it again with opset 13 or later"
                )
            axis = node.attributes.get_int("axis", 1)
            node.attributes.add(ir.AttrInt64("axis", axis % len(x.shape)))


def _flatten_hardmax(model: ir.Model) -> None:
    """Hardmax(x, axis) -> Reshape(Hardmax(Flatten(x, axis)), Shape(x)).

    Below opset 13 a Hardmax runs over all axes from its own on, which the converter ignores.
    """
    for node in list(model.graph.all_nodes()):
        if node.op_type == "Hardmax" and not node.domain:
            parts = Expansion(node)
            flat = parts.op("Flatten", parts.input(0), axis=parts.attribute("axis", 1))
            hard = parts.op("Hardmax", flat, axis=1)
            parts.replace([parts.op("Reshape", hard, parts.op("Shape", parts.input(0)))])


def _put_back_names(graph: ir.Graph, converted: ir.Graph) -> None:
    """Restore the names that the converter changes: it renames an Upsample's output.

    The n-th node of an operator is the n-th node of what the converter makes of it.
    """
    after = _by_operator(converted)
    names = {name for node in converted for name in output_names(node)}
    for operator, nodes in _by_operator(graph).items():
        others = after[operator]
        if len(nodes) != len(others):
            continue
        for node, other in zip(nodes, others, strict=True):
            for value, renamed in zip(node.outputs, other.outputs, strict=False):
                if value.name and value.name not in names:
                    renamed.name = value.name


def _by_operator(graph: ir.Graph) -> dict[str, list[ir.Node]]:
    nodes: dict[str, list[ir.Node]] = defaultdict(list)
    for node in graph:
        nodes["Resize" if node.op_type == "Upsample" else node.op_type].append(node)
    return nodes


def _keep_asymmetric(converted: ir.Model) -> None:
    """Resize of opset 10 -> Resize with ``x_in = floor(x_out / scale)``.

    The converter leaves the default of later opsets, half_pixel, where an Upsample stood.
    """
    for node in converted.graph.all_nodes():
        if node.op_type == "Resize" and "coordinate_transformation_mode" not in node.attributes:
            node.attributes.add(ir.AttrString("coordinate_transformation_mode", "asymmetric"))
            node.attributes.add(ir.AttrString("nearest_mode", "floor"))


def _put_back_metadata(graph: ir.Graph, converted: ir.Graph) -> None:
    converted.metadata_props.update(graph.metadata_props)
    nodes = {name: node for node in converted for name in output_names(node)}
    for node in graph:
        for name in output_names(node):
            if name in nodes:
                nodes[name].metadata_props.update(node.metadata_props)
