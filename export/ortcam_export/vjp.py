"""The vector-Jacobian product of an ONNX graph, as an ONNX graph."""

from __future__ import annotations

from collections.abc import Sequence

import onnx
import onnx_ir as ir

from ortcam.errors import InputError, LayerError
from ortcam_export.gradient.finish import finish
from ortcam_export.gradient.function_bodies import expand
from ortcam_export.gradient.seed import Given
from ortcam_export.gradient.sweep import Sweep
from ortcam_export.gradient.tape import Tape
from ortcam_export.graph.model_io import opset
from ortcam_export.graph.names import tensor, unused
from ortcam_export.prepare.prepare import prepare
from ortcam_export.reading.model_file import ModelLike, load

__all__ = ["vjp"]


def vjp(
    model: ModelLike, of: str, wrt: Sequence[str], *, questions: bool = False
) -> onnx.ModelProto:
    """Appends the vector-Jacobian product of a tensor to a network.

    Reverse-mode differentiation as a transformation of the graph, in standard operators: for a
    cotangent ``u`` of the tensor ``of`` it computes ``u' d(of)/d(t)`` for each ``t`` in ``wrt``.

    Args:
        model: the network: a path, its bytes, or a model of onnx or onnx-ir; it is not changed.
        of: the name of the tensor that is differentiated.
        wrt: names of graph inputs, initializers or intermediate tensors.
        questions: whether the cotangent has a leading axis K, and with it every gradient: K
            products in one run.

    Returns:
        The network with one more input, ``<of>.cotangent`` of the shape of ``of``, and one more
        output, ``<t>.grad`` of the shape of ``t``, for each name in ``wrt``. A gradient has the
        element type of its tensor, that of a quantized tensor its dequantized one's. A name that
        the network has already gets ``_2`` at its end, as where a gradient is differentiated again.
        The opset is 18 or later.

    Raises:
        ModelError: the model is not a network that can be read.
        InputError: ``wrt`` is empty.
        LayerError: a tensor is not there, or ``of`` does not depend on it.
        OperatorError: an operator between the two has no gradient rule.
    """
    if not wrt:
        raise InputError("wrt is empty; name the tensors whose gradients are wanted")
    network = prepare(load(model))
    network = expand(network, [of])
    graph = network.graph
    target = tensor(network, of)
    tape = Tape(graph, opset(network))
    if target.shape is None or target.dtype is None:
        raise LayerError(f"the shape of {of!r} cannot be inferred, and its cotangent has it")
    shape = [dim if isinstance(dim, int) else dim.value for dim in target.shape]
    cotangent = ir.val(
        unused(network, f"{of}.cotangent"),
        dtype=target.dtype,
        shape=["K", *shape] if questions else shape,
    )
    graph.inputs.append(cotangent)
    g = tape.wrap(cotangent)
    if questions:
        tape.questions = g.dim(0)
        g = g.leading()
    else:
        g = g.unsqueeze([0]).leading()
    sweep = Sweep(tape, Given(target, g))
    # early tensors first: they need the whole cotangents of the later ones
    found = sorted((tensor(network, name) for name in dict.fromkeys(wrt)), key=sweep.position)
    results = {}
    for value in found:
        assert value.name is not None
        assert value.dtype is not None
        whole = sweep.whole(value).revealed()
        if value.dtype.is_floating_point():  # that of a quantized tensor is floating too
            whole = whole.cast(value.dtype)
        results[unused(network, f"{value.name}.grad")] = whole if questions else whole.squeeze([0])
    finish(network, results)
    return ir.to_proto(network)
