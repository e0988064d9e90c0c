"""Two of a kind side by side: runs, models, TensorFlow versions."""
