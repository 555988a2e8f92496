"""An existing package, seen as domains to be: what would move where, and what stands in the way.

`survey_of` reads its files, and runs none. A baseline keeps the imports that cross a border today,
so that no further one comes while the old ones go. Called by `cli/adopt.py`.
"""

from ringfence.adopt.baseline import Baseline, read, write
from ringfence.adopt.package import Crossing, Move, Survey, survey_of

__all__ = ["Baseline", "Crossing", "Move", "Survey", "read", "survey_of", "write"]
