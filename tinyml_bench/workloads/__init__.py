"""The workloads to measure: datasets, models, variants, and the cases they make."""
