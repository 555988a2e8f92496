"""Where the running Ringfence comes from, so that an application gets the same one.

From the package index in most cases: then a version is all there is to say. A checkout or a file is
of this machine alone, and stands in `local.mk`, which is not committed. What is looked at is the
code that runs, then what the installer has written down (PEP 610); nothing is fetched.
"""

import shlex
import sys
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from urllib.parse import unquote, urlsplit
from urllib.request import url2pathname

import msgspec
from msgspec import Struct


class Origin(Struct, frozen=True):
    """What an application requires.

    Args:
        requirement: The line of its `requirements.txt`.
        local: What pip is given besides on this machine, or nothing.
        beside: Folders that hold the running Ringfence and what it needs.
        python: The running Python.
    """

    requirement: str
    local: str
    beside: tuple[str, ...]
    python: str

    def local_mk(self) -> str:
        """Return what this machine tells the Makefile."""
        lines = [
            "# What `ringfence new` found on this machine, and no part of the application: without",
            "# this file, Ringfence comes from the package index.",
            f"PYTHON ?= {_for_make(self.python)}",
            f"BESIDE := {' '.join(map(_for_make, self.beside))}",
        ]
        return "\n".join([*lines, *([f"RINGFENCE := {self.local}"] if self.local else []), ""])


class _Written(Struct):
    """PEP 610, as far as it matters here."""

    url: str
    dir_info: dict[str, object] | None = None
    vcs_info: dict[str, str] | None = None


def origin() -> Origin:
    """Find out where the running Ringfence comes from."""
    package = Path(__file__).parents[1]
    folders = (package.parent, Path(msgspec.__path__[0]).parent)
    beside = tuple(dict.fromkeys(map(str, folders)))
    requirement, local = _required(package)
    return Origin(requirement, local, beside, sys.executable)


def _required(package: Path) -> tuple[str, str]:
    plain = f"ringfence>={ringfence_version()}" if ringfence_version() else "ringfence"
    checkout = package.parents[1]
    if package.parent.name == "src" and (checkout / "pyproject.toml").is_file():
        return plain, f"--editable {_for_make(str(checkout))}"
    try:
        said = distribution("ringfence").read_text("direct_url.json")
    except PackageNotFoundError:
        return plain, ""
    if not said:
        return plain, ""
    return _direct(msgspec.json.decode(said, type=_Written), plain)


def _direct(written: _Written, plain: str) -> tuple[str, str]:
    if written.vcs_info is not None:
        vcs, commit = written.vcs_info.get("vcs", "git"), written.vcs_info.get("commit_id", "")
        at = f"@{commit}" if commit else ""
        return f"ringfence @ {vcs}+{written.url}{at}", ""
    if urlsplit(written.url).scheme != "file":
        return f"ringfence @ {written.url}", ""
    path = _for_make(url2pathname(unquote(urlsplit(written.url).path)))
    editable = bool((written.dir_info or {}).get("editable"))
    return plain, f"--editable {path}" if editable else path


def ringfence_version() -> str:
    """Return the version of the installed Ringfence; nothing if it is not installed."""
    try:
        return distribution("ringfence").version
    except PackageNotFoundError:
        return ""


def _for_make(path: str) -> str:
    """Quote a path for a shell that make starts."""
    return shlex.quote(path).replace("$", "$$").replace("#", "\\#")
