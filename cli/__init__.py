"""What the user types, and what he then sees."""
