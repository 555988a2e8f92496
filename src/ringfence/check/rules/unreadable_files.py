"""RF592: a file that cannot be examined."""

from ringfence.check.rule import Rule

RULE = Rule(
    id="RF592",
    title="A file cannot be parsed, so no rule has looked at it.",
    why="Of a feature the start says the same, and leaves it in quarantine; a helper that no "
    "feature imports would go unnoticed.",
    bad="def (:\n",
    good="def place() -> None: ...\n",
    areas=("domains", "lib", "tools"),
)
