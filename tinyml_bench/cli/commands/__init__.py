"""The commands of ``tinyml-bench``."""
