"""Where figures go: nowhere, or into a file that a collector reads."""
