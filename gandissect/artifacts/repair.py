"""Switching units off for good.

Source: Bau et al. 2019, Sec. 4.3.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, TypeVar, runtime_checkable

import torch

from ..core.lookup import check_choice, lookup
from ..core.protocols import Generator, check_generator
from ..core.sampling import derive_seed
from ..core.types import UnitSet
from ..inference.batches import LayerSampler
from ..interventions.edits import check_units
from .results import ForcedTo

G = TypeVar("G", bound=Generator)

BATCH, MEAN_SAMPLES = 64, 512
"""Images at once, and images over which a unit's mean is taken."""


@runtime_checkable
class Forcible(Generator, Protocol):
    """A generator that can give a copy of itself some of whose units always have given values."""

    def forcing(self, units: UnitSet, values: Sequence[float]) -> Any:
        """Return the copy, a generator of the same kind."""


def repair(generator: G, units: UnitSet, force_to: ForcedTo = "zero") -> G:
    """Return a copy of a generator in which some units are switched off for good.

    ``repair(G, units)(z)`` equals ``generate(G, z, [Ablation(units)])`` bit for bit. A generator of ``generators`` is
    saved and loaded as any other; where units are forced again, the last values hold.

    Args:
        generator: A `Generator` that has ``forcing(units, values)``.
        units: Which units; none gives a plain copy.
        force_to: What they are forced to: ``zero``, or each unit's ``mean`` over images and places, which is measured.

    Raises:
        KeyError: If there is no such layer or way.
        TypeError: If the generator cannot be copied so.
        ValueError: If the layer has no such unit, or the generator is in training mode.

    Source: Bau et al. 2019, Sec. 4.3.
    """
    repaired: G = check_forcible(generator).forcing(units, compute_forced_values(generator, units, force_to))
    return repaired


def check_forcible(generator: Generator) -> Forcible:
    """Return a generator, checked to give copies of itself with units forced.

    Raises:
        TypeError: If it cannot, with what to do instead.
    """
    if not isinstance(generator, Forcible):
        raise TypeError(
            f"{type(generator).__name__} has no forcing(units, values) that gives a copy; edit its images instead, by "
            "generate(generator, z, [Ablation(units)])"
        )
    return generator


@torch.inference_mode()
def compute_forced_values(generator: Generator, units: UnitSet, force_to: ForcedTo = "zero") -> tuple[float, ...]:
    """Return what a repair forces units to, one number for each.

    Args:
        generator: A `Generator`.
        units: Which units.
        force_to: ``zero``, or each unit's ``mean`` over 512 images, always the same ones, and all places.

    Raises:
        KeyError: If there is no such layer or way.
        ValueError: If the layer has no such unit, an activation is not finite, or the generator is in training mode.
    """
    check_generator(generator)
    UnitSet.check(units)
    check_choice(force_to, ForcedTo, "way")
    check_units(units, lookup(generator.layers, units.layer, "layer").units)
    if force_to == "zero" or not len(units):
        return (0.0,) * len(units)
    source = LayerSampler(generator, (units.layer,), derive_seed(0, "means"), BATCH, progress=False)
    total, index = torch.zeros(len(units), dtype=torch.float64, device="cpu"), list(units.units)
    for batch in source.activations(range(MEAN_SAMPLES), "means"):
        total += batch.activations[units.layer].maps[:, index].cpu().double().mean(dim=(2, 3)).sum(dim=0)
    return tuple((total / MEAN_SAMPLES).float().tolist())
