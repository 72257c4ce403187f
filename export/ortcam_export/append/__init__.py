"""Append: the gradient, and whatever else an artifact holds beside the network.

A change of a model is an onnx-ir pass where it fits one: it is given the model, and its options at
construction. What yields metadata or two models is a function.
"""
