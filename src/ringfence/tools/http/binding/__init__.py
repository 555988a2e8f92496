"""What a request gives to an operation: where each argument comes from, and how it is read."""
