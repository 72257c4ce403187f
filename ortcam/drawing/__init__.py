"""How results are drawn: overlays, figures, colours and presets."""
