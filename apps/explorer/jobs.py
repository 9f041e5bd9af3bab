"""Dissections in the background, so that a page never waits for one."""

from __future__ import annotations

import copy
import threading
from collections import OrderedDict
from concurrent.futures import Future
from dataclasses import dataclass, field

from torch import Tensor

from gandissect import Dissection, Generator, Segmenter, dissect

from . import kept, model


@dataclass(slots=True, eq=False)
class Job:
    """One dissection under way or done.

    Args:
        num_samples: How many pictures it looks at.
        num_labelled: How many of them the segmenter has labelled.
        result: A dissection that has the layer, or what went wrong.
    """

    num_samples: int
    num_labelled: int = 0
    result: Future[Dissection] = field(default_factory=Future)


class Dissector:
    """Dissects one layer at a time, and remembers the latest results by the fingerprints of both networks.

    Args:
        num_samples: Pictures a dissection, 1 or more.
        saved: A dissection that serves wherever it is of the same networks.
        capacity: How many results are kept.
    """

    def __init__(self, num_samples: int, saved: Dissection | None = None, capacity: int = 32) -> None:
        self.num_samples, self.saved, self._capacity = num_samples, saved, capacity
        self._jobs: OrderedDict[tuple[str, str, str], Job] = OrderedDict()
        self._guard, self._turn = threading.Lock(), threading.Lock()

    def job(self, generator: Generator, segmenter: Segmenter, layer: str) -> Job:
        """Return the dissection of a layer, started if it was not yet asked for."""
        key = (model.fingerprint(generator), model.fingerprint(segmenter), layer)
        with self._guard:
            if key not in self._jobs:
                self._jobs[key] = self._begin(generator, segmenter, layer)
            self._jobs.move_to_end(key)
            while len(self._jobs) > self._capacity:
                self._jobs.popitem(last=False)
            return self._jobs[key]

    def serves(self, generator: Generator, segmenter: Segmenter) -> bool:
        """Tell whether the saved dissection is of these networks."""
        return self.saved is not None and kept.serves(self.saved, generator, segmenter)

    def _begin(self, generator: Generator, segmenter: Segmenter, layer: str) -> Job:
        given = self.saved if self.serves(generator, segmenter) else None
        found = given if given and layer in given else kept.find(generator, segmenter, layer, self.num_samples)
        if found is not None:
            count = found.provenance.num_samples
            job = Job(count, count)
            job.result.set_result(found)
            return job
        job = Job(self.num_samples)
        # A daemon: Ctrl-C ends the server at once. A copy: dissecting traces layers with hooks, and visitors share
        # the generator.
        work = (job, copy.deepcopy(generator), segmenter, layer)
        threading.Thread(target=self._work, args=work, daemon=True).start()
        return job

    def _work(self, job: Job, generator: Generator, segmenter: Segmenter, layer: str) -> None:
        with self._turn:
            try:
                counting = _Counting(segmenter, job)
                found = dissect(generator, counting, layer, job.num_samples, top_images=0, progress=False)
            except Exception as error:  # whatever it is, the page shows it
                job.result.set_exception(error)
            else:
                job.result.set_result(found)
                kept.keep(found, generator, segmenter, layer, job.num_samples)


class _Counting:
    """A segmenter that counts on a job what it has labelled."""

    def __init__(self, segmenter: Segmenter, job: Job) -> None:
        self.name, self.fingerprint, self.concepts = segmenter.name, segmenter.fingerprint, segmenter.concepts
        self._segmenter, self._job = segmenter, job

    def __call__(self, images: Tensor) -> Tensor:
        labels = self._segmenter(images)
        self._job.num_labelled = min(self._job.num_labelled + len(images), self._job.num_samples)  # some come twice
        return labels
