"""An application without events, as the control socket sees it: what its fakes have in common."""

from collections.abc import Sequence

from ringfence.deliveries import Deliveries
from ringfence.errors import NotFound
from ringfence.report import Cause


class Eventless:
    """Derive a fake of an application from it."""

    @property
    def deliveries(self) -> Deliveries:
        raise NotFound("it declares no event and no subscription.")

    async def why(self, wanted: str) -> Sequence[Cause]:
        raise NotFound("nothing that is kept has it.", subject=wanted)
