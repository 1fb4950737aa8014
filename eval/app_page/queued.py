"""Photographs of the page, rated through the queue in which the requests of other clients wait, too."""

import time
from collections.abc import Sequence

from eval.serving.admission import Refused
from eval.serving.batching import Batcher, Job
from storm.rows import Example

PATIENCE = 2.0  # seconds at most between two looks at a full queue; our choice


class Queued:
    """Rates as a Rater, of which only the queue's thread touches the model."""

    def __init__(self, batcher: Batcher) -> None:
        self.batcher, self.settings = batcher, batcher.rater.settings

    def rate(self, block: Sequence[Example]) -> list[dict]:
        """A row for each example, in order; one that cannot be read or rated has an error and no answer.

        Images lie below the rater's image root. Raises ValueError when the program ends.
        """
        if self.batcher.ends:
            raise ValueError("the program is ending")
        images, rows = self.batcher.rater.images(block)
        jobs = {example.id: Job(example, images[example.id]) for example in block if example.id in images}
        self._submit(list(jobs.values()))
        for name, job in jobs.items():
            try:
                rows[name] = job.answer.result()
            except Refused as refused:
                rows[name] = {"predict": "", "error": str(refused)}
        return [rows[example.id] for example in block]

    def _submit(self, jobs: Sequence[Job]) -> None:
        """Wait for room in the queue. Nobody who looks at a page reads Retry-After."""
        while True:
            try:
                return self.batcher.submit(jobs)
            except Refused as refused:
                if refused.status != 429 or len(jobs) > self.batcher.most:
                    raise ValueError(str(refused)) from None
            time.sleep(min(PATIENCE, max(0.05, self.batcher.wait())))
