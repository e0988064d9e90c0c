"""Baselines and saved runs on disk, as JSON."""
