"""Pictures: read, preprocessed, and turned into the network's inputs."""
