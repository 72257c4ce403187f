"""What enters: pictures read, preprocessed, and fed to the network."""
