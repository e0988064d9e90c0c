"""The columns of device targets, a module a target."""
