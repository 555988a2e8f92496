"""What `ringfence new APP` and `ringfence new domain` write.

An application that runs, with a feature, its test and what it takes to work on it and to ship it;
and a domain, which is a folder with a page that says what it is there for.
"""

import shlex
import sys
from collections.abc import Mapping
from pathlib import Path

from ringfence.reading.files import discover
from ringfence.scaffold import names
from ringfence.scaffold.draft import Draft, NotWritten, Unfit
from ringfence.scaffold.origin import Origin, origin
from ringfence.scaffold.texts import filled

# File of the application → its text here.
_FILES: Mapping[str, str] = {
    "ringfence.toml": "ringfence.toml",
    "domains/greetings/README.md": "domain.md",
    "domains/greetings/greet.py": "greet.py.txt",
    "tests/conftest.py": "conftest.py.txt",
    "tests/greetings/test_greet.py": "test_greet.py.txt",
    "Makefile": "Makefile",
    "Dockerfile": "Dockerfile",
    ".dockerignore": "dockerignore",
    ".github/workflows/ci.yml": "ci.yml",
    ".gitignore": "gitignore",
    "AGENTS.md": "AGENTS.md",
    "README.md": "README.md",
    "pyproject.toml": "pyproject.toml",
    "requirements.txt": "requirements.txt",
    "requirements-dev.txt": "requirements-dev.txt",
}


def plan_application(folder: Path, source: Origin | None = None) -> Draft:
    """Plan an application in a folder that is not there, or empty; its name is the folder's.

    Args:
        folder: The application's.
        source: Where it gets Ringfence from; by default, from where the running one comes.

    Raises:
        Unfit: The name cannot be an application's.
        NotWritten: Something is there already.
    """
    source = source or origin()
    name = names.application(folder.resolve().name)
    _refuse_taken(folder)
    words = {
        "app": name,
        "domain": "greetings",
        "title": "Greetings",
        "python": f"{sys.version_info.major}.{sys.version_info.minor}",
        "ringfence": source.requirement,
    }
    texts = {file: filled(f"app/{text}", words) for file, text in _FILES.items()}
    texts["local.mk"] = source.local_mk()
    note = ""
    if source.local:
        note = (
            "Ringfence comes from a folder or file here, which local.mk tells this machine alone; "
            f"CI and Dockerfile take `{source.requirement}` from the package index."
        )
    there = shlex.quote(str(folder))
    go = [] if folder.resolve() == Path.cwd() else [f"cd {there}"]
    return Draft(folder, texts, (*go, "make run", "make test"), note)


def _refuse_taken(folder: Path) -> None:
    if folder.exists() and not folder.is_dir():
        hint = "Nothing was written. Choose another name."
        raise NotWritten("it is a file; expected no such thing.", subject=str(folder), hint=hint)
    found = sorted(one.name for one in folder.iterdir()) if folder.is_dir() else []
    in_it = [one for one in found if one != ".git"]
    if "domains" in in_it:
        said = "an application is there already; expected a new folder, or an empty one."
        hint = (
            f"Nothing was written. For a feature: ringfence new feature DOMAIN/NAME --app {folder}"
        )
        raise NotWritten(said, subject=str(folder), hint=hint)
    if in_it:
        said = f"the folder is not empty; expected a new or an empty one, got {in_it[0]} in it."
        hint = "Nothing was written. Choose another name."
        raise NotWritten(said, subject=str(folder), hint=hint)


def plan_domain(root: Path, name: str) -> Draft:
    """Plan a domain of the application in the folder `root`.

    Raises:
        Unfit: The name cannot be a domain's, or is one already.
    """
    names.word(name, "domain")
    domains, _, _ = discover(root)
    if name in domains:
        hint = f"For a feature in it: ringfence new feature {name}/NAME"
        said = "there is such a domain already; expected a new name."
        raise Unfit(said, subject=name, hint=hint)
    words = {"domain": name, "title": names.title(name)}
    text = filled("app/domain.md", words)
    following = (f"ringfence new feature {name}/NAME",)
    return Draft(root, {f"domains/{name}/README.md": text}, following)
