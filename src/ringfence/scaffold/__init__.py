"""What `ringfence new` writes: an application, a domain, a feature, a tool.

Each function returns a `Draft`, which holds every file as text and has written none; `Draft.write`
writes all of them or nothing. A feature is read against what the application declares, and taken
back if `check` finds anything in it. Called by the command line; it prints nothing and asks nobody.
"""

from ringfence.scaffold.application import application, domain
from ringfence.scaffold.draft import Draft, NotWritten, Unfit
from ringfence.scaffold.feature import Wanted, feature
from ringfence.scaffold.tool import tool

__all__ = ["Draft", "NotWritten", "Unfit", "Wanted", "application", "domain", "feature", "tool"]
