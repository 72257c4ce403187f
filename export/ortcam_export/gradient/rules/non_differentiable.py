"""Operators without a derivative: their outputs are integers or masks, or constant."""

from ortcam_export.gradient.table import no_derivative

no_derivative(
    # shapes and constants
    "Constant",
    "ConstantOfShape",
    "EyeLike",
    "NonZero",
    "Shape",
    "Size",
)
no_derivative(
    # comparisons and logic
    "And",
    "Equal",
    "Greater",
    "GreaterOrEqual",
    "IsInf",
    "IsNaN",
    "Less",
    "LessOrEqual",
    "Not",
    "Or",
    "Xor",
)
no_derivative(
    # selections by size
    "ArgMax",
    "ArgMin",
    "NonMaxSuppression",
)
no_derivative(
    # steps: the derivative is 0 wherever there is one
    "Ceil",
    "Floor",
    "Hardmax",
    "Round",
    "Sign",
)
no_derivative(
    # bits, strings, files
    "BitCast",
    "BitShift",
    "BitwiseAnd",
    "BitwiseNot",
    "BitwiseOr",
    "BitwiseXor",
    "ImageDecoder",
    "RegexFullMatch",
    "StringConcat",
    "StringNormalizer",
    "StringSplit",
    "TfIdfVectorizer",
)
no_derivative(
    # windows of a given length
    "BlackmanWindow",
    "HammingWindow",
    "HannWindow",
    "MelWeightMatrix",
)
no_derivative(
    # properties of sequences and optionals
    "OptionalHasElement",
    "SequenceLength",
)
