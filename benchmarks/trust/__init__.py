"""Proof that the gates can be trusted: planted faults, null runs and power, with figures."""
