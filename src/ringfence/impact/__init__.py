"""What a change to an application concerns: features, contracts, callers, and which tests to run.

`impact_of` compares an application with a revision of its git repository. Invariant, held by a test
that breaks features: a test that a change can make fail is among those that are selected; what
cannot be told from a test's text is selected as well. Called by `cli/impact.py`.
"""

from ringfence.impact.effect import Impact, Touched, impact_of
from ringfence.impact.revision import Revision, revision

__all__ = ["Impact", "Revision", "Touched", "impact_of", "revision"]
