"""Watching a program while it runs: where its threads wait, and more to come."""
