"""One thread owns the model. Ratings that wait are taken together: the oldest, and all of the same question."""

import math
import threading
import time
import traceback
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from eval.serving.admission import Refused, full
from eval.serving.metrics import Metrics
from storm.rows import Example
from storm.scales import Scale

if TYPE_CHECKING:
    from PIL import Image

    from eval.inference.rater import Rater

WAIT = 0.005  # seconds that a rating waits for others of its question; our choice: far less than rating takes
PROMPTS = 2000  # tokens of prompts that are kept, by question and size of the image; our choice: 20 MB
FAILED = "the model failed on this image; the server's own output says why"


@dataclass
class Job:
    """A question about an image that waits for its answer, a row of Rater.rate with "tokens", those of its prompt."""

    example: Example
    image: "Image.Image"
    answer: Future = field(default_factory=Future)
    arrived: float = field(default_factory=time.monotonic)

    @property
    def asked(self) -> tuple[Scale, str]:
        return self.example.scale, self.example.strategy


class Batcher:
    """The queue of jobs, and the thread that empties it."""

    def __init__(self, rater: "Rater", scales: Sequence[Scale], size: int, most: int, metrics: Metrics) -> None:
        self.rater, self.scales, self.size, self.most, self.metrics = rater, scales, size, most, metrics
        self.jobs: deque[Job] = deque()
        self.changed = threading.Condition()
        self.ends = False
        self.rate = 1.0  # ratings a second, of the last batches
        self.thread = threading.Thread(target=self._run, name="model", daemon=True)
        self.thread.start()

    def wait(self) -> float:
        """Seconds until the queue will be empty, as far as the last batches tell."""
        return len(self.jobs) / self.rate

    def submit(self, jobs: Sequence[Job]) -> None:
        """Queue all of them. Raises Refused: 429 if they do not fit, 503 after stop()."""
        with self.changed:
            if self.ends:
                raise Refused(503, "ending", "the server is ending")
            if len(self.jobs) + len(jobs) > self.most:
                raise full(f"{len(self.jobs)} questions wait for the model", self.wait())
            self.jobs.extend(jobs)
            self.changed.notify()

    def stop(self) -> None:
        """Answer what is queued, then end the thread."""
        with self.changed:
            self.ends = True
            self.changed.notify()
        self.thread.join()

    def _run(self) -> None:
        while batch := self._next():
            start = time.monotonic()
            self._rate(batch)
            self.metrics.observe("storm_batch_size", len(batch))
            self.rate = 0.7 * self.rate + 0.3 * len(batch) / max(time.monotonic() - start, 1e-3)

    def _next(self) -> list[Job]:
        """The next jobs, which have one question; [] if there are none and no more will come."""
        with self.changed:
            while True:
                while not self.jobs and not self.ends:
                    self.changed.wait()
                if not self.jobs:
                    return []
                oldest = self.jobs[0]
                batch = [job for job in self.jobs if job.asked == oldest.asked][: self.size]
                left = oldest.arrived + WAIT - time.monotonic()
                if len(batch) < self.size and left > 0 and not self.ends:
                    self.changed.wait(left)
                    continue
                taken = set(map(id, batch))
                self.jobs = deque(job for job in self.jobs if id(job) not in taken)
                if batch := [job for job in batch if job.answer.set_running_or_notify_cancel()]:
                    return batch  # else all of their clients have gone

    def _rate(self, batch: Sequence[Job]) -> None:
        """Answer the jobs. If the model fails on a batch, its jobs are rated one by one."""
        try:
            rows = self._rows(batch)
        except Exception as error:  # whatever torch or the host raise must not end this thread
            if len(batch) > 1:
                for job in batch:
                    self._rate([job])
                return
            traceback.print_exception(error)
            batch[0].answer.set_exception(Refused(500, "model", FAILED))
            return
        for job, row in zip(batch, rows, strict=True):
            self.metrics.add("storm_ratings_total")
            job.answer.set_result(row)

    def _rows(self, batch: Sequence[Job]) -> list[dict]:
        loaded = self.rater.loaded
        if len(loaded.prompts) > PROMPTS - len(batch):
            loaded.prompts.clear()
        try:
            rows = self.rater.answers([job.example for job in batch], [job.image for job in batch])
            keys = [loaded.key(job.example.question, job.image.size) for job in batch]
            rows = [row | {"tokens": len(loaded.prompts[key])} for row, key in zip(rows, keys, strict=True)]
        finally:
            self._forget(batch[0])
        if max(row["tokens"] for row in rows) >= self.rater.settings.cutoff_len:
            raise ValueError(f"a prompt has more than {self.rater.settings.cutoff_len} tokens, and would be cut off")
        if not all(math.isfinite(number) for row in rows for number in (*row["probs"], row["mass"])):
            raise ArithmeticError("the model's probabilities are not numbers; was it trained in another precision?")
        return rows

    def _forget(self, job: Job) -> None:
        """Every client's levels would stay in memory."""
        if not any(job.example.scale is scale for scale in self.scales):
            self.rater.tries.pop(job.asked, None)
            self.rater.loaded.forget(job.example.question)
