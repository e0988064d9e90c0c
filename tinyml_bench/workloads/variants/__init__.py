"""The formats a network is deployed in, and the compressions it is trained for."""
