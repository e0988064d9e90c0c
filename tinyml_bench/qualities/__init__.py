"""What the built-in quality metrics compute; :mod:`tinyml_bench.quality` knows them by name."""
