"""Break features of the shop one after another, and see that `ringfence impact` is never short.

For each mutant: what does impact select, and which of all the shop's tests fail? Every one that
fails has to be among the selected. Works on a copy, in a repository of its own. Run by
`make impact-oracle`, with numbers of mutants to do only these; exits with 1 if one was missed.
"""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
# A feature, what it says, and what it is made to say.
MUTANTS = [
    ("catalogue/quote_price.py", "return ", "return None and "),
    ("inventory/hold_stock.py", "available >= $2", "available >= $2 + 5"),
    ("customers/show_customer.py", "return ", "return None and "),
    ("reports/close_day.py", "INSERT INTO", "INSERT OR INTO"),
    ("notifications/send_notice.py", "INSERT INTO", "INSERT OR INTO"),
    ("payments/charge_order.py", "class ChargeOrder", "class  ChargeOrder(("),  # does not load
    ("storefront/show_front.py", "return ", "return None and "),
]


def copied(folder: Path) -> Path:
    """Copy what the shop's tests need, and commit it."""
    top = folder / "copy"
    for name in ("apps", "tests/apps/shop"):
        unwanted = shutil.ignore_patterns("__pycache__", "data", ".ringfence")
        shutil.copytree(ROOT / name, top / name, ignore=unwanted)
    for name in ("pyproject.toml", ".gitignore", "tests/conftest.py"):
        shutil.copy(ROOT / name, top / name)
    git(top, "init", "-q")
    git(top, "add", "-A")
    git(top, "-c", "user.name=a", "-c", "user.email=a@b.c", "commit", "-qm", "the shop")
    return top


def git(top: Path, *arguments: str) -> None:
    subprocess.run(["git", "-C", str(top), *arguments], check=True)


def ran(top: Path, *arguments: str) -> list[str]:
    """Return the lines that a command says."""
    command = [sys.executable, "-m", *arguments]
    done = subprocess.run(command, cwd=top, capture_output=True, text=True, check=False)
    return done.stdout.splitlines()


def main() -> int:
    missed = 0
    wanted = [int(word) for word in sys.argv[1:]] or range(len(MUTANTS))
    with tempfile.TemporaryDirectory() as folder:
        top = copied(Path(folder))
        for number in wanted:
            name, old, new = MUTANTS[number]
            file = top / "apps/shop/domains" / name
            text = file.read_text("utf-8")
            assert old in text, f"{name} does not say {old!r}"
            file.write_text(text.replace(old, new), "utf-8")
            impact = ("--app", "apps/shop", "--tests", "tests/apps/shop", "--tests-only")
            selected = set(ran(top, "ringfence", "impact", *impact))
            quiet = ("-q", "--tb=no", "-rfE", "-p", "no:cacheprovider")
            said = ran(top, "pytest", *quiet, "-n", "2", "tests/apps/shop")
            lines = [line.split(" ")[1] for line in said if line.startswith(("FAILED ", "ERROR "))]
            failed = {line.partition("[")[0] for line in lines}
            late = {one for one in failed - selected if one.partition("::")[0] not in selected}
            missed += len(late)
            print(
                f"{number} {name}: {len(failed)} fail, {len(selected)} selected, {len(late)} missed"
            )
            print("".join(f"    {one}\n" for one in sorted(late)), end="", flush=True)
            git(top, "checkout", "-q", ".")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
