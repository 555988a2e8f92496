"""What a plugin may publish outside a transaction, and what it may rely on then."""

from typing import Protocol

from ringfence.kernel.ports import contract, operation


@contract("events")
class Events(Protocol):
    """Events that belong to no data: what has happened has happened whether they are stored or not.

    Guarantees:
        What `publish` has returned for is delivered at least once to every subscription that its
        topic meets, across crashes; those of one key in the order in which they were stored. What
        it raised for was not stored. An event that is not durable is delivered once, or never.
    """

    @operation()
    async def publish(self, event: object, *, delay_s: float | None = None) -> str:
        """Publish an event, and return its id once it is stored.

        Args:
            event: An instance of a class under `@event`, of the plugin's own domain.
            delay_s: Seconds until it is due, above zero; by default it is at once.

        Raises:
            TransactionHeld: This context is inside a transaction: `tx.publish(event)` there.
            NotGranted: Its class is no event of the plugin's domain.
            BudgetExceeded: The context has published as many events as it may.
            ToolUnavailable: It could not be stored; trying again is safe.

        Guarantees:
            Cancelled, it may have been stored or not.
        """
        ...
