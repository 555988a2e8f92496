"""What a driver with a port is made of: sockets, connections, requests, and their limits."""
