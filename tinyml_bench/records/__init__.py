"""The values that measuring and judging exchange; they hold values and do nothing else."""
