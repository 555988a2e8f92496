"""How models of other libraries are carried; one module a library, loaded with its first model.

Each is an `Adapter` of `ringfence.kernel.ports`, announced in the group `ringfence.payloads`.
"""
