"""Connections that stay: streams, server-sent events and WebSockets."""
