"""Kinds of operators and of the tensors that they compute."""

from __future__ import annotations

import onnx_ir as ir

from ortcam_export.graph.number_formats import representable
from ortcam_export.graph.values import constant_input

__all__ = [
    "CONVOLUTIONS",
    "FLOATS",
    "GATES",
    "QUANTIZERS",
    "RECURRENCES",
    "SCORERS",
    "SHAPE_READERS",
    "attention_tables",
    "before_quantization",
    "complemented",
    "is_constant",
    "is_handed_on",
    "is_hidden",
    "is_linear",
    "is_relu_like",
    "is_spatial",
    "is_table",
    "operator",
]

FLOATS = frozenset(
    {ir.DataType.FLOAT, ir.DataType.FLOAT16, ir.DataType.BFLOAT16, ir.DataType.DOUBLE}
)


CONVOLUTIONS = frozenset({"Conv", "ConvTranspose", "DeformConv"})


QUANTIZERS = frozenset({"DynamicQuantizeLinear", "QuantizeLinear"})


SCORERS = CONVOLUTIONS | {"Gemm", "MatMul"}


RECURRENCES = frozenset({"GRU", "LSTM", "RNN"})


#: Operators whose outputs depend on the shapes of what they read alone.
SHAPE_READERS = frozenset({"ConstantOfShape", "EyeLike", "RandomNormalLike", "Shape", "Size"})


_PRODUCTS = frozenset({"Einsum", "MatMul"})


#: Operators between the product of queries and keys and its softmax: a scale, a bias, a mask.
_BEFORE_ATTENTION = frozenset(
    {"Add", "Cast", "Clip", "Div", "Mul", "Reshape", "Softcap", "Sub", "Unsqueeze", "Where"}
)


_AFTER_ATTENTION = frozenset({"Cast", "Dropout", "Mul", "Reshape", "Where"})


_RELU_LIKE = frozenset(
    {
        "Celu",
        "Elu",
        "Gelu",
        "HardSwish",
        "LeakyRelu",
        "Mish",
        "PRelu",
        "Relu",
        "Selu",
        "Softplus",
        "Swish",
        "ThresholdedRelu",
    }
)


_NORMALIZATIONS = frozenset({"LayerNormalization", "RMSNormalization"})


#: Operators whose output may have either sign, into whose quantizer a ReLU may be folded.
_LINEAR = CONVOLUTIONS | {"Add", "BatchNormalization"}


#: Operators that compute the gate of an activation written out, such as x * sigmoid(x).
GATES = frozenset({"Clip", "Erf", "HardSigmoid", "Relu", "Sigmoid", "Softplus", "Tanh"})


#: Operators whose output is constant if their first input is: weights that several nodes share.
_OF_ONE_CONSTANT = frozenset({"Cast", "DequantizeLinear", "Identity", "Transpose"})


_BY_CONSTANT = frozenset({"Add", "DequantizeLinear", "Div", "Mul", "QuantizeLinear", "Sub"})


def is_spatial(value: ir.Value, axis: int | None) -> bool:
    """True if a tensor has axes beside batch and channels that are not all of extent 1."""
    if value.shape is None or axis is None:
        return False
    space = [extent for i, extent in enumerate(value.shape) if i not in (0, axis)]
    return any(extent != 1 for extent in space)


def before_quantization(value: ir.Value) -> ir.Value:
    """The tensor that this one is the dequantized form of; itself where it is none's."""
    node = value.producer()
    if node is None or node.op_type != "DequantizeLinear" or node.inputs[0] is None:
        return value
    quantizer = node.inputs[0].producer()
    if quantizer is None or quantizer.op_type not in QUANTIZERS or quantizer.inputs[0] is None:
        return value
    return quantizer.inputs[0]


def operator(value: ir.Value) -> str:
    """Return a tensor's operator; for a dequantized tensor, also that of the quantized one."""
    node, before = value.producer(), before_quantization(value).producer()
    name = "" if node is None else node.op_type
    return name if before is node or before is None else f"{name} of {before.op_type}"


def is_relu_like(value: ir.Value) -> bool:
    """True if a tensor is the output of a ReLU or of a ReLU-like activation.

    Activations that an exporter writes out are known as a product whose factors come from one
    tensor, one of them through a gate: SiLU as x * sigmoid(x), and so HardSwish, Mish, GELU. A
    quantizer whose range begins at 0 is the ReLU of what it reads.
    """
    node = value.producer()
    if node is None:
        return False
    before = before_quantization(value)
    if before is not value:
        return is_relu_like(before) or (is_linear(before) and _from_zero(node))
    if node.op_type in _RELU_LIKE:
        return True
    if node.op_type == "Clip":  # ReLU6
        low = node.inputs[1] if len(node.inputs) > 1 else None
        return low is not None and low.const_value is not None and not low.const_value.numpy().any()
    if node.op_type not in ("Mul", "Div") or len(node.inputs) != 2:
        return False
    first, second = node.inputs
    if first is None or second is None:
        return False
    for one, other in ((first, second), (second, first)):
        if other.const_value is not None:  # GELU's half, HardSwish's sixth
            return _is_product(one) and is_relu_like(one)
    (a, gated_a), (b, gated_b) = _origin(first), _origin(second)
    return a is b and (gated_a or gated_b)


