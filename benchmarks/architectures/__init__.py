"""Networks that ortcam was not made for: what it takes their outputs for, and whether it is right.

``python -m benchmarks.architectures`` exports them by their own libraries' exporters, reads each
without an option, and writes docs/architectures.md.
"""
