"""The building blocks that gradient rules share."""
