"""List what a customer was told, newest first."""

from datetime import datetime
from uuid import UUID

from msgspec import Struct

from ringfence import Plugin
from ringfence.tools.db import Database
from ringfence.tools.http import Page, Paged, get


class Notice(Struct):
    id: int
    order_id: int
    kind: str
    subject: str
    written_at: datetime
    sent_at: datetime | None


class ListNotices(Plugin):
    db: Database

    @get("/customers/{customer_id}/notices")
    async def notices(self, customer_id: UUID, wanted: Paged) -> Page[Notice]:
        before = wanted.after(int) or 2**63 - 1
        rows = await self.db.fetch_all(
            "SELECT * FROM notices WHERE customer_id = $1 AND id < $2 ORDER BY id DESC LIMIT $3",
            customer_id,
            before,
            wanted.limit + 1,
            into=Notice,
        )
        return wanted.page(rows, key=lambda notice: notice.id)
