"""The same cases under every TensorFlow: what is installed where, and what came of it."""
