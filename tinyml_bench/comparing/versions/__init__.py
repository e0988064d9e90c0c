"""What changed between versions of TensorFlow: two environments at work on the same cases."""
