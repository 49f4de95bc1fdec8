"""From a judged model to a registered version, or to reasons why not."""
