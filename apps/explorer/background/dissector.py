"""Dissections in the background, one for all visitors, so that a page never waits for one."""

from __future__ import annotations

from gandissect import Dissection, Generator, Segmenter, dissect

from ..networks import fingerprint_of
from . import disk_cache
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

    def begin(self, generator: Generator, segmenter: Segmenter, layer: str) -> Task:
        """Return the dissection of a layer, begun if it was not yet; it is done at once if it was kept."""

        def look_up() -> Dissection | None:
            saved = self.saved if self.serves(generator, segmenter) else None
            if saved is not None and layer in saved:
                return saved
            return disk_cache.find_dissection(generator, segmenter, layer, self.num_samples)

        def work() -> Dissection:
            counted = CountedSegmenter(segmenter)
            dissection = dissect(generator, counted, layer, self.num_samples, top_images=0, progress=False)
            disk_cache.save_dissection(dissection, generator, segmenter, layer, self.num_samples)
            return dissection

        key = (fingerprint_of(generator), fingerprint_of(segmenter), layer)
        return self.tasks.begin(key, self.num_samples, work, look_up)

    def serves(self, generator: Generator, segmenter: Segmenter) -> bool:
        """Tell whether the saved dissection is of these networks."""
        return self.saved is not None and disk_cache.serves(self.saved, generator, segmenter)
