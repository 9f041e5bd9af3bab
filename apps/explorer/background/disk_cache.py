"""What the explorer has found before, on disk: dissections, those that come with it too, and effects of units.

A file counts only if what stands in it says that it is of the same networks, layer and settings; its name is a hash.
Where there is no folder to keep files in, or it cannot be written, the explorer goes without and logs why.
"""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, TypeVar

import torch
from safetensors import SafetensorError

from gandissect import Dissection, Generator, Segmenter
from gandissect.causal.results import UnitEffects
from gandissect.dissection.results import Provenance
from gandissect.storage.saved import Kept, check_tensor

from ..networks import fingerprint_of

BUNDLED = Path(__file__).parents[1] / "bundled"
MAX_FILES = 200
"""Of each kind."""
SEED, QUANTILE, PADDING = 0, 0.01, "edge"
"""What `gandissect.dissect` takes by default; other dissections do not serve."""

T = TypeVar("T")

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class KeptEffects(Kept):
    """The effects of a layer's units, with the networks that they are of.

    Args:
        generator_fingerprint: SHA-256 of the generator's architecture and weights.
        segmenter_fingerprint: The segmenter's.
        effects: What was measured.
    """

    FILE_NAME: ClassVar[str] = "unit_effects.safetensors"
    VERSION: ClassVar[int] = 1

    generator_fingerprint: str
    segmenter_fingerprint: str
    effects: UnitEffects

    def __post_init__(self) -> None:
        shape = (None, len(self.effects.concepts))
        for name in ("mean", "stderr"):
            check_tensor(name, getattr(self.effects, name), torch.float64, shape)


def cache_folder(kind: str) -> Path | None:
    """Return where files of a kind are kept: in ``$GANDISSECT_CACHE``, else ``gandissect`` in the user's cache folder.

    None if there is no such folder, since the user has no home.
    """
    if given := os.environ.get("GANDISSECT_CACHE"):
        return Path(given) / kind
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "gandissect" / kind
    except RuntimeError as error:
        _LOG.warning("nothing is kept for the next time; name a folder in GANDISSECT_CACHE: %s", error)
        return None


def find_dissection(generator: Generator, segmenter: Segmenter, layer: str, num_samples: int) -> Dissection | None:
    """Return a dissection of these networks and this layer by so many samples or more; None if there is none."""
    for path in _places(generator, segmenter, layer, num_samples):
        found = _read(path, Dissection.load)
        if found and serves(found, generator, segmenter) and layer in found and _is_usual(found, num_samples):
            return found
    return None


def save_dissection(
    found: Dissection, generator: Generator, segmenter: Segmenter, layer: str, num_samples: int
) -> None:
    """Write a dissection for the next time; where that is not possible it goes without."""
    _write(_dissection_path(generator, segmenter, layer, num_samples), found)


def find_effects(
    generator: Generator, segmenter: Segmenter, layer: str, num_samples: int, seed: int
) -> UnitEffects | None:
    """Return the effects of a layer's units in so many pictures of a seed or more; None if there are none."""
    bundled = BUNDLED / "effects" / f"{Path(generator.name).stem}.safetensors"
    for path in filter(None, (_effects_path(generator, segmenter, layer, num_samples, seed), bundled)):
        found = _read(path, KeptEffects.load)
        if found is None or _networks_of(found) != _networks(generator, segmenter):
            continue
        made = found.effects
        same = (made.layer, len(made.mean), made.seed) == (layer, generator.layers[layer].units, seed)
        if same and made.num_samples >= num_samples:
            return made
    return None


def save_effects(found: UnitEffects, generator: Generator, segmenter: Segmenter) -> None:
    """Write the effects of units for the next time; where that is not possible it goes without."""
    path = _effects_path(generator, segmenter, found.layer, found.num_samples, found.seed)
    _write(path, effects_of(generator, segmenter, found))


def effects_of(generator: Generator, segmenter: Segmenter, found: UnitEffects) -> KeptEffects:
    """Return effects with the networks that they are of."""
    return KeptEffects(*_networks(generator, segmenter), found)


def serves(found: Dissection, generator: Generator, segmenter: Segmenter) -> bool:
    """Tell whether a dissection is of these networks."""
    return _networks_of(found.provenance) == _networks(generator, segmenter)


def _networks(generator: Generator, segmenter: Segmenter) -> tuple[str, str]:
    return fingerprint_of(generator), fingerprint_of(segmenter)


def _networks_of(made: KeptEffects | Provenance) -> tuple[str, str]:
    return made.generator_fingerprint, made.segmenter_fingerprint


def _places(generator: Generator, segmenter: Segmenter, layer: str, num_samples: int) -> Iterator[Path]:
    if path := _dissection_path(generator, segmenter, layer, num_samples):
        yield path
    yield from (path for path in BUNDLED.glob("*.safetensors") if path.stem == generator.name)


def _dissection_path(generator: Generator, segmenter: Segmenter, layer: str, num_samples: int) -> Path | None:
    return _path("dissections", *_networks(generator, segmenter), layer, num_samples, SEED, QUANTILE, PADDING)


def _effects_path(generator: Generator, segmenter: Segmenter, layer: str, num_samples: int, seed: int) -> Path | None:
    return _path("effects", *_networks(generator, segmenter), layer, num_samples, seed)


def _path(kind: str, *facts: str | float) -> Path | None:
    folder = cache_folder(kind)
    return folder and folder / f"{hashlib.sha256(repr(facts).encode()).hexdigest()[:32]}.safetensors"


def _read(path: Path, load: Callable[[Path], T]) -> T | None:
    try:
        return load(path)
    except FileNotFoundError:
        return None
    except (ValueError, OSError) as error:
        _LOG.warning("what was kept is made anew: %s", error)
        return None


def _write(path: Path | None, found: Dissection | KeptEffects) -> None:
    if path is None:
        return
    try:
        found.save(path)
        oldest = sorted(path.parent.glob("*.safetensors"), key=lambda each: each.stat().st_mtime)
        for each in oldest[:-MAX_FILES]:
            each.unlink(missing_ok=True)
    except (OSError, SafetensorError) as error:  # the latter where the disk is full
        _LOG.warning("this is not kept for the next time: %s", error)


def _is_usual(found: Dissection, num_samples: int) -> bool:
    made = found.provenance
    usual = (made.seed, made.quantile, made.padding) == (SEED, QUANTILE, PADDING)
    return usual and made.num_samples >= num_samples
