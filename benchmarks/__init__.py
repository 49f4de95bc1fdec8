"""Each compares with a peer or a limit in one run: `python -m benchmarks.NAME`."""
