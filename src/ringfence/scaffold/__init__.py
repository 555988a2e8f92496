"""What `ringfence new` writes: an application, a domain, a feature, a tool.

Each `plan_…` returns a `Draft`, which holds every file as text and has written none; `Draft.write`
writes all of them or nothing. A feature is read against what the application declares, and taken
back if `check` finds anything in it. Called by the command line; it prints nothing and asks nobody.
"""

from ringfence.scaffold.application import plan_application, plan_domain
from ringfence.scaffold.draft import Draft, NotWritten, Unfit
from ringfence.scaffold.feature import Wanted, plan_feature
from ringfence.scaffold.tool import plan_tool

__all__ = [
    "Draft",
    "NotWritten",
    "Unfit",
    "Wanted",
    "plan_application",
    "plan_domain",
    "plan_feature",
    "plan_tool",
]
