"""`ringfence migrate`: the pending migrations of every database, listed or applied."""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

import click
from msgspec import Struct

from ringfence.audit import AuditLog
from ringfence.cli.options import app_argument, json_option
from ringfence.cli.progress import Shown
from ringfence.cli.terminal import complain, say, say_json
from ringfence.errors import Finding, StartRefused
from ringfence.tools.db.maintenance import Maintenance, Plan, Step


class Outcome(Struct, frozen=True):
    """One database, as `--json` shows it: what was applied now, and what still is not."""

    instance: str
    database: str
    applied_before: int
    applied: Sequence[Step]
    pending: Sequence[Step]
    gone: Sequence[str]


@click.command("migrate")
@app_argument
@click.option("--plan", "only_plan", is_flag=True, help="List what is pending, apply nothing.")
@json_option
def verb(app: Path, only_plan: bool, as_json: bool) -> int:
    """Apply the pending migrations of every database of the application in the folder APP.

    The application may be running; nothing of it is started. Each migration is applied wholly or
    not at all. Exits with 2 if a migration is refused or fails: those before it stay applied.
    """
    from ringfence.app import load, maintenance

    done: list[Outcome] = []
    try:
        databases = maintenance(app, click.get_current_context().with_resource(ExitStack()))
        audit = AuditLog(app, load(app, {}).redactor)
        asyncio.run(_run(databases, audit, only_plan, as_json, done))
    except StartRefused as refusal:
        if not as_json:
            raise
        found = refusal.findings or (Finding(str(app), 0, refusal.code, refusal.message),)
        say_json({"databases": done, "findings": found}, indent=2)
        complain(refusal.message)
        return 2
    if as_json:
        say_json({"databases": done, "findings": []}, indent=2)
    return 0


async def _run(
    databases: Mapping[str, Maintenance],
    audit: AuditLog,
    only_plan: bool,
    as_json: bool,
    done: list[Outcome],
) -> None:
    for instance, database in databases.items():
        plan = await database.plan()
        if not (plan.pending or plan.applied) and len(databases) > 1 and instance == "db":
            continue  # nobody uses the one that is there by default
        if not as_json:
            _announce(instance, plan, only_plan)
        applied: tuple[Step, ...] = ()
        if not only_plan and plan.pending:
            counted = _Counted(quiet=as_json)
            try:
                with audit.record("migrate", (instance, *(step.id for step in plan.pending))):
                    plan = await database.migrate(counted)
            finally:
                counted.stop()
                applied = tuple(step for step in plan.pending if step.id in counted.applied)
                done.append(_outcome(instance, plan, applied))
        else:
            done.append(_outcome(instance, plan, applied))


class _Counted(Shown):
    """Knows what was applied, also where a later one fails."""

    def __init__(self, *, quiet: bool) -> None:
        super().__init__(quiet=quiet)
        self.applied: set[str] = set()

    def ended(self, part: str, took_s: float) -> None:
        super().ended(part, took_s)
        self.applied.add(part)


def _outcome(instance: str, plan: Plan, applied: tuple[Step, ...]) -> Outcome:
    pending = tuple(step for step in plan.pending if step not in applied)
    return Outcome(instance, plan.database, plan.applied, applied, pending, plan.gone)


def _announce(instance: str, plan: Plan, only_plan: bool) -> None:
    count = len(plan.pending)
    what = f"{count} migration{'s' if count != 1 else ''} pending"
    about = f", {plan.applied} applied before" if plan.applied else ""
    said = what if count else "nothing is pending"
    say((instance, "bold"), f" {plan.database}: {said}{about}")
    for name in plan.gone:
        say(("  gone ", "warn"), f"{name} was applied, and has no file here")
    for step in plan.pending:
        if step.late:
            say(("  late ", "warn"), f"{step.id} is older than what was applied")
        if only_plan:
            say(f"  {step.id}", (f"  {step.file}", "dim"))
