"""What every stage uses of a graph: names, traversal, values, expansion of nodes."""
