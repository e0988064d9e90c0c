"""What lies under everything and knows no model: files, cache, registry, processes."""
