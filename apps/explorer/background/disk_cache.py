"""The explorer's disk cache: dissections and unit effects, including those that ship with it.

File names are hashes, and a file is used only if its content states the same networks, layer and settings. Without a
writable folder the explorer works without a cache and logs the reason.
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

from gandissect import Dissection, Generator, Segmenter
from gandissect.causal.results import UnitEffects
from gandissect.core import is_same_network
from gandissect.storage.saved import SavedResult, check_tensor

from ..networks import fingerprint_of

BUNDLED = Path(__file__).parents[1] / "bundled"
MAX_FILES = 200
"""Maximum number of files of each kind."""
SEED, QUANTILE, PADDING = 0, 0.01, "edge"
"""Defaults of `gandissect.dissect`; dissections with other settings are not used."""

T = TypeVar("T")

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class KeptEffects(SavedResult):
    """The effects of a layer's units, with the fingerprints of the networks.

    Args:
        generator_fingerprint: SHA-256 of the generator's architecture and weights.
        segmenter_fingerprint: SHA-256 of the segmenter's architecture and weights.
        effects: Measured effects.
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
    """Return the folder of a kind of files, in ``$GANDISSECT_CACHE`` or ``gandissect`` in the user's cache folder.

    Returns None if the user has no home folder.
    """
    if folder := os.environ.get("GANDISSECT_CACHE"):
        return Path(folder) / kind
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "gandissect" / kind
    except RuntimeError as error:
        _LOG.warning("results are not cached; set GANDISSECT_CACHE to a folder: %s", error)
        return None


def find_dissection(generator: Generator, segmenter: Segmenter, layer: str, num_samples: int) -> Dissection | None:
    """Return a cached dissection of a layer with at least ``num_samples`` samples, or None."""
    for path in _candidate_paths(generator, segmenter, layer, num_samples):
        dissection = _read(path, Dissection.load)
        if dissection is None or layer not in dissection:
            continue
        if matches(dissection, generator, segmenter) and _is_usual(dissection, num_samples):
            return dissection
    return None


def save_dissection(
    dissection: Dissection, generator: Generator, segmenter: Segmenter, layer: str, num_samples: int
) -> None:
    """Write a dissection to the cache; failures are only logged."""
    _write(_dissection_path(generator, segmenter, layer, num_samples), dissection)


def find_effects(
    generator: Generator, segmenter: Segmenter, layer: str, num_samples: int, seed: int
) -> UnitEffects | None:
    """Return cached effects of a layer's units with at least ``num_samples`` samples of a seed, or None."""
    bundled = _bundled_path(BUNDLED / "effects", generator)
    for path in filter(None, (_effects_path(generator, segmenter, layer, num_samples, seed), bundled)):
        cached = _read(path, KeptEffects.load)
        if cached is None:
            continue
        saved_for = cached.generator_fingerprint, cached.segmenter_fingerprint
        if not all(map(is_same_network, saved_for, _fingerprints(generator, segmenter))):
            continue
        effects = cached.effects
        same = (effects.layer, len(effects.mean), effects.seed) == (layer, generator.layers[layer].units, seed)
        if same and effects.num_samples >= num_samples:
            return effects
    return None


def save_effects(effects: UnitEffects, generator: Generator, segmenter: Segmenter) -> None:
    """Write the effects of units to the cache; failures are only logged."""
    path = _effects_path(generator, segmenter, effects.layer, effects.num_samples, effects.seed)
    _write(path, attach_networks(generator, segmenter, effects))


def attach_networks(generator: Generator, segmenter: Segmenter, effects: UnitEffects) -> KeptEffects:
    """Return effects together with the fingerprints of the networks."""
    return KeptEffects(*_fingerprints(generator, segmenter), effects)


def matches(dissection: Dissection, generator: Generator, segmenter: Segmenter) -> bool:
    """Return whether a dissection belongs to these networks."""
    networks = dissection.provenance.generator, dissection.provenance.segmenter
    saved_for = (network.fingerprint for network in networks)
    return all(map(is_same_network, saved_for, _fingerprints(generator, segmenter)))


def _fingerprints(generator: Generator, segmenter: Segmenter) -> tuple[str, str]:
    return fingerprint_of(generator), fingerprint_of(segmenter)


def _candidate_paths(generator: Generator, segmenter: Segmenter, layer: str, num_samples: int) -> Iterator[Path]:
    if path := _dissection_path(generator, segmenter, layer, num_samples):
        yield path
    yield _bundled_path(BUNDLED, generator)


def _bundled_path(folder: Path, generator: Generator) -> Path:
    """Return the file of a bundled generator, whatever classes, captions or pictures its name states after its own."""
    return folder / f"{Path(generator.name.partition(' ')[0]).name}.safetensors"


def _dissection_path(generator: Generator, segmenter: Segmenter, layer: str, num_samples: int) -> Path | None:
    return _path("dissections", *_fingerprints(generator, segmenter), layer, num_samples, SEED, QUANTILE, PADDING)


def _effects_path(generator: Generator, segmenter: Segmenter, layer: str, num_samples: int, seed: int) -> Path | None:
    return _path("effects", *_fingerprints(generator, segmenter), layer, num_samples, seed)


def _path(kind: str, *facts: str | float) -> Path | None:
    folder = cache_folder(kind)
    return folder and folder / f"{hashlib.sha256(repr(facts).encode()).hexdigest()[:32]}.safetensors"


def _read(path: Path, load: Callable[[Path], T]) -> T | None:
    try:
        return load(path)
    except FileNotFoundError:
        return None
    except (ValueError, OSError) as error:
        _LOG.warning("ignoring a broken file in the cache: %s", error)
        return None


def _write(path: Path | None, result: Dissection | KeptEffects) -> None:
    if path is None:
        return
    try:
        result.save(path, overwrite=True)
        oldest = sorted(path.parent.glob("*.safetensors"), key=lambda file: file.stat().st_mtime)
        for file in oldest[:-MAX_FILES]:
            file.unlink(missing_ok=True)
    except (ValueError, OSError) as error:
        _LOG.warning("the result is not cached: %s", error)


def _is_usual(dissection: Dissection, num_samples: int) -> bool:
    provenance = dissection.provenance
    usual = (provenance.seed, provenance.quantile, provenance.padding) == (SEED, QUANTILE, PADDING)
    return usual and provenance.num_samples >= num_samples
