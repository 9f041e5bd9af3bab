"""Result of ranking the units of a layer by the artifacts that they draw."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from jaxtyping import Bool, Float64, Int64
from torch import Tensor

from ..core.lookup import check_choice
from ..core.network_id import NetworkId
from ..core.types import UnitSet
from ..stats.intervals import Estimate
from ..storage.saved import SavedResult, check_tensor

RankingMethod = Literal["distance", "realism", "effect"]
"""What a ranking goes by: the excess of distance, the correlation with realism, or the effect of ablation."""


@dataclass(frozen=True, slots=True, eq=False)
class ArtifactRanking(SavedResult):
    """Units of a layer by how much they have to do with what is unrealistic.

    A unit that is the same in all images says nothing: it has the random images' distance, no correlation, and the last
    place.

    Args:
        generator: The generator's name and fingerprint.
        layer: The layer.
        network: The feature network's name.
        method: What `top` goes by.
        num_samples: Images looked at.
        num_top: Of each unit, the images with its highest activations.
        num_real: Real pictures that they were compared with, of those to train on.
        num_dims: Length of a feature vector.
        seed: Of the images.
        sample_seed: With which ``generator.sample_z`` draws them.
        distance: float64 ``[unit]``, Frechet distance of each unit's top images from the real pictures.
        realism: float64 ``[unit]``, rank correlation over images of activation with realism, -1 to 1.
        varies: bool ``[unit]``, whether the unit's highest activation is not the same in all images.
        top_samples: int64 ``[unit, rank]``, the first of each unit's top images.
        random: Distance of as many random images, over several draws.
        floor: Distance of as many of the real pictures from the rest of them.
        effect: float64 ``[unit]``, how much less the distance is with the unit alone ablated; None if not measured.
        effect_stderr: float64 ``[unit]``, its standard error over images.
        num_effect: Images that it was measured on.
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
            raise ValueError("an effect comes with its standard error, and a ranking by effect has both")
        if not bool((self.distance.isfinite() & (self.realism.abs() <= 1 + 1e-9)).all()):
            raise ValueError("distances are finite, and correlations -1 to 1")

    @property
    def excess(self) -> Float64[Tensor, " unit"]:
        """How much farther each unit's top images are from real pictures than random images, float64 ``[unit]``."""
        return self.distance - self.random.mean

    def top(self, count: int) -> UnitSet:
        """Return the first units, worst first; of equals the first in the layer."""
        scores, is_active = (self.excess if self.method == "distance" else -self.realism), self.varies
        if self.method == "effect" and self.effect is not None:
            scores, is_active = self.effect, is_active | (self.effect != 0)
        order = scores.masked_fill(~is_active, -math.inf).argsort(descending=True, stable=True)[:count]
        return UnitSet(self.layer, tuple(order.tolist()))

    def records(self) -> list[dict[str, Any]]:
        """Return a plain dict for each unit, in the order of the ranking."""
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
