"""The published study beside ours; only the command line knows it."""
