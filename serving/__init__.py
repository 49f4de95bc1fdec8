"""What runs where a model scores."""
