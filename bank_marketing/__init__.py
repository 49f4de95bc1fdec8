"""The domain: from bytes to a model that can be trusted; knows no framework and no network."""
