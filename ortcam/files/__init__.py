"""Files: written whole or not at all, in a format that their names end with."""
