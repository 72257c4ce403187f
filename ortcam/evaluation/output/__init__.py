"""The files of an evaluation: the tables, the summary, and the page with the worst pictures."""
