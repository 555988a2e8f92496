"""Requests over the network, and answers that a test declares."""
