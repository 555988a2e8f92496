"""Features written side by side: each on a branch of its own, all of them merged.

`Proof` makes the repository, the branches and the merges, by what `ringfence new feature` and
`ringfence contracts update` do; nobody knows of anybody else. Every branch is written at the same
second, which is the worst that can happen to the names of migrations. Run by a test with a few
features, and by `make merge-proof` with fifty.
"""

import os
import subprocess
import sys
import tempfile
from datetime import datetime
from itertools import combinations
from pathlib import Path

from ringfence.app import check, survey
from ringfence.locks import review
from ringfence.scaffold import Wanted, plan_application, plan_domain, plan_feature

DOMAINS = ("orders", "stock", "payments")
NOW = datetime(2026, 1, 2, 3, 4, 5)  # noqa: DTZ001 - the scaffold formats it as UTC
WHO = ("-c", "user.name=nobody", "-c", "user.email=nobody@localhost", "-c", "gc.auto=0")


class Proof:
    """A repository with `count` features on as many branches, in the folder `root`."""

    def __init__(self, root: Path, count: int) -> None:
        self.root = root
        self.branches = [f"feature-{number}" for number in range(count)]
        self.changed: dict[str, set[str]] = {}

    def git(self, *arguments: str) -> str:
        """Run git; return what it says. Raises CalledProcessError, on a conflict as well."""
        command = ["git", "-C", str(self.root), *WHO, *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    def begin(self) -> None:
        """Write the application that all of them start from."""
        plan_application(self.root).write()
        for domain in DOMAINS:
            plan_domain(self.root, domain).write()
        self.lock()
        self.git("init", "-q", "-b", "main")
        self.git("add", "-A")
        self.git("commit", "-qm", "an application")

    def lock(self) -> None:
        """Do what `ringfence contracts update` does."""
        with survey(self.root, keep=False) as (manifest, _):
            review(self.root, manifest).write()

    def write(self) -> None:
        """Write each feature on its branch: its file, a migration, a test and a lock."""
        for number, branch in enumerate(self.branches):
            self.git("checkout", "-qb", branch, "main")
            domain = DOMAINS[number % len(DOMAINS)]
            name, table = f"{domain}/add_part{number}", f"{domain}_parts{number}"
            plan_feature(self.root, Wanted(name=name, service=True, table=table), NOW).write()
            self.lock()
            self.git("add", "-A")
            self.git("commit", "-qm", f"{name}")
            said = self.git("diff", "--name-only", f"main...{branch}")
            self.changed[branch] = set(said.split())

    def merge(self) -> None:
        """Merge all branches, one after another."""
        self.git("checkout", "-q", "main")
        for branch in self.branches:
            self.git("merge", "-q", "--no-ff", "-m", f"Merge {branch}", branch)

    def shared(self) -> set[str]:
        """Return the files that two branches changed."""
        pairs = combinations(self.changed.values(), 2)
        return {file for one, other in pairs for file in one & other}

    def wrong(self) -> list[str]:
        """Return what `check` and `contracts check` find in the merged application."""
        with survey(self.root, keep=False) as (manifest, _):
            behind = [change.name for change in review(self.root, manifest).changes]
        return [*map(str, check(self.root, keep=False)), *behind]

    def tested(self) -> subprocess.CompletedProcess[str]:
        """Run the tests of the merged application."""
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
        environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
        return subprocess.run(
            command, cwd=self.root, env=environment, capture_output=True, text=True, check=False
        )


def main() -> int:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 50
    with tempfile.TemporaryDirectory() as folder:
        proof = Proof(Path(folder) / "proof", count)
        proof.begin()
        proof.write()
        proof.merge()
        files = {len(each) for each in proof.changed.values()}
        print(f"{count} branches merged without a conflict, {files} files each")  # noqa: T201
        shared, wrong, tested = proof.shared(), proof.wrong(), proof.tested()
    print(f"shared files: {len(shared)}; findings: {len(wrong)}")  # noqa: T201
    print(tested.stdout.strip().splitlines()[-1])  # noqa: T201
    return 1 if shared or wrong or tested.returncode else 0


if __name__ == "__main__":
    sys.exit(main())
