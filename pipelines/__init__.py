"""Processes as wiring: which artifact goes into which step."""
