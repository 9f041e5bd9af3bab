"""Find a repair: rank units, choose how many of them to switch off, and measure the result.

Source: Bau et al. 2019, Sec. 4.2.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic

from jaxtyping import UInt8
from torch import Tensor

from ..core.display import Tabular, count_units
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
from .rank import TOP_SHARE, count_top, iter_rankings
from .ranking import ArtifactRanking, RankingMethod
from .repair import G, check_forcible, repair
from .results import ForcedTo, Repair, RepairCurve
from .steps import RepairRequest, StepKeeper, keep_steps

MAX_UNITS = 40
"""Maximum number of units to switch off."""

HELD_OUT_EVERY = 20
"""Interval at which real pictures are set aside if no held-out ones are passed: every 20th."""

UNITS_TO_COMPARE_LAYERS = 10
"""Units per layer that are switched off to choose the layer; a quarter of a layer with fewer than 40 units."""


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class FoundRepair(Tabular, Generic[G]):
    """A repair of a generator, with the results of every step.

    Args:
        ranking: Ranking of the layer's units; None if the caller chose the units.
        curve: Distance from real pictures as a function of the number of units.
        repair: Effect of the repair, measured on images and real pictures that played no part in choosing it.
        generator: Repaired generator.
    """

    ranking: ArtifactRanking | None
    curve: RepairCurve
    repair: Repair
    generator: G

    @property
    def units(self) -> UnitSet:
        """The units that are switched off; if no number of units helps, those with the smallest distance."""
        return self.repair.units

    @property
    def helps(self) -> bool:
        """Whether the repair brings the images closer to real pictures than random units do."""
        return self.repair.helps

    def __str__(self) -> str:
        return str(self.repair)

    def records(self) -> list[dict[str, Any]]:
        """Return the records of the measured repair."""
        return self.repair.records()

    def _summarize(self) -> str:
        return f"{self.repair.generator.name}: {count_units(len(self.units), self.units.layer)}, {self.repair.verdict}"


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
    """Find the units behind unrealistic images, choose how many to switch off, and measure the result.

    First, the units of each layer are ranked (`rank_artifact_layers`). Then their number is chosen in the layer where
    switching off the worst units helps most (`choose_num_units`). Last, the repair is measured against held-out
    pictures (`measure_repair`). Each step uses different images.

    Args:
        generator: Generator that has ``forcing(units, values)``, such as those of ``generators`` and wrapped modules.
        real: Pictures that the generator was trained on: a source such as ``segmenters.datasets.Photos``, uint8
            ``[n, 3, H, W]``, or a `Yardstick`, which already has held-out pictures and features.
        segmenter: Segmenter whose concepts are counted and whose encoder computes the features; None with a yardstick.
        held_out: Pictures that the generator was not trained on; by default every 20th of ``real``.
        features: Segmenter with an encoder, or `Inception`, whose features are compared; by default ``segmenter``.
        layers: Names of the candidate layers, or one name; all by default.
        units: Known units to try, worst first; nothing is ranked then.
        force_to: Value that the units are forced to: ``"zero"``, or each unit's ``"mean"``.
        method: Score to rank units by: ``"effect"``, the change of the distance when each unit alone is ablated, which
            takes minutes; ``"distance"`` or ``"realism"``, which are faster and measure association only.
        num_samples: Number of images to rank units on, at least 20 per dimension of the features (1,280 for 64).
        num_images: Number of images in each of the 4 sets to choose the number of units with.
        num_sets: Number of sets of images, each of the size of the held-out set, to measure on, at least 2.
        num_real: Maximum number of pictures of ``real`` to use.
        num_held_out: Maximum number of held-out pictures to use, at least 8.
        seed: Seed of all images.
        folder: Folder that keeps the finished steps, from which the same repair resumes with the same result.
        overwrite: Start over if the folder contains the steps of another repair, or a damaged file.
        progress: Show progress bars.

    Returns:
        The ranking, the curve, the measurement and the repaired generator.

    Raises:
        BlockingIOError: If another process is writing to the folder.
        KeyError: If there is no such layer or method.
        TypeError: If the generator cannot be copied with units forced.
        ValueError: If an argument is out of range, there are too few pictures, or the folder contains the steps of
            another repair.

    Examples:
        >>> import gandissect, generators, torch
        >>> G = generators.PlantedGenerator()
        >>> real = gandissect.core.to_uint8(G(G.sample_z(300, seed=5)))
        >>> features = lambda images: torch.nn.functional.adaptive_avg_pool2d(images, 2).flatten(1)
        >>> yardstick = gandissect.Yardstick("pixels", features, real[:200], real[200:], num_dims=4)
        >>> quick = {"num_samples": 100, "num_images": 16, "num_sets": 2, "progress": False}
        >>> gandissect.find_repair(G, yardstick, layers="layer2", method="distance", **quick).helps  # its own pictures
        False

    Source: Bau et al. 2019, Sec. 4.2.
    """
    _check_request(generator, segmenter, units, layers, force_to, method)
    _check_numbers(num_samples, num_images, num_sets, num_real, num_held_out)
    pictures = _Pictures(real, held_out, features, segmenter, num_real, num_held_out)
    pictures.check_samples(num_samples if units is None else None)
    counts = (num_samples, num_images, num_sets, check_seed(seed))
    request = _make_request(generator, segmenter, layers, units, force_to, method, counts)
    with keep_steps(folder, request, overwrite=overwrite) as steps:
        steps.expect(request.with_pictures(yardstick := pictures.measure()))
        return _Search(generator, yardstick, segmenter, request, steps, progress).run()


def _make_request(
    generator: Generator,
    segmenter: Segmenter | None,
    layers: Sequence[str] | str | None,
    units: UnitSet | None,
    force_to: ForcedTo,
    method: RankingMethod,
    counts: tuple[int, int, int, int],
) -> RepairRequest:
    """Return the request of a repair; ``counts`` are those of samples, images and sets, and the seed."""
    num_samples, num_images, num_sets, seed = counts
    return RepairRequest(
        generator=generator.fingerprint,
        segmenter="" if segmenter is None else segmenter.fingerprint,
        layers=_check_layers(generator, layers if units is None else units.layer),
        units=units,
        force_to=force_to,
        method=method,
        num_samples=num_samples,
        num_images=num_images,
        num_sets=num_sets,
        seed=seed,
        versions=installed_versions(),
    )


def _check_request(
    generator: Generator,
    segmenter: Segmenter | None,
    units: UnitSet | None,
    layers: Sequence[str] | str | None,
    force_to: ForcedTo,
    method: RankingMethod,
) -> None:
    """Check arguments that would otherwise fail, or be ignored, only after minutes of work.

    Raises:
        KeyError: If there is no such value to force to, method or layer.
        TypeError: If the generator or the segmenter does not implement its protocol, or units is not a `UnitSet`.
        ValueError: If there are no units, or they do not exist or belong to other layers.
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
        raise ValueError(f"units must name at least one unit of {units.layer!r}; omit units to have them ranked")
    if layers is not None and layers != units.layer and list(layers) != [units.layer]:
        raise ValueError(f"layers must match the layer of units, {units.layer!r}; got {layers!r}; omit layers")
    check_units(units, lookup(generator.layers, units.layer, "layer").units)


