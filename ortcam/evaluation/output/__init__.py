"""What an evaluation writes: summary, tables, page, and the worst pictures."""
