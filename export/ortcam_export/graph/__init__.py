"""Graph utilities of all stages: names, traversal, values, constants, rewriting, files."""
