"""Checkpoints, and how they are trained and compressed."""
