"""Show a customer, to itself and to the domains that deal with it."""

from uuid import UUID

from domains.customers._customers import Customer, NoSuchCustomer
from ringfence import Plugin, service
from ringfence.tools.db import Database
from ringfence.tools.http import get


class ShowCustomer(Plugin):
    db: Database

    @get("/customers/{customer_id}")
    @service("customers.customer")
    async def show(self, customer_id: UUID) -> Customer:
        customer = await self.db.fetch_one(
            "SELECT * FROM customers WHERE id = $1", customer_id, into=Customer
        )
        if customer is None:
            raise NoSuchCustomer(customer_id)
        return customer
