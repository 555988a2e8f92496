"""Errors take what their constructors name, and nothing else."""

from ringfence.errors import Conflict, Fault, Invalid

Invalid("no", faults=[Fault("$.sku", "missing")])
Invalid("no", faults=["$.sku: missing"])  # error: mypy, pyright
Conflict("taken", subject="orders.place", retry_after_s=1.5)
Conflict("taken", retry_after_s="soon")  # error: mypy, pyright
