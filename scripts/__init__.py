"""What works on the project itself: `make check` runs them."""
