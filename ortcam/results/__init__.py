"""What comes out: explanations, segmentations, and the description of an artifact."""
