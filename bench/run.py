"""Measure everything, print a table, write `bench/results/latest.json`: `python -m bench.run`.

`--only calls,web` takes those parts; `--strict` fails where a limit is passed.
"""

import argparse
import sys
import time
from collections.abc import Callable, Iterable

import uvloop

from bench import bulk, calls, check, ledger, report, routes, slow, starting, web, wide
from bench.measure import ROOT, NotMeasured

Part = Callable[[], Iterable[report.Row]]
PARTS: dict[str, Part] = {
    "calls": lambda: uvloop.run(calls.rows()),
    "peers": calls.peer_rows,
    "starting": starting.rows,
    "check": check.rows,
    "ledger": ledger.rows,
    "web": web.rows,
    "routes": routes.rows,
    "wide": wide.rows,
    "bulk": bulk.rows,
    "slow": slow.rows,
}
RESULTS = ROOT / "bench" / "results" / "latest.json"


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--only", default=",".join(PARTS), help="parts to measure")
    parser.add_argument("--strict", action="store_true", help="fail where a limit is passed")
    chosen = parser.parse_args(arguments)
    rows: list[report.Row] = []
    missing: list[str] = []
    parts = chosen.only.split(",")
    if unknown := set(parts) - set(PARTS):
        parser.error(f"no such part: {', '.join(unknown)}; there are {', '.join(PARTS)}")
    for name in parts:
        started = time.monotonic()
        try:
            for row in PARTS[name]():
                rows.append(row)  # noqa: PERF402 - those before a failure count
        except NotMeasured as reason:
            missing.append(f"{name}: {reason}")
        print(f"{name}: {time.monotonic() - started:.0f} s", file=sys.stderr)
    report.write(RESULTS, rows, missing)
    print(report.table(rows))
    for line in missing:
        print(f"not measured: {line}")
    return int(bool(missing) or (chosen.strict and any(row.broken for row in rows)))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
