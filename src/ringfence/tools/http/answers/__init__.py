"""What an operation gives back beyond plain JSON."""
