"""Change what a customer has told us; what is left out stays."""

from uuid import UUID

from msgspec import UNSET, Struct, UnsetType, structs

from domains.customers._customers import Address, Customer, Email, EmailTaken, Name, NoSuchCustomer
from ringfence import Plugin
from ringfence.tools.db import Database, Transaction, UniqueViolation
from ringfence.tools.http import patch


class Change(Struct):
    name: Name | UnsetType = UNSET
    email: Email | UnsetType = UNSET
    address: Address | UnsetType = UNSET


class ChangeCustomer(Plugin):
    db: Database

    @patch("/customers/{customer_id}")
    async def change(self, customer_id: UUID, change: Change, tx: Transaction) -> Customer:
        """Change a customer.

        Example: {"address": "12 St James's Square, London"}
        """
        customer = await tx.fetch_one(
            "SELECT * FROM customers WHERE id = $1", customer_id, into=Customer
        )
        if customer is None:
            raise NoSuchCustomer(customer_id)
        said = {key: value for key, value in structs.asdict(change).items() if value is not UNSET}
        changed = structs.replace(customer, **said)
        try:
            await tx.execute(
                "UPDATE customers SET name = $2, email = $3, address = $4 WHERE id = $1",
                changed.id,
                changed.name,
                changed.email,
                changed.address,
            )
        except UniqueViolation:
            raise EmailTaken(changed.email) from None
        return changed
