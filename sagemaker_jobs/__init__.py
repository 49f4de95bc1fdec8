"""What runs in Amazon's own containers, where nothing of this project is installed."""
