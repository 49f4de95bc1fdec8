"""Thin ZenML steps, one per file, by phase."""
