"""Choose: the score, its class axis, and the feature layers."""
