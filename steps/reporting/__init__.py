"""From results to the page that people read."""
