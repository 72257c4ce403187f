"""Raising a network's opset with onnx's converter, and restoring what the converter drops."""

from __future__ import annotations

from collections import defaultdict

import onnx
import onnx_ir as ir
from onnx import version_converter

from ortcam.errors import ModelError
from ortcam_export.graph.expansion import Expansion
from ortcam_export.graph.model_io import IR_VERSION, opset, put_back_weights, skeleton

__all__ = ["raise_opset"]


def raise_opset(model: ir.Model, needed: int) -> ir.Model:
    """Raises the opset with onnx's converter, and puts back what that drops."""
    before = opset(model)
    if before < 9 and any(node.op_type == "Scan" for node in model.graph.all_nodes()):
        raise ModelError(  # the converter would take the batch's axis out of the whole network
            "the network has a Scan of opset 8, which scans each picture of a batch by itself; "
            "export it again with opset 9 or later"
        )
    if before < 13:
        _flatten_hardmax(model)
    model.ir_version = max(model.ir_version or 0, IR_VERSION)  # IR 3 wants weights as inputs
    try:
        converted = ir.from_proto(version_converter.convert_version(skeleton(model), needed))
    except (RuntimeError, ValueError, onnx.checker.ValidationError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else "no reason given"
        raise ModelError(
            f"the network has opset {before} and cannot be raised to {needed} ({reason}); "
            f"export it again with opset {needed} or later"
        ) from error
    put_back_weights(model, converted)
    _put_back_names(model, converted)
    if before < 11:
        _keep_asymmetric(converted)
    _put_back_metadata(model, converted)
    return converted


def _flatten_hardmax(model: ir.Model) -> None:
    """Below opset 13 a Hardmax ran over all axes from its own on; the converter leaves it so."""
    for node in list(model.graph.all_nodes()):
        if node.op_type == "Hardmax" and not node.domain:
            parts = Expansion(node)
            flat = parts.op("Flatten", parts.input(0), axis=parts.attribute("axis", 1))
            hard = parts.op("Hardmax", flat, axis=1)
            parts.replace([parts.op("Reshape", hard, parts.op("Shape", parts.input(0)))])


def _put_back_names(model: ir.Model, converted: ir.Model) -> None:
    """Renames what the converter renamed: it gives an Upsample's output a name of its own.

    The n-th node of an operator is the n-th node of what the converter makes of it.
    """
    after = _by_operator(converted)
    there = {name for node in converted.graph for name in _names(node)}
    for operator, nodes in _by_operator(model).items():
        others = after[operator]
        if len(nodes) != len(others):
            continue
        for node, other in zip(nodes, others, strict=True):
            for value, renamed in zip(node.outputs, other.outputs, strict=False):
                if value.name and value.name not in there:
                    renamed.name = value.name


def _by_operator(model: ir.Model) -> dict[str, list[ir.Node]]:
    nodes: dict[str, list[ir.Node]] = defaultdict(list)
    for node in model.graph:
        nodes["Resize" if node.op_type == "Upsample" else node.op_type].append(node)
    return nodes


def _keep_asymmetric(converted: ir.Model) -> None:
    """Below opset 11 pixels were resized by ``x_in = floor(x_out / scale)``.

    The converter leaves the later default, half_pixel, where an Upsample stood.
    """
    for node in converted.graph.all_nodes():
        if node.op_type == "Resize" and "coordinate_transformation_mode" not in node.attributes:
            node.attributes.add(ir.AttrString("coordinate_transformation_mode", "asymmetric"))
            node.attributes.add(ir.AttrString("nearest_mode", "floor"))


def _put_back_metadata(model: ir.Model, converted: ir.Model) -> None:
    converted.metadata_props.update(model.metadata_props)
    converted.graph.metadata_props.update(model.graph.metadata_props)
    converted.producer_name = model.producer_name
    converted.producer_version = model.producer_version
    computed_by = {name: node for node in converted.graph for name in _names(node)}
    for node in model.graph:
        for name in _names(node):
            if name in computed_by:
                computed_by[name].metadata_props.update(node.metadata_props)


def _names(node: ir.Node) -> list[str]:
    return [value.name for value in node.outputs if value.name]
