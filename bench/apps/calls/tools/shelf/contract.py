"""The contract of the tool that does nothing: one operation, which spends from the budget."""

from typing import Protocol

from ringfence.kernel.ports import contract, operation


@contract("shelf")
class Shelf(Protocol):
    """What a feature may ask of it."""

    @operation(spends="queries")
    async def count(self, *, sku: str) -> int:
        """Return how much of something there is."""
        ...
