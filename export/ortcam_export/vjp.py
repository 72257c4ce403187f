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
    """Append the vector-Jacobian product of a tensor to a network.

    Reverse-mode differentiation as a transformation of the graph, in standard operators: for a
    cotangent ``u`` of the tensor ``of`` it computes ``u' d(of)/d(t)`` for each ``t`` in ``wrt``.

    Args:
        model: the network: a path, its bytes, or a model of onnx or onnx-ir; not changed.
        of: the name of the tensor to differentiate.
        wrt: names of graph inputs, initializers or intermediate tensors.
        questions: give the cotangent, and with it every gradient, a leading axis K, for K products
            in one run.

    Returns:
        The network with one more input, ``<of>.cotangent`` of the shape of ``of``, and one more
        output, ``<t>.grad`` of the shape of ``t``, for each name in ``wrt``. A gradient has the
        element type of its tensor; that of a quantized tensor, the type that it dequantizes to. A
        name that the network uses already gets the suffix ``_2``, as in a second derivative.
        The opset is 18 or later.

    Raises:
        ModelError: the model is not a readable network.
        InputError: ``wrt`` is empty.
        LayerError: a tensor does not exist, or ``of`` does not depend on it.
        OperatorError: an operator between the two has no gradient rule.

    Example:
        >>> import numpy as np, onnx.parser, onnxruntime
        >>> square = onnx.parser.parse_model('''
        ...     <ir_version: 10, opset_import: ["": 18]>
        ...     square (float[3] x) => (float[3] y) { y = Mul(x, x) }''')
        >>> session = onnxruntime.InferenceSession(vjp(square, "y", ["x"]).SerializeToString())
        >>> feeds = {"x": np.float32([1, 2, 3]), "y.cotangent": np.float32([1, 1, 10])}
        >>> session.run(["x.grad"], feeds)
        [array([ 2.,  4., 60.], dtype=float32)]
    """
    if not wrt:
        raise InputError("wrt is empty: name at least one tensor")
    network = prepare(load(model))
    network = expand(network, [of])
    graph = network.graph
    target = tensor(network, of)
    if target.shape is None or target.dtype is None:
        raise LayerError(f"cannot infer the shape of {of!r}, which is that of its cotangent")
    tape = Tape(graph, opset(network))
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
    else:
        g = g.unsqueeze([0])
    sweep = Sweep(tape, Given(target, g.leading()))
    # early tensors first: they need the whole cotangents of the later ones
    values = sorted((tensor(network, name) for name in dict.fromkeys(wrt)), key=sweep.position)
    gradients = {}
    for value in values:
        assert value.dtype is not None
        whole = sweep.whole(value).revealed()
        if value.dtype.is_floating_point():  # that of a quantized tensor is floating too
            whole = whole.cast(value.dtype)
        name = unused(network, f"{value.name}.grad")
        gradients[name] = whole if questions else whole.squeeze([0])
    finish(network, gradients)
    return ir.to_proto(network)
