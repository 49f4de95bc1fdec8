"""Results in, self-contained HTML pages out; all markup is in `templates/`."""
