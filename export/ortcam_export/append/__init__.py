"""Append: the gradient, and whatever else an artifact holds beside the network."""
