"""Dissections in the background, one for all visitors, so that a page never waits for one."""

from __future__ import annotations

import copy

from gandissect import Dissection, Generator, Segmenter, dissect

from ..display import images as model
from . import disk_cache as kept
from .tasks import CountedSegmenter, Task, Tasks


class Dissector:
    """Dissects layers, and remembers the latest results by the fingerprints of both networks.

    Args:
        num_samples: Pictures a dissection, 1 or more.
        saved: A dissection that serves wherever it is of the same networks.
        capacity: How many results are kept.
    """

    def __init__(self, num_samples: int, saved: Dissection | None = None, capacity: int = 32) -> None:
        self.num_samples, self.saved, self.tasks = num_samples, saved, Tasks(capacity)

    def job(self, generator: Generator, segmenter: Segmenter, layer: str) -> Task:
        """Return the dissection of a layer, begun if it was not yet; at once if it lies here."""

        def known() -> Dissection | None:
            given = self.saved if self.serves(generator, segmenter) else None
            return given if given and layer in given else kept.find(generator, segmenter, layer, self.num_samples)

        def work() -> Dissection:
            own = copy.deepcopy(generator)  # dissecting traces layers with hooks, and visitors share the generator
            counted = CountedSegmenter(segmenter)
            found = dissect(own, counted, layer, self.num_samples, top_images=0, progress=False)
            kept.keep(found, generator, segmenter, layer, self.num_samples)
            return found

        key = (model.fingerprint(generator), model.fingerprint(segmenter), layer)
        return self.tasks.begin(key, self.num_samples, work, known)

    def serves(self, generator: Generator, segmenter: Segmenter) -> bool:
        """Tell whether the saved dissection is of these networks."""
        return self.saved is not None and kept.serves(self.saved, generator, segmenter)
