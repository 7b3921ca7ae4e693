"""Training: optimiser, checkpoints, the loop, and one trial from settings to scores."""
