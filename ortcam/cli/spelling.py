"""Options in messages, spelled as they are typed on the command line."""

from __future__ import annotations

from ortcam.messages import Message, Option

__all__ = ["SPELLINGS", "spell"]

SPELLINGS = {
    Option("classes"): "--labels",
    Option("color_order"): "--bgr",
    Option("feature_layers"): "--layer",
    Option("layers"): "--layer",
    Option("providers"): "--provider",
    Option("gradient"): "gradient= in Python",
    Option("inputs", "{name: array}"): "--input NAME=FILE",
    Option("tensor"): "a .npy file",
    Option("verify", False): "--no-verify",
}
"""Options that have another name on the command line, or are no option there."""


def spell(message: str) -> str:
    """Return a message with its options spelled for the command line, and the rest unchanged.

    Example:
        >>> spell(Message("the network is rough; export with ", Option("verify", False)))
        'the network is rough; export with --no-verify'
    """
    return message.spelled(_spelling) if isinstance(message, Message) else message


def _spelling(option: Option) -> str:
    if option in SPELLINGS:
        return SPELLINGS[option]
    name = "--" + option.name.replace("_", "-")
    return f"{name} {option.value}" if isinstance(option.value, str) else name
