"""Which layers can be explained: listed, ranked, costed, and compared on a picture."""
