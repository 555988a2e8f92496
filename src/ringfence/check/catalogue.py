"""Every rule that a finding may be of, and what it means.

`explained(name)` answers for `ringfence explain`. What the start itself finds is listed here, a
sentence each, as in `docs/findings.md`; what `check` alone finds says so itself, in `rules/`.
"""

from collections.abc import Mapping

from msgspec import Struct

from ringfence.check.rule import Severity, files_of
from ringfence.check.rules import BY_ID
from ringfence.errors import NotFound, did_you_mean


class Explained(Struct, frozen=True):
    """One rule, for who asks what it is; with examples where `check` alone finds it."""

    id: str
    title: str
    severity: Severity
    why: str
    bad: Mapping[str, str] = {}
    good: Mapping[str, str] = {}


def explained(wanted: str) -> Explained:
    """Return what is known of a rule.

    Raises:
        NotFound: There is none of that name.
    """
    for name in (wanted, wanted.upper(), wanted.lower()):
        if name in BY_ID:
            rule = BY_ID[name]
            bad, good = files_of(rule.bad), files_of(rule.good)
            return Explained(name, rule.title, rule.severity, rule.why, bad, good)
        if name in TITLES:
            why = _REFUSED if name.startswith("config-") else _CONTAINED
            return Explained(name, TITLES[name], "error", why)
    hint = did_you_mean(wanted.upper(), sorted(titles()))
    raise NotFound(
        f"no such rule{hint or '.'}", subject=wanted, hint="`ringfence explain` lists them."
    )


def titles() -> Mapping[str, str]:
    """Return every rule with what is wrong where it is broken, in order."""
    return dict(sorted({**TITLES, **{rule.id: rule.title for rule in BY_ID.values()}}.items()))


def severity(rule: str) -> Severity:
    """Return how bad a finding of a rule is; what the start finds is an error."""
    known = BY_ID.get(rule)
    return "error" if known is None else known.severity


_REFUSED = "It is about the configuration, and refuses the start: the finding says where and what."
_CONTAINED = (
    "It is found at the start as well. What is ambiguous refuses it; what concerns one feature "
    "alone leaves that one in quarantine, unless `run --strict` is given. It cannot be waived."
)
TITLES: Mapping[str, str] = {
    "RF001": "A domain imports another domain, or `lib/` imports what is not pure.",
    "RF101": "A file or folder in `domains/` that cannot be a feature or a domain.",
    "RF102": "A feature that does not parse, import or start.",
    "RF103": "A public module that declares no plugin.",
    "RF104": "A module that declares more than one plugin.",
    "RF105": "A service's name that cannot be one, or that belongs to another domain.",
    "RF106": "A service with two providers.",
    "RF107": "A service that is required and that nobody provides.",
    "RF108": "A view that does not fit what the provider offers.",
    "RF109": "Required services that form a circle.",
    "RF110": "A field that cannot be injected.",
    "RF112": "A method whose parameters or result cannot be a contract.",
    "RF113": "An error code outside its domain.",
    "RF114": "An error code that is declared twice.",
    "RF115": "A request value of a tool that the plugin has no field for.",
    "RF116": "A decorator without its arguments.",
    "RF117": "A field without annotation.",
    "RF120": "A folder of `tools/` that is no tool, or a driver that is none.",
    "RF121": "A tool that a plugin uses and that is not known, or is another one of that name.",
    "RF201": "A file in `migrations/` that is no migration.",
    "RF202": "A table that two domains create.",
    "RF203": "A statement that a migration may not have.",
    "RF204": "A migration that has failed.",
    "RF205": "A migration that was changed after it was applied.",
    "RF206": "An order of migrations that cannot be kept.",
    "RF207": "A migration that has no variant for this database.",
    "RF208": "A pending migration, where the configuration leaves them to `ringfence migrate`.",
    "RF209": "A folder of migrations whose database is not configured.",
    "RF210": "A migration that uses another domain's table.",
    "RF301": "A path that cannot be read.",
    "RF302": "A route that two methods claim.",
    "RF303": "A path parameter that nothing takes.",
    "RF304": "A path parameter that is not one value.",
    "RF305": "More than one body.",
    "RF306": "A body where the method has none.",
    "RF307": "A parameter's type that HTTP does not carry.",
    "RF308": "A path of Ringfence's own.",
    "RF309": "A result that JSON does not carry.",
    "RF310": "A status that the answer cannot have.",
    "RF311": "A header, cookie or form field that has fields itself.",
    "RF312": "A service that only HTTP could call.",
    "RF313": "A WebSocket without `@websocket`, or the reverse.",
    "RF314": "An example in a docstring that would be refused.",
    "RF315": "A default that is not of its type.",
    "RF316": "Metadata that nothing reads.",
    "RF401": "A cron expression that cannot be read, or is never due.",
    "RF402": "A timezone that is not known.",
    "RF403": "An interval or a jitter that is none.",
    "RF404": "Two timers of one method under one name.",
    "RF405": "A parameter that nothing gives a value to.",
    "RF406": "An argument of another type.",
    "config-unreadable": "A file that cannot be read, or is not TOML.",
    "config-unknown-key": "A key or a table that nothing reads.",
    "config-missing-key": "A key without a default that is not there.",
    "config-wrong-type": "Something else where a table belongs, or a setting of a type that "
    "cannot be read.",
    "config-wrong-value": "A value that its key does not take.",
    "config-bad-name": "A name of an application, an environment or an instance that cannot "
    "be one.",
    "config-unknown-environment": "An environment that has no `ringfence.<env>.toml`, where others "
    "have.",
    "config-unknown-tool": "A tool or a driver that is not installed.",
    "config-bad-variable": "A `${…}` that cannot be read.",
    "config-missing-variable": "A variable of the environment that is not set.",
    "config-missing-file": "A file with a secret that is not there.",
}
