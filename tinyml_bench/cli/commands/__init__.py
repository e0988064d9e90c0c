"""What each command of ``tinyml-bench`` does."""
