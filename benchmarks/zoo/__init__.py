"""Whole networks against PyTorch: is every gradient what autograd says it is?

networks    torchvision's and segmentation_models_pytorch's, with random weights, and their export
compare     one network's gradients against autograd of the module that it was exported from
table       the results to read

``python -m benchmarks.zoo --help`` tells the command.
"""
