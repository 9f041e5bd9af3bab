"""The finished steps of a repair in a file, from which a run that was stopped is resumed.

The file is written whole or not at all after each step. It also has what the result depends on, so that a step is never
used for another repair.
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
    """What a repair depends on: two requests that are equal have the same result.

    Args:
        generator: The generator's fingerprint.
        segmenter: The segmenter's fingerprint; empty without a segmenter.
        layers: Names of the layers that are looked at, in their order.
        units: The units that were given, if any were.
        force_to: What units are forced to.
        method: What units are ranked by.
        num_samples: Images to rank units with.
        num_images: Images in a set to choose the number of units with.
        num_sets: Sets of images to measure the repair with.
        seed: Seed of all images.
        versions: Versions of the packages, by name.
        pictures: Hash of the real pictures' features; empty as long as no picture was read.
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
        """Return the names of what differs from another request, as far as both are known.

        Args:
            other: The other request.
        """
        names = [field.name for field in fields(self) if field.name != "pictures" or (self.pictures and other.pictures)]
        return [name for name in names if getattr(self, name) != getattr(other, name)]


@dataclass(frozen=True, slots=True, eq=False)
class RepairSteps(SavedResult):
    """The finished steps of a repair.

    Args:
        request: What they depend on.
        rankings: The rankings of layers, by name.
        comparisons: What the worst units of each layer change, by the layer's name.
        curve: The distance against the number of units, if measured.
        repair: The measurement, if made.
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
    """Keeps the steps of a repair as they are finished.

    Args:
        path: The file that holds them; None keeps them in memory only.
        request: What they depend on.
        overwrite: Replace the steps of another repair, or a damaged file.

    Raises:
        ValueError: If the file is damaged or holds the steps of another repair, with the remedy.
    """

    def __init__(self, path: Path | None, request: RepairRequest, *, overwrite: bool) -> None:
        self._path, self._overwrite = path, overwrite
        self._steps = self._load_earlier() or RepairSteps(request)
        self.expect(request)

    def expect(self, request: RepairRequest) -> None:
        """Check that the steps are those of a request; with ``overwrite``, start over if they are not.

        Args:
            request: What the steps depend on.

        Raises:
            ValueError: If they are those of another one, naming what differs.
        """
        if differences := self._steps.request.differences(request):
            self._refuse(f"{self._path} holds the steps of another repair, which differs in {', '.join(differences)}")
            self._steps = RepairSteps(request)
        elif request.pictures:
            self._steps = replace(self._steps, request=request)
            if count := self._steps.num_finished:
                logger.info("resuming after the %d finished steps in %s", count, self._path)

    @property
    def rankings(self) -> Mapping[str, ArtifactRanking]:
        """The finished rankings, by layer."""
        return self._steps.rankings

    def add_ranking(self, ranking: ArtifactRanking) -> None:
        """Keep the ranking of a layer."""
        self._keep(rankings={**self.rankings, ranking.layer: ranking})

    def compare_layer(self, layer: str, compute: Callable[[], RepairCurve]) -> RepairCurve:
        """Return what the worst units of a layer change, computed unless it was."""
        if layer not in self._steps.comparisons:
            self._keep(comparisons={**self._steps.comparisons, layer: compute()})
        return self._steps.comparisons[layer]

    def choose(self, compute: Callable[[], RepairCurve]) -> RepairCurve:
        """Return the distance against the number of units, computed unless it was."""
        return self._finish("curve", self._steps.curve, compute)

    def measure(self, compute: Callable[[], Repair]) -> Repair:
        """Return the measurement, computed unless it was."""
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
        """Return the steps that the file holds, if there is one."""
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
            remedy = "name another folder, or replace it with overwrite=True (--overwrite on the command line)"
            raise ValueError(f"{reason}; {remedy}") from cause


@contextmanager
def keep_steps(folder: Path | str | None, request: RepairRequest, *, overwrite: bool) -> Iterator[StepKeeper]:
    """Yield what keeps the steps of a repair in a folder, which is locked while the block runs.

    Args:
        folder: The folder; made if missing. None keeps the steps in memory only.
        request: What the steps depend on.
        overwrite: Replace the steps of another repair, or a damaged file.

    Raises:
        BlockingIOError: If another process writes to the folder.
        TypeError: If the folder is no path.
        ValueError: If the folder is a file, or holds the steps of another repair or a damaged file.
    """
    if folder is None:
        yield StepKeeper(None, request, overwrite=overwrite)
        return
    check_type("folder", folder, (str, Path))
    check_folder(folder)
    with lock_folder(folder):
        yield StepKeeper(Path(folder) / RepairSteps.FILE_NAME, request, overwrite=overwrite)
