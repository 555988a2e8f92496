"""RF591: a waiver of what is not there."""

from ringfence.check.rule import Rule

RULE = Rule(
    id="RF591",
    title="A waiver excuses nothing.",
    why="What it excused has been mended, or has moved: left in place, it would excuse the next "
    "mistake. `--fix` removes it.",
    bad="import json  # ringfence: allow RF501 — until boot is offered\n",
    good="import json\n",
    areas=("domains", "lib", "tools"),
)
