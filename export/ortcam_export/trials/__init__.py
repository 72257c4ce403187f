"""Trial runs: inputs, sizes, and the divisor of a network's extents."""
