"""Options that messages name, spelled as a user of the command line types them."""

from __future__ import annotations

from ortcam.messages import Message, Option

__all__ = ["spell"]

#: Options that the command line calls otherwise, or that are no options there.
_SPELLINGS = {
    Option("classes"): "--labels",
    Option("color_order"): "--bgr",
    Option("feature_layers"): "--layer",
    Option("layers"): "--layer",
    Option("providers"): "--provider",
    Option("inputs", "{name: array}"): "--input NAME=FILE.npy",
    Option("tensor"): "a .npy file",
    Option("verify", False): "--no-verify",
}


def spell(message: str) -> str:
    """A message with its options as on the command line; other text is left as it is.

    Example:
        >>> spell(Message("the network is rough; export with ", Option("verify", False)))
        'the network is rough; export with --no-verify'
    """
    return message.spelled(_spelling) if isinstance(message, Message) else message


def _spelling(option: Option) -> str:
    known = _SPELLINGS.get(option)
    if known is not None:
        return known
    name = "--" + option.name.replace("_", "-")
    return f"{name} {option.value}" if isinstance(option.value, str) else name
