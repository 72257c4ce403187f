"""Prepare: bring a network into the one form that the later stages read."""
