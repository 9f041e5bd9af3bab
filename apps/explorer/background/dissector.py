"""Dissections in the background, shared by all visitors, so that pages never wait."""

from __future__ import annotations

from gandissect import Dissection, Generator, Segmenter, dissect
from gandissect.core.rows import limit_rows

from ..networks import fingerprint_of
from . import disk_cache
from .tasks import CountedSegmenter, Task, Tasks


class Dissector:
    """Dissects layers, and keeps the latest results by the fingerprints of both networks.

    Args:
        num_samples: Number of pictures per dissection, at least 1.
        saved: Saved dissection, used for the networks it belongs to.
        capacity: Maximum number of results to keep.
    """

    def __init__(self, num_samples: int, saved: Dissection | None = None, capacity: int = 32) -> None:
        self.num_samples, self.saved, self.tasks = num_samples, saved, Tasks(capacity)

    def begin(self, generator: Generator, segmenter: Segmenter, layer: str) -> Task:
        """Start the dissection of a layer if necessary, and return its task; a cached result is done already."""
        num_samples = limit_rows(generator, self.num_samples)

        def look_up() -> Dissection | None:
            saved = self.saved if self.matches(generator, segmenter) else None
            if saved is not None and layer in saved:
                return saved
            return disk_cache.find_dissection(generator, segmenter, layer, num_samples)

        def work() -> Dissection:
            counted = CountedSegmenter(segmenter)
            dissection = dissect(generator, counted, layer, num_samples, top_images=0, progress=False)
            disk_cache.save_dissection(dissection, generator, segmenter, layer, num_samples)
            return dissection

        key = (fingerprint_of(generator), fingerprint_of(segmenter), layer)
        return self.tasks.begin(key, num_samples, work, look_up)

    def matches(self, generator: Generator, segmenter: Segmenter) -> bool:
        """Return whether the saved dissection belongs to these networks."""
        return self.saved is not None and disk_cache.matches(self.saved, generator, segmenter)
