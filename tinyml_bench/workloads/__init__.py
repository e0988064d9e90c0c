"""What is measured: datasets, models, variants, and the cases they make."""
