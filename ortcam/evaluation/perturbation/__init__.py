"""Deletion, insertion and ROAD: the network's response as pixels are removed or inserted."""
