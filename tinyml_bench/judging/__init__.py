"""Gates and policy: findings from records alone, without TensorFlow."""
