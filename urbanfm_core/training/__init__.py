"""Training: one loop for all methods, exact resume, safe checkpoints."""
