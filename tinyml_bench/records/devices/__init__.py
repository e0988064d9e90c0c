"""What is known of one case on each device target, a module a target."""
