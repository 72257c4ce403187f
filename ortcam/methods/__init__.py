"""How maps are made: Grad-CAM and the other methods, and what each needs of an artifact."""
