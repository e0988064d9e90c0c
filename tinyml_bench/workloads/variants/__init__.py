"""The formats that networks are deployed in, and their compressions."""
