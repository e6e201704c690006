"""What a run was given and what it decided, on disk: written beside trading, read by `verify`."""
