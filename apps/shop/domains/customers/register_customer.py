"""Register a customer."""

from uuid import uuid4

from msgspec import Struct

from domains.customers._customers import Address, Customer, Email, EmailTaken, Name
from ringfence import Plugin, service
from ringfence.tools.db import Database, UniqueViolation
from ringfence.tools.http import post


class NewCustomer(Struct):
    name: Name
    email: Email
    address: Address = ""


class RegisterCustomer(Plugin):
    db: Database

    @post("/customers", status=201)
    @service("customers.register")
    async def register(self, new: NewCustomer) -> Customer:
        """Register a customer.

        Example: {"name": "Ada Lovelace", "email": "ada@example.com", "address": "London"}
        """
        customer = Customer(uuid4(), new.name, new.email, new.address)
        try:
            await self.db.execute(
                "INSERT INTO customers (id, name, email, address) VALUES ($1, $2, $3, $4)",
                customer.id,
                customer.name,
                customer.email,
                customer.address,
            )
        except UniqueViolation:
            raise EmailTaken(new.email) from None
        return customer
