"""Finding a repair: ranking units, choosing how many of them to switch off, and measuring what that does.

Source: Bau et al. 2019, Sec. 4.3.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic

from jaxtyping import UInt8
from torch import Tensor

from ..core.environment import installed_versions
from ..core.lookup import check_choice, lookup, unique_names
from ..core.pictures import split_off
from ..core.protocols import Generator, PictureSource, Segmenter, check_protocols
from ..core.sampling import check_num_samples, check_seed
from ..core.types import UnitSet, check_type
from ..fidelity.inception import Inception
from ..fidelity.yardstick import MAX_HELD_OUT, MAX_TRAIN, MIN_HELD_OUT, Yardstick, count_dims
from ..interventions.edits import check_units
from .measure import COUNTS, choose_num_units, measure_repair
from .rank import TOP_SHARE, count_top, rank_in_turn
from .ranking import ArtifactRanking, RankingMethod
from .repair import G, check_forcible, repair
from .results import ForcedTo, Repair, RepairCurve
from .steps import RepairRequest, StepKeeper, keep_steps

MAX_UNITS = 40
"""Units that are switched off at most."""

HELD_OUT_EVERY = 20
"""Of real pictures without held-out ones, every so many are set aside."""

UNITS_TO_COMPARE_LAYERS = 10
"""Units of each layer that are switched off to choose the layer; of a layer with fewer than 40 units, a quarter."""


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class FoundRepair(Generic[G]):
    """A repair of a generator, with everything that led to it.

    Args:
        ranking: The ranking of the layer's units; None if the units were given.
        curve: The distance from real pictures against the number of units.
        repair: What the repair changes, on images and real pictures that nothing was chosen with.
        generator: The repaired generator.
    """

    ranking: ArtifactRanking | None
    curve: RepairCurve
    repair: Repair
    generator: G

    @property
    def units(self) -> UnitSet:
        """The units that are switched off; where none helps, those of the least distance, to show what they do."""
        return self.repair.units

    @property
    def helps(self) -> bool:
        """Whether the repair brings the images nearer to real pictures, beyond what random units do."""
        return self.repair.helps

    def __str__(self) -> str:
        return str(self.repair)

    def __repr__(self) -> str:
        units = f"{len(self.units)} units of {self.units.layer}"
        return f"FoundRepair({self.repair.generator.name}: {units}, {self.repair.verdict})"


def find_repair(
    generator: G,
    real: PictureSource | UInt8[Tensor, "real 3 H W"] | Yardstick,
    segmenter: Segmenter | None = None,
    *,
    held_out: PictureSource | UInt8[Tensor, "held_out 3 H W"] | None = None,
    features: Segmenter | Inception | None = None,
    layers: Sequence[str] | str | None = None,
    units: UnitSet | None = None,
    force_to: ForcedTo = "zero",
    method: RankingMethod = "effect",
    num_samples: int = 3_000,
    num_images: int = 256,
    num_sets: int = 5,
    num_real: int = MAX_TRAIN,
    num_held_out: int = MAX_HELD_OUT,
    seed: int = 0,
    folder: Path | str | None = None,
    overwrite: bool = False,
    progress: bool = True,
) -> FoundRepair[G]:
    """Find the units behind unrealistic images, choose how many to switch off, and measure what that changes.

    Units are ranked (`rank_artifact_layers`), their number is chosen in the layer where that helps most
    (`choose_num_units`), and the repair is measured against held-out pictures (`measure_repair`), each on other images.

    Args:
        generator: A `Generator` that has ``forcing(units, values)``, as those of ``generators`` and wrapped modules do.
        real: Pictures that the generator was trained on: a source such as ``segmenters.datasets.Photos``, uint8
            ``[n, 3, H, W]``, or a `Yardstick`, which has held-out pictures and features already.
        segmenter: Segmenter whose concepts are counted and whose encoder gives the features; None for a yardstick.
        held_out: Pictures that the generator was not trained on; None sets every 20th of ``real`` aside.
        features: A segmenter with an encoder, or an `Inception`, in whose features images are compared.
        layers: Names of the layers to look at, or one name; all if None.
        units: Units to try, worst first, if they are known; then nothing is ranked.
        force_to: What the units are forced to: ``"zero"``, or each unit's ``"mean"``.
        method: What units are ranked by: ``"effect"``, the change of the distance when each unit alone is ablated, in
            minutes; ``"distance"`` or ``"realism"``, which are quicker and measure association only.
        num_samples: Images to rank units with, at least 20 for each dimension of the features (1,280 for 64).
        num_images: Images in each of 4 sets to choose the number of units with.
        num_sets: Sets of images to measure the repair with, 2 or more, each of the size of the held-out pictures.
        num_real: Maximum number of pictures of ``real`` that are used.
        num_held_out: Maximum number of held-out pictures that are used; 8 or more.
        seed: Seed of all images.
        folder: Folder that keeps finished steps, after which the same repair resumes with the same result.
        overwrite: Whether to start over where the folder contains steps of another repair, or a damaged file.
        progress: Whether progress bars are shown.

    Returns:
        The ranking, the curve, the measurement and the repaired generator.

    Raises:
        BlockingIOError: If another process writes to the folder.
        KeyError: If there is no such layer or method.
        TypeError: If the generator cannot be copied with units forced.
        ValueError: If an argument is out of range, there are too few pictures, or the folder has other steps.

    Source: Bau et al. 2019, Sec. 4.3.
    """
    _check_request(generator, segmenter, units, layers, force_to, method)
    _check_numbers(num_samples, num_images, num_sets, num_real, num_held_out)
    pictures = _Pictures(real, held_out, features, segmenter, num_real, num_held_out)
    if units is None:
        count_top(num_samples, TOP_SHARE, pictures.num_dims)  # before pictures are decoded
    request = RepairRequest(
        generator=generator.fingerprint,
        segmenter="" if segmenter is None else segmenter.fingerprint,
        layers=_check_layers(generator, layers if units is None else units.layer),
        units=units,
        force_to=force_to,
        method=method,
        num_samples=num_samples,
        num_images=num_images,
        num_sets=num_sets,
        seed=check_seed(seed),
        versions=installed_versions(),
    )
    with keep_steps(folder, request, overwrite=overwrite) as steps:
        yardstick = pictures.measure()
        steps.expect(request.with_pictures(yardstick))
        return _Search(generator, yardstick, segmenter, request, steps, progress).run()


def _check_request(
    generator: Generator,
    segmenter: Segmenter | None,
    units: UnitSet | None,
    layers: Sequence[str] | str | None,
    force_to: ForcedTo,
    method: RankingMethod,
) -> None:
    """Refuse what would fail, or be left aside, only after the work of minutes.

    Raises:
        KeyError: If there is no such way to force units, method or layer.
        TypeError: If generator or segmenter lack something of their protocol, or units are no `UnitSet`.
        ValueError: If there are no units, or they are unknown or belong to other layers.
    """
    check_choice(force_to, ForcedTo, "force_to")
    check_choice(method, RankingMethod, "method")
    check_forcible(generator)
    if segmenter is not None:
        check_protocols(generator, segmenter)
    if units is None:
        return
    if not isinstance(units, UnitSet):
        raise TypeError(f"units must be a UnitSet(layer, units); got {type(units).__name__}")
    if not len(units):
        raise ValueError(f"no unit of {units.layer!r} is given; leave units out to have them ranked")
    if layers is not None and layers != units.layer and list(layers) != [units.layer]:
        raise ValueError(f"units of {units.layer!r} are given, and layers is {layers!r}; leave layers out")
    check_units(units, lookup(generator.layers, units.layer, "layer").units)


def _check_layers(generator: Generator, layers: Sequence[str] | str | None) -> tuple[str, ...]:
    """Return the layers' names, each once; all for None.

    Raises:
        KeyError: If one is unknown.
        ValueError: If none is named.
    """
    names = unique_names(list(generator.layers) if layers is None else layers)
    if not names:
        raise ValueError(f"name at least one layer, or none for all: {', '.join(generator.layers)}")
    for name in names:
        lookup(generator.layers, name, "layer")
    return names


def _check_numbers(num_samples: int, num_images: int, num_sets: int, num_real: int, num_held_out: int) -> None:
    """Raise ValueError if there are too few or too many images."""
    for name, number, least in (
        ("num_images", num_images, 2),
        ("num_sets", num_sets, 2),
        ("num_real", num_real, 1),
        ("num_held_out", num_held_out, MIN_HELD_OUT),
    ):
        if number < least:
            raise ValueError(f"{name} must be {least} or more; got {number}")
    for number in (num_samples, num_images, num_sets):
        check_num_samples(number)


class _Pictures:
    """Real pictures and what they are compared by, before any is decoded.

    Raises:
        ValueError: If nothing gives features, or the yardstick has its own pictures and features.
    """

    def __init__(
        self,
        real: PictureSource | UInt8[Tensor, "real 3 H W"] | Yardstick,
        held_out: PictureSource | UInt8[Tensor, "held_out 3 H W"] | None,
        features: Segmenter | Inception | None,
        segmenter: Segmenter | None,
        num_real: int,
        num_held_out: int,
    ) -> None:
        self._yardstick = real if isinstance(real, Yardstick) else None
        self._limits = {"max_train": num_real, "max_held_out": num_held_out}
        if isinstance(real, Yardstick):
            if held_out is not None:
                raise ValueError("a yardstick has its own held-out pictures; leave held_out away")
            if features is not None:
                raise ValueError("a yardstick has its own features; leave features away")
            return
        check_type("real", real, (PictureSource, Tensor, Yardstick), "segmenters.datasets.Photos is such a source")
        network = features or segmenter
        if network is None:
            raise ValueError(
                "nothing says in which features to compare images; give a segmenter with an encoder, or features="
            )
        self._network = network
        self._train, self._held_out = split_off(real, HELD_OUT_EVERY) if held_out is None else (real, held_out)

    @property
    def num_dims(self) -> int:
        """Dimensions of the features that are kept."""
        if self._yardstick is not None:
            return self._yardstick.train.shape[1]
        return count_dims(self._network, self._held_out, self._limits["max_held_out"])

    def measure(self) -> Yardstick:
        """Return what images are measured with."""
        if self._yardstick is not None:
            return self._yardstick
        return Yardstick.of(self._network, self._train, self._held_out, **self._limits)


@dataclass(frozen=True, slots=True)
class _Search:
    """The steps of a repair, each of which is made once."""

    generator: Generator
    yardstick: Yardstick
    segmenter: Segmenter | None
    request: RepairRequest
    steps: StepKeeper
    progress: bool

    def run(self) -> FoundRepair[Any]:
        """Return the results of all steps and the repaired generator."""
        ranking, units = None, self.request.units
        if units is None:
            ranking = self.rank()
            units = ranking.top(MAX_UNITS)
        curve = self.choose(units)
        measurement = self.measure(curve)
        return FoundRepair(
            ranking, curve, measurement, repair(self.generator, measurement.units, self.request.force_to)
        )

    def rank(self) -> ArtifactRanking:
        """Return the ranking of the layer of which the worst units help most when they are switched off."""
        request, steps = self.request, self.steps
        if missing := [layer for layer in request.layers if layer not in steps.rankings]:
            for ranking in rank_in_turn(
                self.generator,
                missing,
                self.yardstick,
                request.num_samples,
                request.seed,
                method=request.method,
                progress=self.progress,
            ):
                steps.add_ranking(ranking)
        rankings = [steps.rankings[layer] for layer in request.layers]
        return rankings[0] if len(rankings) == 1 else min(rankings, key=self._measure_change)

    def _measure_change(self, ranking: ArtifactRanking) -> float:
        """Return what switching the worst units of a layer off changes of the distance."""
        num_units = self.generator.layers[ranking.layer].units
        worst = ranking.top(min(UNITS_TO_COMPARE_LAYERS, max(1, num_units // 4)))
        curve = self.steps.compare_layer(ranking.layer, lambda: self._measure_counts(worst, (len(worst),), 2, 1))
        return curve.change(1).mean

    def choose(self, units: UnitSet) -> RepairCurve:
        """Return the distance against the number of units."""
        return self.steps.choose(lambda: self._measure_counts(units, (*COUNTS, len(units)), 4, 2))

    def _measure_counts(self, units: UnitSet, counts: Sequence[int], num_sets: int, num_controls: int) -> RepairCurve:
        return choose_num_units(
            self.generator,
            units,
            self.yardstick,
            counts,
            self.request.seed,
            force_to=self.request.force_to,
            num_images=self.request.num_images,
            num_sets=num_sets,
            num_controls=num_controls,
            progress=self.progress,
        )

    def measure(self, curve: RepairCurve) -> Repair:
        """Return what the repair changes."""
        return self.steps.measure(
            lambda: measure_repair(
                self.generator,
                curve.units_to_measure,
                self.yardstick,
                self.request.seed,
                force_to=self.request.force_to,
                num_sets=self.request.num_sets,
                segmenter=self.segmenter,
                progress=self.progress,
            )
        )
