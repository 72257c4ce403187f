"""The treatment of each operator by the gradient, for people, tests and error messages.

The rules register where they stand, in :mod:`ortcam_export.gradient.rules`; an
operator with neither a derivative nor a rule is listed here with the reason.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from functools import cache

import onnx

from ortcam_export.gradient import rules as _rules  # noqa: F401 - fills the table
from ortcam_export.gradient.table import NO_DERIVATIVE, ruled
from ortcam_export.prepare.contrib_ops import CONTRIB
from ortcam_export.prepare.control_flow import MOST_NODES

__all__ = ["BRANCHED", "CONVERTED", "REFUSED", "Decision", "Kind", "decision"]

_RECURRENT = "a recurrence over time, whose steps its node hides"
_SEQUENCE = "it works on sequences of tensors, which carry no cotangent"
_OPTIONAL = "it works on optional values, which carry no cotangent"
_RANDOM = "it draws random numbers, so its derivative would be that of another run"
_BODY = (
    "its body runs a number of times that depends on the data, or so often that its copies would "
    f"be more than {MOST_NODES} nodes"
)
_INTEGER = (
    "it computes on integers, which carry no cotangent; quantize the network in the QDQ form "
    "instead (onnxruntime.quantization: quant_format=QuantFormat.QDQ)"
)
_FUSED = (
    "ONNX Runtime's optimizer fused several operators into it; use the original network, or "
    "optimize it no further than ORT_ENABLE_BASIC"
)

#: Operators whose derivative is not supported, and why.
REFUSED: dict[str, str] = {
    "Bernoulli": _RANDOM,
    "ConcatFromSequence": _SEQUENCE,
    "GRU": _RECURRENT,
    "LSTM": _RECURRENT,
    "Loop": _BODY,
    "Multinomial": _RANDOM,
    "Optional": _OPTIONAL,
    "OptionalGetElement": _OPTIONAL,
    "RNN": _RECURRENT,
    "RandomNormal": _RANDOM,
    "RandomNormalLike": _RANDOM,
    "RandomUniform": _RANDOM,
    "RandomUniformLike": _RANDOM,
    "Scan": _BODY,
    "SequenceAt": _SEQUENCE,
    "SequenceConstruct": _SEQUENCE,
    "SequenceEmpty": _SEQUENCE,
    "SequenceErase": _SEQUENCE,
    "SequenceInsert": _SEQUENCE,
    "SequenceMap": _SEQUENCE,
    "SplitToSequence": _SEQUENCE,
}

#: Operators of old and of quantized networks, and what each is converted to before it is
#: differentiated.
CONVERTED = {
    "ConvInteger": "Conv, between quantizers",
    "MatMulInteger": "MatMul, between quantizers",
    "QLinearConv": "Conv, between quantizers",
    "QLinearMatMul": "MatMul, between quantizers",
    "Scatter": "ScatterElements",
    "Upsample": "Resize",
}


#: Operators that are differentiated through their graphs.
BRANCHED = {"If": "that of the branch taken, with respect to what the branches read"}


class Kind(enum.Enum):
    """The ways a gradient meets an operator."""

    RULE = "a rule of its own"
    BODY = "through its ONNX function body"
    NONE = "no derivative"
    REFUSED = "refused"


@dataclass(frozen=True)
class Decision:
    """The way a gradient meets an operator, with the reason where that is not plain."""

    kind: Kind
    reason: str = ""


def decision(op_type: str, domain: str = "") -> Decision:
    """Return the way a gradient meets an operator.

    Raises:
        KeyError: the operator is in no table.
    """
    if domain == CONTRIB:
        return Decision(Kind.REFUSED, _contrib_reason(op_type))
    if domain not in ("", "ai.onnx"):
        raise KeyError(op_type)
    if op_type in REFUSED:
        return Decision(Kind.REFUSED, REFUSED[op_type])
    if op_type in NO_DERIVATIVE:
        return Decision(Kind.NONE)
    if ruled(op_type):
        return Decision(Kind.RULE)
    if op_type in BRANCHED:
        return Decision(Kind.RULE, BRANCHED[op_type])
    if op_type in CONVERTED:
        return Decision(Kind.RULE, f"that of {CONVERTED[op_type]}, to which it is converted")
    if op_type in _with_bodies():
        return Decision(Kind.BODY)
    raise KeyError(op_type)


def _contrib_reason(op_type: str) -> str:
    return _INTEGER if "Q" in op_type or "Integer" in op_type else _FUSED


@cache
def _with_bodies() -> frozenset[str]:
    return frozenset(s.name for s in onnx.defs.get_function_ops() if not s.domain)
