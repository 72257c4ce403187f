"""Whole networks: the gradients of their exports against PyTorch's autograd.

networks    those of torchvision and segmentation_models_pytorch, with random weights; their export
compare     the comparison of one network's gradients with autograd of its module
table       the results for readers

For the command, see ``python -m benchmarks.zoo --help``.
"""
