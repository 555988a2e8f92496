"""The driver `local`: files in a folder of this machine, as they are, under their own names.

Transport only; the rules are in `service.py`, the folder in `_tree.py`. What blocks runs on a few
threads of its own. Made, started and stopped by the kernel, which hands out what `handle` returns.
"""

from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, ClassVar, Protocol, TypeVar

from msgspec import Meta, Struct

from ringfence.errors import StartRefused
from ringfence.kernel.ports import Grant, ToolEnv
from ringfence.tools.files.contract import Files, StorageFailure
from ringfence.tools.files.drivers._folder import Folder, NotOurs, entered
from ringfence.tools.files.drivers._reserved import NAME, Reserved
from ringfence.tools.files.drivers._threads import Threads
from ringfence.tools.files.drivers._tree import Quota, Tree
from ringfence.tools.files.drivers._types import TYPES, Types
from ringfence.tools.files.service import Handle, Limits, Runner, Store


class _CanClose(Protocol):
    def close(self) -> None: ...


Closable = TypeVar("Closable", bound=_CanClose)


class Config(Struct, frozen=True):
    """The keys of `[tools.files]`.

    Args:
        root: The folder, relative to the application's; by default `data/<instance>`. One inside
            the application is made, any other must be there.
        max_file_bytes: How long a file may be.
        max_read_bytes: How long what `read` returns may be; longer ones are streamed.
        max_total_bytes: How much all files may have, as far as this process knows: what was there
            at its start, and what it has written and deleted since. None: no limit.
        threads: How many operations may wait for the disk at once.
    """

    root: str = ""
    max_file_bytes: Annotated[int, Meta(ge=1)] = 100 << 20
    max_read_bytes: Annotated[int, Meta(ge=1)] = 10 << 20
    max_total_bytes: Annotated[int, Meta(ge=1)] | None = None
    threads: Annotated[int, Meta(ge=1, le=64)] = 4


class Driver:
    """A folder behind the contract of `files`."""

    Config: ClassVar[type[Struct]] = Config

    def __init__(self, config: Struct, env: ToolEnv) -> None:
        assert isinstance(config, Config)
        self._config = config
        self._env = env
        self._limits = Limits(config.max_file_bytes, config.max_read_bytes)
        self._threads: Threads | None = None
        self._tree: Tree | None = None
        self._closers = ExitStack()

    async def start(self) -> None:
        """Open the folder, and remove what a crash has left of unfinished writes.

        Raises:
            StartRefused: There is no such folder, or it is none that files can be kept in.
        """
        self._threads = Threads(f"ringfence-{self._env.instance}", self._config.threads)
        await self._threads.do(self._open)

    def _open(self) -> None:
        """On a thread; kept for `stop`, which also comes after a start that was given up."""
        config, env = self._config, self._env
        path = locate(config.root, env)
        try:
            root = self._kept(Folder.root(path))
        except OSError as error:
            raise StartRefused(
                f"{env.instance}: the folder {path} cannot be read: {error.strerror}."
                " Check its owner and mode."
            ) from None
        types: Folder | None = None
        reserved: Reserved | str
        try:
            folder = self._kept(entered(root, NAME))
            types = self._kept(entered(folder, TYPES))
            reserved = self._kept(Reserved(folder, env.clock))
        except NotOurs as error:
            raise StartRefused(
                f"{env.instance}: {path} has something called {error}; expected a folder of files'"
                " own. Remove it."
            ) from None
        except OSError as error:  # what can be read is read; who writes is told
            reserved = f"{error.strerror or error}"
        most = config.max_total_bytes
        self._tree = Tree(root, Types(types), reserved, None if most is None else Quota(most))

    def _kept(self, opened: Closable) -> Closable:
        self._closers.callback(opened.close)
        return opened

    async def stop(self) -> None:
        """Refuse new work, let what runs come to its end, close the folder."""
        if self._threads is not None:
            await self._threads.stop()
        self._closers.close()

    @property
    def store(self) -> Store:
        """Serve `service.Backend`."""
        if self._tree is None:
            raise _not_started()
        return self._tree

    @property
    def runner(self) -> Runner:
        """Serve `service.Backend`."""
        if self._threads is None:
            raise _not_started()
        return self._threads

    def handle(self, grant: Grant) -> Files:
        """Return the files as one plugin sees them."""
        return Handle(self, self._limits, grant)


def locate(configured: str, env: ToolEnv) -> Path:
    """Return where the files are; make the folder if it lies inside the application.

    Raises:
        StartRefused: There is no such folder.
    """
    if "\0" in configured:
        raise StartRefused(f"{env.instance}: expected the path of a folder, got {configured!r}.")
    path = env.root / (configured or f"data/{env.instance}")
    code, place = (env.root / "domains").resolve(), path.resolve()
    if code.is_relative_to(place) or place.is_relative_to(code):
        raise StartRefused(
            f"{env.instance}: files in {path} could become code of the application; expected a"
            f" folder beside it. Set another `root` under [tools.{env.instance}]."
        )
    if path.is_relative_to(env.root) and ".." not in path.parts:
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StartRefused(
                f"{env.instance}: the folder {path} cannot be made: {error.strerror}."
                f" Make it, or set `root` under [tools.{env.instance}]."
            ) from None
    if not path.is_dir():
        raise StartRefused(
            f"{env.instance}: there is no folder {path}; expected one for files. Make it, or set"
            f" `root` under [tools.{env.instance}]."
        )
    return path


def _not_started() -> StorageFailure:
    return StorageFailure("the tool has not started.", subject="files")
