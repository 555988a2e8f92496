"""Events in the application's own database: stored with the data that they speak of.

`Outbox` is the kernel's `DeliveryStore` over the contract of the database; a driver offers it as
`events()`, by `service.Handles.events`, and makes `TABLES` when it starts.
"""

from ringfence.tools.db.outbox.store import KeepsEvents as KeepsEvents
from ringfence.tools.db.outbox.store import Lead as Lead
from ringfence.tools.db.outbox.store import Outbox as Outbox
from ringfence.tools.db.outbox.tables import TABLES as TABLES
from ringfence.tools.db.outbox.writing import NONE as NONE
from ringfence.tools.db.outbox.writing import Batch as Batch
