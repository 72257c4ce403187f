"""Files written whole or not at all, and the formats they are written in."""
