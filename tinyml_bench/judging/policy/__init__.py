"""What a project tolerates, requires and allows, as its settings say."""
