"""Where events go: the outbox of the application."""