def _check_layers(generator: Generator, layers: Sequence[str] | str | None) -> tuple[str, ...]:
    """Return the layers' names without duplicates; all for None.

    Raises:
        KeyError: If there is no such layer.
        ValueError: If there are no names.
    """
    names = unique_names(list(generator.layers) if layers is None else layers)
    if not names:
        raise ValueError(f"layers must name at least one of {', '.join(generator.layers)}; omit layers for all")
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
            raise ValueError(f"{name} must be at least {least}; got {number}")
    for number in (num_samples, num_images, num_sets):
        check_num_samples(number)


class _Pictures:
    """Real pictures and the network that compares them, before any picture is decoded.

    Raises:
        ValueError: If no network computes features, or a yardstick comes with further pictures or features.
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
                raise ValueError("a yardstick has its own held-out pictures; omit held_out")
            if features is not None:
                raise ValueError("a yardstick has its own features; omit features")
            return
        check_type("real", real, (PictureSource, Tensor, Yardstick), "use a source such as segmenters.datasets.Photos")
        network = features or segmenter
        if network is None:
            raise ValueError(
                "images need a network to compare their features; pass a segmenter with an encoder, or features="
            )
        self._network = network
        self._train, self._held_out = split_off(real, HELD_OUT_EVERY) if held_out is None else (real, held_out)

    @property
    def num_dims(self) -> int:
        """Number of dimensions of the features that are kept."""
        if self._yardstick is not None:
            return self._yardstick.train.shape[1]
        return count_dims(self._network, self._held_out, self._limits["max_held_out"])

    def check_samples(self, num_samples: int | None) -> None:
        """Check that images to rank units on are enough for the features; None ranks nothing."""
        if num_samples is not None:
            count_top(num_samples, TOP_SHARE, self.num_dims)

    def measure(self) -> Yardstick:
        """Return the yardstick that images are measured with."""
        if self._yardstick is not None:
            return self._yardstick
        return Yardstick.of(self._network, self._train, self._held_out, **self._limits)


@dataclass(frozen=True, slots=True)
class _Search:
    """The steps of a repair, each of which runs once."""

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
        """Return the ranking of the layer where switching off the worst units helps most."""
        request, steps = self.request, self.steps
        if missing := [layer for layer in request.layers if layer not in steps.rankings]:
            for ranking in iter_rankings(
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
        """Return the change of the distance when the worst units of a layer are switched off."""
        num_units = self.generator.layers[ranking.layer].units
        worst = ranking.top(min(UNITS_TO_COMPARE_LAYERS, max(1, num_units // 4)))
        curve = self.steps.compare_layer(ranking.layer, lambda: self._measure_counts(worst, (len(worst),), 2, 1))
        return curve.change(1).mean

    def choose(self, units: UnitSet) -> RepairCurve:
        """Return the distance as a function of the number of units."""
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
        """Return the measured effect of the repair."""
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
