"""A driver for the tool `events`: `patient`."""
