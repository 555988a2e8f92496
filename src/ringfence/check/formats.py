"""Findings in the forms that other programs read: SARIF 2.1.0 and GitHub's annotations.

Both name files as they are found from the folder that the command runs in. Called by
`ringfence check`.
"""

from collections.abc import Sequence
from hashlib import sha256
from urllib.parse import quote

from ringfence.check.catalogue import severity, titles
from ringfence.check.rules import BY_ID
from ringfence.errors import Finding

_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"


def sarif(findings: Sequence[Finding], prefix: str = "") -> dict[str, object]:
    """Return a SARIF log of one run.

    Args:
        findings: What it found.
        prefix: Of each file: the way to the application's folder.
    """
    known = titles()
    used = sorted({finding.rule for finding in findings})
    rules = [_described(rule, known.get(rule, rule)) for rule in used]
    results = [_result(finding, used.index(finding.rule), prefix) for finding in findings]
    driver = {"name": "ringfence", "rules": rules}
    run = {"tool": {"driver": driver}, "columnKind": "unicodeCodePoints", "results": results}
    return {"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]}


def _described(rule: str, title: str) -> dict[str, object]:
    known = BY_ID.get(rule)
    return {
        "id": rule,
        "shortDescription": {"text": title},
        "fullDescription": {"text": known.why if known else title},
        "help": {"text": f"ringfence explain {rule}"},
        "defaultConfiguration": {"level": severity(rule)},
    }


def _result(finding: Finding, index: int, prefix: str) -> dict[str, object]:
    location: dict[str, object] = {"artifactLocation": {"uri": quote(prefix + finding.file)}}
    if finding.line:
        location["region"] = {"startLine": finding.line}
    return {
        "ruleId": finding.rule,
        "ruleIndex": index,
        "level": severity(finding.rule),
        "message": {"text": _told(finding)},
        "locations": [{"physicalLocation": location}],
        "partialFingerprints": {"ringfence/v1": _fingerprint(finding)},
    }


def _told(finding: Finding) -> str:
    return f"{finding.message}\nFix: {finding.fix}" if finding.fix else finding.message


def _fingerprint(finding: Finding) -> str:
    """Name a finding whatever line it is in."""
    what = "\0".join((finding.file, finding.rule, finding.message))
    return sha256(what.encode("utf-8", "backslashreplace")).hexdigest()[:32]


def annotation(finding: Finding, prefix: str = "") -> str:
    """Return the line by which GitHub shows a finding beside the code."""
    place = f"file={_property(prefix + finding.file)}"
    line = f",line={finding.line}" if finding.line else ""
    head = f"::{severity(finding.rule)} {place}{line},title={_property(finding.rule)}::"
    return head + _data(_told(finding))


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
