"""Keep the finished steps of a repair in a file, so that an interrupted run can be resumed.

The file is rewritten atomically after each step. It also records everything that the result depends on, so that a step
is never used for another repair.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from ..core.types import UnitSet, check_type
from ..fidelity.yardstick import Yardstick
from ..storage.files import check_folder, hash_tensors
from ..storage.locks import lock_folder
from ..storage.saved import SavedResult
from .ranking import ArtifactRanking, RankingMethod
from .results import ForcedTo, Repair, RepairCurve

logger = logging.getLogger(__name__)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class RepairRequest:
    """Everything that a repair depends on; equal requests have equal results.

    Args:
        generator: The generator's fingerprint.
        segmenter: The segmenter's fingerprint; empty without a segmenter.
        layers: Names of the candidate layers, in order.
        units: Units chosen by the caller; None if units are ranked.
        force_to: Value that units are forced to.
        method: Score that units are ranked by.
        num_samples: Number of images to rank units with.
        num_images: Number of images in each set to choose the number of units with.
        num_sets: Number of sets of images to measure the repair with.
        seed: Seed of all images.
        versions: Versions of the packages, by name.
        pictures: Hash of the real pictures' features; empty until the pictures have been read.
    """

    generator: str
    segmenter: str
    layers: tuple[str, ...]
    units: UnitSet | None
    force_to: ForcedTo
    method: RankingMethod
    num_samples: int
    num_images: int
    num_sets: int
    seed: int
    versions: Mapping[str, str]
    pictures: str = ""

    def with_pictures(self, yardstick: Yardstick) -> RepairRequest:
        """Return the request with the hash of the real pictures' features.

        Args:
            yardstick: The real pictures as features.
        """
        tensors = {"train": yardstick.train, "held_out": yardstick.held_out}
        return replace(self, pictures=hash_tensors(tensors, {"network": yardstick.network}))

    def differences(self, other: RepairRequest) -> list[str]:
        """Return the names of the fields that differ from another request, as far as both are known.

        Args:
            other: Request to compare with.
        """
        names = [field.name for field in fields(self) if field.name != "pictures" or (self.pictures and other.pictures)]
        return [name for name in names if getattr(self, name) != getattr(other, name)]


@dataclass(frozen=True, slots=True, eq=False)
class RepairSteps(SavedResult):
    """The finished steps of a repair.

    Args:
        request: Request that the steps belong to.
        rankings: Rankings, by layer.
        comparisons: Distances with and without the worst units of a layer, by layer.
        curve: Distance as a function of the number of units; None if not yet measured.
        repair: Measurement of the repair; None if not yet made.
    """

    FILE_NAME: ClassVar[str] = "repair_steps.safetensors"
    VERSION: ClassVar[int] = 1

    request: RepairRequest
    rankings: Mapping[str, ArtifactRanking] = field(default_factory=dict)
    comparisons: Mapping[str, RepairCurve] = field(default_factory=dict)
    curve: RepairCurve | None = None
    repair: Repair | None = None

    @property
    def num_finished(self) -> int:
        """Number of finished steps."""
        last_steps = [self.curve, self.repair]
        return len(self.rankings) + len(self.comparisons) + sum(step is not None for step in last_steps)


class StepKeeper:
    """Keeps each step of a repair as soon as it is finished.

    Args:
        path: File that holds the steps; None keeps them in memory only.
        request: Request that the steps belong to.
        overwrite: Replace the steps of another repair, or a damaged file.

    Raises:
        ValueError: If the file is damaged or holds the steps of another repair.
    """

    def __init__(self, path: Path | None, request: RepairRequest, *, overwrite: bool) -> None:
        self._path, self._overwrite = path, overwrite
        self._steps = self._load_earlier() or RepairSteps(request)
        self.expect(request)

    def expect(self, request: RepairRequest) -> None:
        """Check that the steps belong to a request; with ``overwrite``, start over if they do not.

        Args:
            request: Request that the steps must belong to.

        Raises:
            ValueError: If they belong to another request, naming the fields that differ.
        """
        if differences := self._steps.request.differences(request):
            self._refuse(
                f"{self._path} contains the steps of another repair, which differs in {', '.join(differences)}"
            )
            self._steps = RepairSteps(request)
        elif request.pictures:
            self._steps = replace(self._steps, request=request)
            if count := self._steps.num_finished:
                logger.info("resuming after the %d finished steps in %s", count, self._path)

    @property
    def rankings(self) -> Mapping[str, ArtifactRanking]:
        """Finished rankings, by layer."""
        return self._steps.rankings

    def add_ranking(self, ranking: ArtifactRanking) -> None:
        """Keep the ranking of a layer."""
        self._keep(rankings={**self.rankings, ranking.layer: ranking})

    def compare_layer(self, layer: str, compute: Callable[[], RepairCurve]) -> RepairCurve:
        """Return the distances with and without the worst units of a layer; compute them if they are missing."""
        if layer not in self._steps.comparisons:
            self._keep(comparisons={**self._steps.comparisons, layer: compute()})
        return self._steps.comparisons[layer]

    def choose(self, compute: Callable[[], RepairCurve]) -> RepairCurve:
        """Return the distance as a function of the number of units; compute it if it is missing."""
        return self._finish("curve", self._steps.curve, compute)

    def measure(self, compute: Callable[[], Repair]) -> Repair:
        """Return the measurement of the repair; compute it if it is missing."""
        return self._finish("repair", self._steps.repair, compute)

    def _finish(self, name: str, earlier: T | None, compute: Callable[[], T]) -> T:
        result = compute() if earlier is None else earlier
        if earlier is None:
            self._keep(**{name: result})
        return result

    def _keep(self, **finished: Any) -> None:
        self._steps = replace(self._steps, **finished)
        if self._path is not None:
            self._steps.save(self._path, overwrite=True)

    def _load_earlier(self) -> RepairSteps | None:
        """Return the steps in the file; None without a usable file."""
        if self._path is None or not self._path.exists():
            return None
        try:
            return RepairSteps.load(self._path)
        except ValueError as error:
            self._refuse(str(error), error)
            return None

    def _refuse(self, reason: str, cause: Exception | None = None) -> None:
        """Raise ValueError unless the file may be replaced."""
        if not self._overwrite:
            remedy = "choose another folder, or replace the file with overwrite=True (--overwrite)"
            raise ValueError(f"{reason}; {remedy}") from cause


@contextmanager
def keep_steps(folder: Path | str | None, request: RepairRequest, *, overwrite: bool) -> Iterator[StepKeeper]:
    """Yield a keeper of the steps of a repair in a folder, which stays locked for the duration of the block.

    Args:
        folder: Folder of the steps; created if missing. None keeps the steps in memory only.
        request: Request that the steps belong to.
        overwrite: Replace the steps of another repair, or a damaged file.

    Raises:
        BlockingIOError: If another process is writing to the folder.
        TypeError: If the folder is not a path.
        ValueError: If the folder is a file, or contains the steps of another repair or a damaged file.
    """
    if folder is None:
        yield StepKeeper(None, request, overwrite=overwrite)
        return
    check_type("folder", folder, (str, Path))
    check_folder(folder)
    with lock_folder(folder):
        yield StepKeeper(Path(folder) / RepairSteps.FILE_NAME, request, overwrite=overwrite)
