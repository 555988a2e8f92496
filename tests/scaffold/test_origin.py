"""Where an application gets Ringfence from: from where the running one came."""

import sys
from pathlib import Path

import pytest

from ringfence.scaffold import origin as module
from ringfence.scaffold.origin import origin

FOLDER = '{"url": "file:///srv/a%20b", "dir_info": {"editable": true}}'
WHEEL = '{"url": "file:///srv/ringfence.whl", "archive_info": {}}'
REMOTE = '{"url": "https://example.com/ringfence.whl", "archive_info": {}}'
GIT = '{"url": "https://example.com/r.git", "vcs_info": {"vcs": "git", "commit_id": "abc"}}'


class Installed:
    """A distribution with what its installer has written down."""

    version = "1.2.3"

    def __init__(self, direct: str | None) -> None:
        self._direct = direct

    def read_text(self, name: str) -> str | None:
        assert name == "direct_url.json"
        return self._direct


@pytest.mark.parametrize(
    "direct, requirement, local",
    [
        (None, "ringfence>=1.2.3", ""),
        (FOLDER, "ringfence>=1.2.3", "--editable '/srv/a b'"),
        (WHEEL, "ringfence>=1.2.3", "/srv/ringfence.whl"),
        (REMOTE, "ringfence @ https://example.com/ringfence.whl", ""),
        (GIT, "ringfence @ git+https://example.com/r.git@abc", ""),
    ],
)
def test_what_is_installed_is_required_again(
    direct: str | None,
    requirement: str,
    local: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What others can reach is committed; what is on this machine alone is not."""
    monkeypatch.setattr(module, "__file__", str(tmp_path / "lib/ringfence/scaffold/origin.py"))
    monkeypatch.setattr(module, "distribution", lambda name: Installed(direct))
    found = origin()
    assert (found.requirement, found.local) == (requirement, local)
    assert str(tmp_path / "lib") in found.beside
    assert ("RINGFENCE := " in found.local_mk()) == bool(local)
    assert found.python == sys.executable


def test_a_checkout_is_what_runs_whatever_is_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The code that runs decides, not what an installer wrote down of another."""
    (tmp_path / "pyproject.toml").touch()
    monkeypatch.setattr(module, "__file__", str(tmp_path / "src/ringfence/scaffold/origin.py"))
    monkeypatch.setattr(module, "distribution", lambda name: Installed(GIT))
    assert origin().local == f"--editable {tmp_path}"
