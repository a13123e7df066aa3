"""Modules that cases import anew."""
