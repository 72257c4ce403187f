"""Deletion, insertion and ROAD: the score as pixels are removed."""
