"""Drawing: overlays, figures, colours and presets."""
