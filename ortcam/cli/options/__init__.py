"""The options that commands share, and the types their values are read into."""
