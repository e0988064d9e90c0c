"""The gates on device targets, a module a target."""
