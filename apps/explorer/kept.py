"""Dissections on disk: those that come with the explorer, and those that it has made here before.

A file counts only if what stands in it says that it is of the same networks, layer and settings; its name is a hash.
"""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Iterator
from pathlib import Path

from gandissect import Dissection, Generator, Segmenter

from . import model

BUNDLED = Path(__file__).parent / "bundled"
MAX_FILES = 200
SEED, QUANTILE, PADDING = 0, 0.01, "edge"
"""What `gandissect.dissect` takes by default; other dissections do not serve."""

_LOG = logging.getLogger(__name__)


def cache_folder() -> Path:
    """Return where dissections are kept: ``$GANDISSECT_CACHE``, else ``gandissect`` in the user's cache folder."""
    given = os.environ.get("GANDISSECT_CACHE")
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return (Path(given) if given else base / "gandissect") / "dissections"


def find(generator: Generator, segmenter: Segmenter, layer: str, num_samples: int) -> Dissection | None:
    """Return a dissection of these networks and this layer by so many samples or more; None if there is none."""
    for path in _places(generator, segmenter, layer, num_samples):
        try:
            found = Dissection.load(path)
        except FileNotFoundError:
            continue
        except (ValueError, OSError) as error:
            _LOG.warning("a kept dissection is made anew: %s", error)
            continue
        if serves(found, generator, segmenter) and layer in found and _is_usual(found, num_samples):
            return found
    return None


def keep(found: Dissection, generator: Generator, segmenter: Segmenter, layer: str, num_samples: int) -> None:
    """Write a dissection for the next time; where that is not possible it goes without."""
    path = _path(generator, segmenter, layer, num_samples)
    try:
        found.save(path)
        oldest = sorted(path.parent.glob("*.safetensors"), key=lambda each: each.stat().st_mtime)
        for each in oldest[:-MAX_FILES]:
            each.unlink(missing_ok=True)
    except OSError as error:
        _LOG.warning("this dissection is not kept: %s", error)


def serves(found: Dissection, generator: Generator, segmenter: Segmenter) -> bool:
    """Tell whether a dissection is of these networks."""
    made = found.provenance
    return (made.generator_fingerprint, made.segmenter_fingerprint) == (
        model.fingerprint(generator),
        model.fingerprint(segmenter),
    )


def _places(generator: Generator, segmenter: Segmenter, layer: str, num_samples: int) -> Iterator[Path]:
    yield _path(generator, segmenter, layer, num_samples)
    yield from (path for path in BUNDLED.glob("*.safetensors") if path.stem == generator.name)


def _path(generator: Generator, segmenter: Segmenter, layer: str, num_samples: int) -> Path:
    facts = (model.fingerprint(generator), model.fingerprint(segmenter), layer, num_samples, SEED, QUANTILE, PADDING)
    return cache_folder() / f"{hashlib.sha256(repr(facts).encode()).hexdigest()[:32]}.safetensors"


def _is_usual(found: Dissection, num_samples: int) -> bool:
    made = found.provenance
    usual = (made.seed, made.quantile, made.padding) == (SEED, QUANTILE, PADDING)
    return usual and made.num_samples >= num_samples
