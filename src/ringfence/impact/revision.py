"""An application as it was at a revision of its git repository.

`revision` finds it, `Revision.changed` says which files are different, `Revision.tree` gives the
old ones in a folder of their own. git is asked, and nothing in its repository is changed. Called by
`effect.py` and `graph`.
"""

import io
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from msgspec import Struct

from ringfence.errors import NotFound


class Revision(Struct, frozen=True):
    """One commit.

    Args:
        name: As it was asked for.
        commit: Its hash.
        top: The folder of the repository.
        app: The application's folder in it.
    """

    name: str
    commit: str
    top: Path
    app: Path

    def changed(self) -> list[Path]:
        """Return every file of the repository that differs, is new, or is gone, ignored ones
        left out."""
        diff = _git(self.top, "diff", "--name-only", "--no-renames", "-z", self.commit, "--")
        new = _git(self.top, "ls-files", "--others", "--exclude-standard", "-z")
        names = {
            name
            for said in (diff, new)
            for name in said.decode("utf-8", "surrogateescape").split("\0")
            if name
        }
        return sorted(self.top / name for name in names)

    @contextmanager
    def tree(self) -> Iterator[Path]:
        """Give the application's folder as it was, until the end of the block.

        Raises:
            NotFound: There was no application, or it has links that lead out of it.
        """
        inside = self.app.relative_to(self.top).as_posix()
        packed = _git(self.top, "archive", "--format=tar", self.commit, "--", f"{inside}/")
        with tempfile.TemporaryDirectory(prefix="ringfence-") as folder:
            try:
                with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
                    archive.extractall(folder, filter="data")
            except tarfile.TarError as error:  # a link that leads out of the application, say
                raise NotFound(f"it cannot be unpacked: {error}.", subject=self.name) from None
            root = Path(folder) / inside
            if not (root / "domains").is_dir():
                raise NotFound("there was no application yet.", subject=self.name)
            yield root


def revision(app: Path, name: str) -> Revision:
    """Find the revision `name` of the repository that the folder `app` is in.

    Raises:
        NotFound: There is no git, no repository, or no such revision.
    """
    root = app.resolve()
    top = Path(_git(root, "rev-parse", "--show-toplevel").decode().rstrip("\n"))
    wanted = f"{name}^{{commit}}"
    said = _git(top, "rev-parse", "--verify", "--quiet", "--end-of-options", wanted, told=name)
    return Revision(name, said.decode().split()[-1], top.resolve(), root)


def _git(folder: Path, *arguments: str, told: str | None = None) -> bytes:
    command = ["git", "-C", str(folder), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, check=False)  # noqa: S603 - no shell
    except FileNotFoundError:
        said = "git is not installed; expected it on the PATH."
        raise NotFound(said, subject="git", hint="Install it, or run all tests.") from None
    if done.returncode == 0:
        return done.stdout
    if told is not None:
        said = "there is no such revision; expected a commit, a branch or a tag."
        raise NotFound(said, subject=repr(told), hint="`git log --oneline` lists commits.")
    reason = done.stderr.decode(errors="replace").strip().partition("\n")[0]
    raise NotFound(f"git {arguments[0]} failed: {reason}.", subject=str(folder))
