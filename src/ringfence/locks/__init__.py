"""Contract locks: what each service promised when it was last agreed on, a file each.

A lock is `domains/<domain>/contracts/<name>.<kind>.json`: one contract, in sorted and stable bytes,
so that two branches never change one file unless they change one contract. `review` compares an
application with its locks, `Review.write` alone writes them. Invariant: what is classified as
compatible leaves every consumer's view fitting that fitted, if it names what was declared.
"""

from ringfence.locks.lock import Lock, lock_of
from ringfence.locks.review import Affected, Change, Review, declared_locks, review

__all__ = ["Affected", "Change", "Lock", "Review", "declared_locks", "lock_of", "review"]
