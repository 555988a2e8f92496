"""The one driver of the tool that does nothing."""
