"""Arithmetic on grids of pixels: resampling, labels, and morphology."""
