"""What is served beside routes, and around all that is served."""
