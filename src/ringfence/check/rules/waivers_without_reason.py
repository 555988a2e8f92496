"""RF590: a waiver that does not say why, or of what."""

from ringfence.check.rule import Rule

RULE = Rule(
    id="RF590",
    title="A waiver gives no reason, or names no rule that can be waived.",
    why="A waiver is a decision that somebody will want to understand: "
    "`# ringfence: allow RF509 — <reason>`. Waived can be what `check` alone finds, the rules from "
    "RF501 on; what refuses the start or quarantines a feature cannot.",
    bad="from ringfence.kernel import boot  # ringfence: allow RF501\n",
    good="from ringfence.kernel import boot  # ringfence: allow RF501 — until boot is offered\n",
    areas=("domains", "lib", "tools"),
)
