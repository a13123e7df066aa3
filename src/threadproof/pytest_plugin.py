"""The race detector under pytest."""
