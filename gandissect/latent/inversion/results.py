"""Pictures as a generator makes them again, and what was lost on the way.

Source: Bau et al. 2019, "Seeing what a GAN cannot generate" (arXiv 1910.11626), Sec. 3.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from jaxtyping import Float, Float32, Float64, UInt8
from torch import Tensor

from ...core.images import from_uint8
from ...core.network_id import NetworkId
from ...core.protocols import Generator, Segmenter
from ...core.types import Concept, UnitSet, check_concepts
from ...inference.areas import concept_areas
from ...inference.checks import check_labels
from ...interventions.apply import generate
from ...interventions.edits import Edit, Size
from ...storage.saved import SavedResult, check_all_finite, check_tensor, detached_copy
from ..spaces import Latents
from .coordinates import NoiseMaps

INVERSION_SPACES = ("z", "w", "ws")
BATCH = 64
"""Pictures that are labeled at once."""


@dataclass(frozen=True, slots=True, eq=False)
class Residual(Edit):
    """Something added to the activations of all units of a layer, for each image of its own.

    Args:
        units: All units of the layer.
        values: ``[batch, unit, h, w]``.
        region: Where, as for every `Edit`; everywhere if None.
    """

    units: UnitSet
    values: Float[Tensor, "batch unit h w"]
    region: Tensor | None = None

    def target(self, chosen: Float[Tensor, "batch unit h w"]) -> Float[Tensor, "batch unit h w"]:
        """Return the sum."""
        return chosen + self.values.to(chosen)

    def apply(
        self, activation: Float[Tensor, "batch unit h w"], image_size: Size | None = None
    ) -> Float[Tensor, "batch unit h w"]:
        """Return the sum, where the region is.

        Raises:
            ValueError: If these are activations of other images, units or places than the values.
        """
        if self.values.shape != activation.shape:
            raise ValueError(
                f"this residual is {list(self.values.shape)}, and the activations of {self.units.layer!r} are "
                f"{list(activation.shape)}; it is added to those that it was found for"
            )
        return Edit.apply(self, activation, image_size)


@dataclass(frozen=True, slots=True, eq=False)
class LostConcepts:
    """Shares of the pixels of each concept in pictures and in their reconstructions, as a segmenter sees both.

    Args:
        segmenter: The segmenter's name and fingerprint.
        concepts: What it names.
        pictures: float64 ``[picture, concept]``.
        reconstructions: float64 ``[picture, concept]``.
    """

    segmenter: NetworkId
    concepts: tuple[Concept, ...]
    pictures: Float64[Tensor, "picture concept"]
    reconstructions: Float64[Tensor, "picture concept"]

    def __post_init__(self) -> None:
        check_concepts(self.concepts)
        check_tensor("pictures", self.pictures, torch.float64, (None, len(self.concepts)))
        check_tensor("reconstructions", self.reconstructions, torch.float64, tuple(self.pictures.shape))
        for name in ("pictures", "reconstructions"):
            object.__setattr__(self, name, detached_copy(getattr(self, name)))

    @property
    def change(self) -> Float64[Tensor, "picture concept"]:
        """Share of the pixels that each concept has gained, float64 ``[picture, concept]``; below 0 it was lost."""
        return self.reconstructions - self.pictures

    def records(self) -> list[dict[str, Any]]:
        """Return a plain dict for each concept that is anywhere, the one that has lost most first.

        Shares are means over the pictures; the standard error of the change is over pictures, None of a single one.
        """
        mean, number = self.change.mean(0), len(self.pictures)
        stderr = self.change.std(0) / math.sqrt(number) if number > 1 else None
        is_present = (self.pictures + self.reconstructions).sum(0) > 0
        return [
            {
                "concept": self.concepts[row].name,
                "picture": float(self.pictures[:, row].mean()),
                "reconstruction": float(self.reconstructions[:, row].mean()),
                "change": float(mean[row]),
                "stderr": None if stderr is None else float(stderr[row]),
            }
            for row in mean.argsort(stable=True).tolist()
            if bool(is_present[row])
        ]


@dataclass(frozen=True, slots=True, eq=False)
class Inversion(SavedResult):
    """Pictures in the latent space of a generator.

    Args:
        generator: The generator's name and fingerprint.
        space: ``z``, ``w``, or ``ws`` (one w a layer).
        latents: float32, z ``[picture, z_dim]`` or ws ``[picture, num_ws, w_dim]``.
        noise: float32 ``[picture, 1, h, w]``, one map a layer, or none where it is the generator's own.
        layer: The layer that a residual is added to; None if there is none.
        residual: float32 ``[picture, unit, h, w]``.
        pictures: uint8 ``[picture, 3, H, W]``, what was asked for.
        reconstructions: uint8 ``[picture, 3, H, W]``, what the generator makes of the latents and the residual.
        loss_start: float64 ``[picture]``, of the best sample.
        loss_end: float64 ``[picture]``, of what was found.
        with_features: Whether features were compared besides pixels.
        num_candidates: Samples that were looked through.
        num_starts: How many of these the optimization began with.
        num_steps: Of the optimization.
        seed: Of the samples.

    Raises:
        ValueError: If these do not fit together.
    """

    FILE_NAME: ClassVar[str] = "inversion.safetensors"
    VERSION: ClassVar[int] = 2

    generator: NetworkId
    space: str
    latents: Float32[Tensor, "picture z"] | Float32[Tensor, "picture num_ws w_dim"]
    noise: tuple[Float32[Tensor, "picture 1 _ _"], ...]
    layer: str | None
    residual: Float32[Tensor, "picture unit h w"] | None
    pictures: UInt8[Tensor, "picture 3 H W"]
    reconstructions: UInt8[Tensor, "picture 3 H W"]
    loss_start: Float64[Tensor, " picture"]
    loss_end: Float64[Tensor, " picture"]
    with_features: bool
    num_candidates: int
    num_starts: int
    num_steps: int
    seed: int

    def __post_init__(self) -> None:
        if self.space not in INVERSION_SPACES:
            raise ValueError(f"a picture is inverted in {', '.join(INVERSION_SPACES)}; got {self.space!r}")
        check_tensor("pictures", self.pictures, torch.uint8, (None, 3, None, None))
        number = len(self.pictures)
        check_tensor("reconstructions", self.reconstructions, torch.uint8, tuple(self.pictures.shape))
        check_tensor("latents", self.latents, torch.float32, (number, None, None)[: 2 if self.space == "z" else 3])
        check_tensor("loss_start", self.loss_start, torch.float64, (number,))
        check_tensor("loss_end", self.loss_end, torch.float64, (number,))
        for tensor in self.noise:
            check_tensor("noise", tensor, torch.float32, (number, 1, None, None))
        if (self.layer is None) != (self.residual is None):
            raise ValueError("a residual is of a layer; give both or neither")
        if self.residual is not None:
            check_tensor("residual", self.residual, torch.float32, (number, None, None, None))
        named = {"latents": [self.latents], "noise": self.noise, "losses": [self.loss_start, self.loss_end]}
        for name, tensors in (named | {"residual": [] if self.residual is None else [self.residual]}).items():
            for tensor in tensors:
                check_all_finite(name, tensor)
        if not self.pictures.numel() or min(self.num_candidates, self.num_starts, self.num_steps) < 0:
            got = f"{list(self.pictures.shape)}; {self.num_candidates}, {self.num_starts} and {self.num_steps}"
            raise ValueError(f"an inversion is of 1 picture or more, and its counts are 0 or more; got {got}")

    def __len__(self) -> int:
        return len(self.pictures)

    @property
    def psnr(self) -> Float64[Tensor, " picture"]:
        """Peak signal-to-noise ratio of each reconstruction in dB, float64 ``[picture]``; infinite if it is exact.

        ``10 log10(255^2 / mean (picture - reconstruction)^2)`` over all pixels and colors.
        """
        return 10 * torch.log10(255**2 / self._differences().square().flatten(1).mean(1))

    @property
    def error_maps(self) -> Float32[Tensor, "picture H W"]:
        """How far each pixel is off, float32 ``[picture, H, W]``: mean over its colors, 1 from black to white."""
        return (self._differences().abs().mean(1) / 255).float()

    @torch.no_grad()
    def generate(self, generator: Generator, edits: Sequence[Edit] = ()) -> Float[Tensor, "picture 3 H W"]:
        """Make the reconstructions again, with edits of units on the way.

        Args:
            generator: The one that the pictures were inverted in.
            edits: What to change, made after the residual where they are of its layer.

        Returns:
            float32 ``[picture, 3, H, W]`` on the generator's device; without edits what ``reconstructions`` rounds.

        Raises:
            KeyError: If there is no such layer.
            TypeError: If an edit is none, or edits of several layers are made on what is no torch module.
            ValueError: If it is another generator, or an edit does not fit.
        """
        self.check_generator(generator)
        return reconstruct(generator, self.latents, self.noise, [*residual_edits(self.layer, self.residual), *edits])

    def check_generator(self, generator: Generator) -> None:
        """Refuse another generator than that of the inversion.

        Raises:
            ValueError: If its weights are others.
        """
        self.generator.check(generator, "the inversion")

    def lost_concepts(self, segmenter: Segmenter) -> LostConcepts:
        """Compare the shares of concepts in the pictures and in the reconstructions: what the GAN cannot draw.

        Args:
            segmenter: A `Segmenter` for such pictures.

        Raises:
            ValueError: If it gives no label maps.

        Source: Bau et al. 2019 (arXiv 1910.11626), Sec. 3.
        """
        shares = [_concept_shares(segmenter, pixels) for pixels in (self.pictures, self.reconstructions)]
        return LostConcepts(NetworkId.of(segmenter), segmenter.concepts, *shares)

    def _differences(self) -> Tensor:
        return self.pictures.double() - self.reconstructions.double()


def with_noise_maps(generator: Generator, noise: NoiseMaps) -> Generator:
    """Return a generator whose layers add given noise, ``[picture, 1, h, w]`` each; itself if none is given."""
    if not noise:
        return generator
    noisy_generator: Generator = generator.with_noise(noise)  # type: ignore[attr-defined]
    return noisy_generator


def reconstruct(
    generator: Generator, latents: Latents, noise: NoiseMaps, edits: Sequence[Edit]
) -> Float[Tensor, "batch 3 H W"]:
    """Return the images of latents, with noise of their own and edits."""
    return generate(with_noise_maps(generator, noise), latents.to(generator.device), edits)


def residual_edits(layer: str | None, residual: Float[Tensor, "picture unit h w"] | None) -> list[Edit]:
    """Return the edit that adds a residual, or none if there is none."""
    if layer is None or residual is None:
        return []
    return [Residual(UnitSet(layer, tuple(range(residual.shape[1]))), residual)]


@torch.inference_mode()
def _concept_shares(segmenter: Segmenter, pixels: Tensor) -> Tensor:
    """Return the share of each image's pixels that each concept has, float64 ``[picture, concept]``."""
    count, areas = len(segmenter.concepts), []
    for part in torch.split(pixels, BATCH):
        labels = segmenter(from_uint8(part))
        channels = labels.shape[1] if isinstance(labels, Tensor) and labels.ndim == 4 else 1
        areas.append(concept_areas(check_labels(labels, (len(part), channels, *part.shape[2:]), count), count))
    return torch.cat(areas).cpu().double() / math.prod(pixels.shape[2:])
