"""Comparisons of TensorFlow versions: two environments run the same cases."""
