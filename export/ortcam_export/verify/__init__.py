"""Verify: the artifact against central differences through the network."""
