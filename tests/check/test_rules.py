"""Every rule, by the examples that it is explained with."""

from pathlib import Path

import pytest

from ringfence.check.examination import examine
from ringfence.check.rule import Rule, files_of
from ringfence.check.rules import RULES
from tests.kernel.apps import write


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.id)
def test_the_bad_example_of_a_rule_breaks_it(tmp_path: Path, rule: Rule) -> None:
    """And no other one: an example shows one thing."""
    found = examine(write(tmp_path, files_of(rule.bad))).findings
    assert {finding.rule for finding in found} == {rule.id} | _ALONG.get(rule.id, set())
    assert all(finding.fix and finding.line for finding in found)


# What cannot be shown without another one: a waiver without a reason excuses nothing.
_ALONG = {"RF590": {"RF501"}}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.id)
def test_the_good_example_of_a_rule_breaks_none(tmp_path: Path, rule: Rule) -> None:
    """What is recommended has no finding of any rule."""
    assert examine(write(tmp_path, files_of(rule.good))).findings == []
