"""A database for its operator: the maintenance of a driver that has not been started."""

from pathlib import Path

from ringfence.tools.db.drivers.sqlite import Config
from ringfence.tools.db.maintenance import Maintenance

from .support import make


class Quiet:
    """Progress that is kept, and shown to nobody."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def begun(self, part: str) -> None:
        self.said.append(f"begun {part}")

    def advanced(self, done_bytes: int, total_bytes: int) -> None:
        self.said.append(f"{done_bytes} of {total_bytes}")

    def ended(self, part: str, took_s: float) -> None:
        self.said.append(f"ended {part}")


def upkeep(root: Path, instance: str = "db", config: Config | None = None) -> Maintenance:
    """Return the maintenance of the database of the application in `root`."""
    return make(root, instance, config).maintenance()
