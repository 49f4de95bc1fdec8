"""From a file to three sets of rows that passed validation."""
