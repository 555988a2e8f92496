"""What the customers' features share: a customer, the shape of an address, and its absence."""

from typing import Annotated
from uuid import UUID

from msgspec import Meta, Struct

from ringfence import Conflict, NotFound

Name = Annotated[str, Meta(min_length=1, max_length=100)]
# Whether mail arrives there, only mail can tell. `$` would let a line break through at the end.
Email = Annotated[
    str, Meta(pattern=r"^[a-z0-9._+-]+@[a-z0-9-]+(\.[a-z0-9-]+)+$(?!\n)", max_length=200)
]
Address = Annotated[str, Meta(max_length=300)]


class Customer(Struct):
    """A customer. The id cannot be guessed, as it stands where a login would."""

    id: UUID
    name: str
    email: str
    address: str


class NoSuchCustomer(NotFound, code="customers.no_such_customer"):
    """No customer has that id."""

    def __init__(self, customer_id: UUID) -> None:
        super().__init__(f"{customer_id}: no such customer.")


class EmailTaken(Conflict, code="customers.email_taken"):
    """Another customer has that address for mail."""

    def __init__(self, email: str) -> None:
        super().__init__(f"{email}: another customer has that address for mail.")
