"""Where records go: standard error, or a list in memory."""
