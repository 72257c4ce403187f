"""Methods: Grad-CAM and the others, and what each needs of an artifact."""
