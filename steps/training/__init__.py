"""From rows to a model that was judged once, on rows it never saw."""
