"""Forms of a network that is verified, in other numbers than its own."""
