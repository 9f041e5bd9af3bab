"""Switch units off permanently.

Source: Bau et al. 2019, Sec. 4.2.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, TypeVar, runtime_checkable

import torch

from ..core.lookup import check_choice, lookup
from ..core.protocols import Generator, check_generator
from ..core.rows import limit_rows
from ..core.sampling import derive_seed
from ..core.types import UnitSet
from ..inference.batches import LayerSampler
from ..interventions.edits import check_units
from .results import ForcedTo

G = TypeVar("G", bound=Generator)

BATCH = 64
"""Images per batch."""

MEAN_SAMPLES = 512
"""Number of images that a unit's mean activation is computed on."""


@runtime_checkable
class Forcible(Generator, Protocol):
    """A generator that can copy itself with some units forced to fixed values."""

    def forcing(self, units: UnitSet, values: Sequence[float]) -> Any:
        """Return a generator of the same class in which the units always have these values."""


def repair(generator: G, units: UnitSet, force_to: ForcedTo = "zero") -> G:
    """Return a copy of a generator in which units are permanently switched off.

    ``repair(G, units)(z)`` equals ``generate(G, z, [Ablation(units)])`` bit for bit. The copy of a generator of
    ``generators`` can be saved and loaded like any other. If units are forced again, the last values apply.

    Args:
        generator: Generator that has ``forcing(units, values)``.
        units: Units to switch off; an empty set returns a plain copy.
        force_to: Value that the units are forced to: ``zero``, or each unit's measured ``mean`` over images and
            positions.

    Raises:
        KeyError: If there is no such layer or value to force to.
        TypeError: If the generator has no ``forcing``.
        ValueError: If the layer has no such unit, or the generator is in training mode.

    Examples:
        >>> import gandissect, generators, segmenters
        >>> G = generators.PlantedGenerator()
        >>> S = segmenters.PaletteSegmenter(G.concepts)
        >>> repaired = gandissect.repair(G, gandissect.UnitSet("layer2", (1,)))
        >>> bool((S(repaired(G.sample_z(8, seed=1))) == 2).any())
        False

    Source: Bau et al. 2019, Sec. 4.2.
    """
    repaired: G = check_forcible(generator).forcing(units, compute_forced_values(generator, units, force_to))
    return repaired


def check_forcible(generator: Generator) -> Forcible:
    """Return a generator after checking that it can copy itself with units forced.

    Raises:
        TypeError: If it cannot; the message states the alternative.
    """
    if not isinstance(generator, Forcible):
        raise TypeError(
            f"{type(generator).__name__} has no forcing(units, values) to copy it with; edit its images instead with "
            "generate(generator, z, [Ablation(units)])"
        )
    return generator


@torch.inference_mode()
def compute_forced_values(generator: Generator, units: UnitSet, force_to: ForcedTo = "zero") -> tuple[float, ...]:
    """Return the values that a repair forces units to.

    Args:
        generator: Generator whose units are forced.
        units: Units to force.
        force_to: ``zero``, or each unit's ``mean`` over 512 fixed images and all positions; over all
            pictures of a translator that has fewer.

    Returns:
        One value per unit.

    Raises:
        KeyError: If there is no such layer or value to force to.
        ValueError: If the layer has no such unit, an activation is not finite, or the generator is in training mode.
    """
    check_generator(generator)
    UnitSet.check(units)
    check_choice(force_to, ForcedTo, "force_to")
    check_units(units, lookup(generator.layers, units.layer, "layer").units)
    if force_to == "zero" or not len(units):
        return (0.0,) * len(units)
    source = LayerSampler(generator, (units.layer,), derive_seed(0, "means"), BATCH, progress=False)
    total, index = torch.zeros(len(units), dtype=torch.float64, device="cpu"), list(units.units)
    num_samples = limit_rows(generator, MEAN_SAMPLES)
    for batch in source.activations(range(num_samples), "means"):
        total += batch.activations[units.layer].maps[:, index].cpu().double().mean(dim=(2, 3)).sum(dim=0)
    return tuple((total / num_samples).float().tolist())
