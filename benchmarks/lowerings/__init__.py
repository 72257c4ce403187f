"""How the gradient of an operator is best written in standard ONNX: the ways there are, timed.

ways       each choice that the gradient engine makes, and the ways that it chose among
__main__   the command: times them, and writes ``docs/lowerings.md``
"""
