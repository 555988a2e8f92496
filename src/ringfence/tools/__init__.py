"""Infrastructure behind written contracts, one package a tool, all of the same shape."""
