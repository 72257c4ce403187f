"""Results: explanations, segmentations, and the description of an artifact."""
