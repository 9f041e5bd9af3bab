"""Result of ranking the units of a layer by their relation to artifacts."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from jaxtyping import Bool, Float64, Int64
from torch import Tensor

from ..core.display import Tabular, count_units
from ..core.lookup import check_choice
from ..core.network_id import NetworkId
from ..core.types import UnitSet
from ..stats.intervals import Estimate
from ..storage.saved import SavedResult, check_tensor

RankingMethod = Literal["distance", "realism", "effect"]
"""Score that units are ranked by: the excess distance, the correlation with realism, or the effect of ablation."""


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class ArtifactRanking(SavedResult, Tabular):
    """Units of a layer, ranked by their relation to unrealistic images.

    A unit whose peak activation is the same in all images carries no information: its distance is that of random
    images, its correlation is 0, and it is ranked last.

    Args:
        generator: The generator's name and fingerprint.
        layer: Name of the layer.
        network: The feature network's name.
        method: Score that `top` ranks by.
        num_samples: Number of images.
        num_top: Number of images with a unit's highest activations that are its top images.
        num_real: Number of real training pictures that images were compared with.
        num_dims: Length of a feature vector.
        seed: Seed of the whole measurement.
        sample_seed: Seed with which ``generator.sample_z`` draws the latent vectors.
        distance: Fréchet distance of each unit's top images from the real pictures, float64 ``[unit]``.
        realism: Rank correlation of activation with realism over images, -1 to 1, float64 ``[unit]``.
        varies: Whether the unit's peak activation differs between images, bool ``[unit]``.
        top_samples: The first of each unit's top images, int64 ``[unit, rank]``.
        random: Distance of ``num_top`` random images, over several draws.
        floor: Distance between a random subset of the real pictures, as large as ``num_top``, and the rest of them.
        effect: Decrease of the distance when the unit alone is ablated, float64 ``[unit]``; None if not measured.
        effect_stderr: Standard error of the effect over images, float64 ``[unit]``; None if not measured.
        num_effect: Number of images that the effect was measured on.
    """

    FILE_NAME: ClassVar[str] = "artifact_ranking.safetensors"
    VERSION: ClassVar[int] = 1

    generator: NetworkId
    layer: str
    network: str
    method: str
    num_samples: int
    num_top: int
    num_real: int
    num_dims: int
    seed: int
    sample_seed: int
    distance: Float64[Tensor, " unit"]
    realism: Float64[Tensor, " unit"]
    varies: Bool[Tensor, " unit"]
    top_samples: Int64[Tensor, "unit rank"]
    random: Estimate
    floor: Estimate
    effect: Float64[Tensor, " unit"] | None = None
    effect_stderr: Float64[Tensor, " unit"] | None = None
    num_effect: int = 0

    def __post_init__(self) -> None:
        check_choice(self.method, RankingMethod, "method")
        units = len(self.distance)
        check_tensor("distance", self.distance, torch.float64, (None,))
        check_tensor("realism", self.realism, torch.float64, (units,))
        check_tensor("varies", self.varies, torch.bool, (units,))
        check_tensor("top samples", self.top_samples, torch.int64, (units, None))
        effects = [effect for effect in (self.effect, self.effect_stderr) if effect is not None]
        for effect in effects:
            check_tensor("effect", effect, torch.float64, (units,))
        if len(effects) == 1 or (self.method == "effect" and not effects):
            raise ValueError("effect and effect_stderr must come together, and a ranking by effect must have both")
        if not bool((self.distance.isfinite() & (self.realism.abs() <= 1 + 1e-9)).all()):
            raise ValueError("distances must be finite, and correlations must be in [-1, 1]")

    @property
    def excess(self) -> Float64[Tensor, " unit"]:
        """How much farther each unit's top images are from real pictures than random images are, float64 ``[unit]``."""
        return self.distance - self.random.mean

    def top(self, count: int) -> UnitSet:
        """Return the ``count`` worst units, worst first; ties are broken by index."""
        scores, is_active = (self.excess if self.method == "distance" else -self.realism), self.varies
        if self.method == "effect" and self.effect is not None:
            scores, is_active = self.effect, is_active | (self.effect != 0)
        order = scores.masked_fill(~is_active, -math.inf).argsort(descending=True, stable=True)[:count]
        return UnitSet(self.layer, tuple(order.tolist()))

    def records(self) -> list[dict[str, Any]]:
        """Return a plain dict for each unit, worst first."""
        columns: dict[str, list[Any]] = {
            "distance": self.distance.tolist(),
            "excess": self.excess.tolist(),
            "realism_correlation": self.realism.tolist(),
            "varies": self.varies.tolist(),
        }
        if self.effect is not None and self.effect_stderr is not None:
            columns |= {"effect": self.effect.tolist(), "effect_stderr": self.effect_stderr.tolist()}
        units = self.top(len(self.distance)).units
        return [{"unit": unit} | {name: column[unit] for name, column in columns.items()} for unit in units]

    def _summarize(self) -> str:
        units, worst = count_units(len(self.distance), self.layer), ", ".join(map(str, self.top(3).units))
        return f"{units} by {self.method}, worst {worst}, n={self.num_samples}"
