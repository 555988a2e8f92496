"""A payment provider for trying out: a process of its own, which fails when it is asked to."""
