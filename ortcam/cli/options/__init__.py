"""The options that commands share, their types and their layout in the help."""
