"""Read: the model file, its labels, and what it expects of a picture."""
