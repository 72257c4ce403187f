"""The alternative lowerings of an operator's gradient to standard ONNX, timed.

alternatives   each choice of the gradient engine, with its alternatives
__main__       the command, which times them and writes ``docs/lowerings.md``
"""
