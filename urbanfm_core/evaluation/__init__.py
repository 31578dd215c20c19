"""What an embedding knows: probes on frozen vectors, with floors on the same folds."""
