"""Applications to measure with: those under `bench/apps/`, and generated ones of any size."""

import shutil
from pathlib import Path
from string import Template

from bench.measure import ROOT

APPS = ROOT / "bench" / "apps"
DOMAINS = 50
# What is measured reads the system's clock, as outside of tests.
REAL_CLOCK = {"tools": {"clock": {"driver": "system"}}}


def copied(name: str, folder: Path) -> Path:
    """Copy an application away, so that what a run leaves behind does not matter."""
    return shutil.copytree(APPS / name, folder / name)


def add_features(application: Path, count: int, template_name: str = "feature.py.txt") -> None:
    """Add `count` features to an application, spread over 50 domains.

    Those of `feature.py.txt` require a service of the domain before their own; those of the first
    domain require it of a feature that is not there, and do without.
    """
    template = Template((APPS / template_name).read_text())
    for index in range(count):
        row, column = divmod(index, DOMAINS)
        place = application / "domains" / f"area{column}" / f"part{row}.py"
        place.parent.mkdir(parents=True, exist_ok=True)
        text = template.substitute(
            domain=f"area{column}",
            name=f"part{row}",
            other_domain=f"area{column - 1}" if column else "absent",
            other_name=f"part{row}",
        )
        place.write_text(text)


def generated(count: int, folder: Path) -> Path:
    """Make an application of `count` features and nothing else."""
    application = folder / f"made{count}"
    (application / "domains").mkdir(parents=True)
    (application / "ringfence.toml").write_text('[app]\nname = "made"\n')
    add_features(application, count)
    return application


def mounting_only(asgi: str, folder: Path) -> Path:
    """Make an application without a feature, which mounts an ASGI application, `module:name`."""
    application = folder / "mounting"
    (application / "domains").mkdir(parents=True)
    mounts = f'[tools.http.mounts]\n"/" = "{asgi}"\n'
    (application / "ringfence.toml").write_text('[app]\nname = "mounting"\n' + mounts)
    return application


def forget(application: Path) -> None:
    """Remove all that was cached of an application: the next start is its first."""
    for cache in [*application.rglob("__pycache__"), application / ".ringfence"]:
        shutil.rmtree(cache, ignore_errors=True)