def _from_zero(dequantizer: ir.Node) -> bool:
    """True if the smallest number that a tensor can represent is 0."""
    quantized = dequantizer.inputs[0]
    zero = dequantizer.inputs[2] if len(dequantizer.inputs) > 2 else None
    if quantized is None or quantized.dtype is None:
        return False
    if zero is None:
        return not quantized.dtype.is_signed()
    least, _ = representable(quantized.dtype)
    return zero.const_value is not None and bool((zero.const_value.numpy() == least).all())


def _is_product(value: ir.Value) -> bool:
    node = value.producer()
    return node is not None and node.op_type == "Mul"


def _origin(value: ir.Value) -> tuple[ir.Value, bool]:
    """The tensor that a factor is computed from elementwise, and whether through a gate."""
    gated = False
    while (node := value.producer()) is not None:
        variable = [v for v in node.inputs if v is not None and v.const_value is None]
        gate = node.op_type in GATES
        if len(variable) != 1 or not (gate or node.op_type in _BY_CONSTANT):
            break
        if node.op_type == "Relu" and not gated:
            break  # a product with what a ReLU gave is no gate of that ReLU's input
        gated, value = gated or gate, variable[0]
    return value, gated


def is_hidden(value: ir.Value) -> bool:
    """True if a dense layer reads the tensor, which is then inside a multilayer perceptron."""
    return any(
        use.node.op_type == "MatMul" and use.idx == 0 and is_constant(use.node.inputs[1])
        for use in value.uses()
    )


def is_handed_on(value: ir.Value) -> bool:
    """True if a tensor is a transformer block's output: a residual sum, or its normalisation."""
    node = value.producer()
    if node is None:
        return False
    if node.op_type in _NORMALIZATIONS:
        return True
    return node.op_type == "Add" and not any(is_constant(v) for v in node.inputs)


def is_table(value: ir.Value) -> bool:
    """True if a matrix is the product of two computed ones, as of pictures with texts."""
    walk: ir.Value | None = value
    while walk is not None and walk.shape is not None and len(walk.shape) == 2:
        node = walk.producer()
        if node is None:
            return False
        if node.op_type in ("Einsum", "Gemm", "MatMul"):
            return not any(map(is_constant, node.inputs[:2]))
        if node.op_type not in ("Add", "Cast", "Div", "Identity", "Mul", "Transpose"):
            return False
        walk = next((v for v in node.inputs if not is_constant(v)), None)
    return False


def attention_tables(model: ir.Model) -> set[ir.Value]:
    """The tables inside of attentions, [N, heads, tokens, tokens]: no cell of them is a place.

    They are what a Softmax reads of a product of two tensors, and what it gives for a product with
    a third.
    """
    tables: set[ir.Value] = set()
    for node in model.graph:
        if node.op_type == "Softmax" and _is_product_ahead(node.outputs[0]):
            before = _since_product(node.inputs[0])
            tables.update((*before, *node.outputs) if before else ())
    return tables


def _is_product_ahead(value: ir.Value) -> bool:
    """True if a tensor is multiplied with another as matrices, as it is or merely masked."""
    stack, visited = [value], {value}
    while stack:
        for node in stack.pop().consumers():
            if node.op_type in _PRODUCTS and not any(map(is_constant, node.inputs)):
                return True
            if node.op_type in _AFTER_ATTENTION and node.outputs[0] not in visited:
                visited.add(node.outputs[0])
                stack.append(node.outputs[0])
    return False


def _since_product(value: ir.Value | None) -> set[ir.Value]:
    """The tensors from the product of two others to this one; none where there is none such."""
    chain: set[ir.Value] = set()
    stack = [value]
    multiplied = False
    while stack:
        here = stack.pop()
        node = None if here is None else here.producer()
        if here is None or node is None or here in chain:
            continue
        if node.op_type in _PRODUCTS and not any(map(is_constant, node.inputs[:2])):
            multiplied = True
            chain.add(here)
        elif node.op_type in _BEFORE_ATTENTION:
            chain.add(here)
            stack.extend(v for v in node.inputs if not is_constant(v))
    return chain if multiplied else set()


def is_constant(value: ir.Value | None) -> bool:
    """True if a value is a constant of the graph, perhaps shared, moved about or dequantized."""
    while value is not None and value.const_value is None:
        node = value.producer()
        if node is None or node.op_type not in _OF_ONE_CONSTANT or not node.inputs:
            return False
        value = node.inputs[0]
    return value is not None


def is_linear(value: ir.Value) -> bool:
    """True if a linear operator computes the tensor, so that it may have either sign."""
    node = before_quantization(value).producer()
    return node is not None and node.op_type in _LINEAR


def complemented(value: ir.Value) -> ir.Value | None:
    """Return p if a tensor is the Concat of p and 1 - p, in either order, else None."""
    node = value.producer()
    if node is None or node.op_type != "Concat" or len(node.inputs) != 2:
        return None
    first, second = node.inputs
    if first is None or second is None:
        return None
    for p, other in ((first, second), (second, first)):
        subtraction = other.producer()
        if subtraction is None or subtraction.op_type != "Sub" or subtraction.inputs[1] is not p:
            continue
        one = constant_input(subtraction, 0)
        if one is not None and bool((one == 1).all()):
            return p
    return None
