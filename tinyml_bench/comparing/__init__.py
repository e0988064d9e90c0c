"""Comparisons of two runs, two models or two TensorFlow versions."""
