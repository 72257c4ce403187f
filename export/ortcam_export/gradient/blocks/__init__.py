"""What several gradient rules are built from."""
