"""Flavors of stack components that ZenML lacks; jobs import them from the code that they get."""
