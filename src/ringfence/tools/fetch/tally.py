"""What a link's requests have come to: the seam for whoever watches over its health."""

from collections.abc import Callable

from ringfence.errors import ToolError


class Tally:
    """Counts requests, each once, after its retries.

    Any answer of the other side is an answer, a 404 as well. LinkUnavailable and OutcomeUnknown
    are failures; what is wrong with a request, its target or the content of its answer is neither,
    and neither is a request that was cancelled, by a deadline for instance.
    """

    def __init__(self) -> None:
        self.answers = 0
        self.failures = 0
        self.failures_in_a_row = 0
        self.watch: Callable[[ToolError | None], None] | None = None  # told of each; None: answered

    def answered(self) -> None:
        """Note that the other side answered."""
        self.answers += 1
        self.failures_in_a_row = 0
        if self.watch is not None:
            self.watch(None)

    def failed(self, error: ToolError) -> None:
        """Note that it did not."""
        self.failures += 1
        self.failures_in_a_row += 1
        if self.watch is not None:
            self.watch(error)
