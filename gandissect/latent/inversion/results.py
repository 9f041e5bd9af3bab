"""Results of inverting pictures: latents, reconstructions and lost concepts.

Source: Bau et al. 2019, "Seeing what a GAN cannot generate" (arXiv 1910.11626), Sec. 3.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, TypeAlias

import torch
from jaxtyping import Float, Float32, Float64, UInt8
from torch import Tensor

from ...core.display import Displayed, Tabular, count_things
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
"""Spaces that pictures can be inverted in."""

Optimizer: TypeAlias = Literal["adam", "lbfgs"]
"""How the loss of an inversion is minimized."""

BATCH = 64
"""Pictures per batch of the segmenter."""


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Residual(Edit):
    """An edit that adds different values to the activations of each image, in all units of a layer.

    Args:
        units: All units of the layer.
        values: Values to add, ``[batch, unit, h, w]``.
        region: Mask of the region to edit, as in every `Edit`; None edits everywhere.
    """

    units: UnitSet
    values: Float[Tensor, "batch unit h w"]
    region: Tensor | None = None

    def target(self, chosen: Float[Tensor, "batch unit h w"]) -> Float[Tensor, "batch unit h w"]:
        """Return the sum of activations and values."""
        return chosen + self.values.to(chosen)

    def apply(
        self, activation: Float[Tensor, "batch unit h w"], image_size: Size | None = None
    ) -> Float[Tensor, "batch unit h w"]:
        """Add the values to the activations within the region.

        Raises:
            ValueError: If the activations and the values differ in shape.
        """
        if self.values.shape != activation.shape:
            raise ValueError(
                f"a residual must have the shape of the activations of {self.units.layer!r}, {list(activation.shape)}; "
                f"got {list(self.values.shape)}; apply it to the pictures that it was found for"
            )
        return Edit.apply(self, activation, image_size)

    def _summarize(self) -> str:
        return f"{Edit._summarize(self)}, {len(self.values)} pictures"


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class LostConcepts(Tabular):
    """Each concept's share of the pixels in pictures and in their reconstructions, according to a segmenter.

    Args:
        segmenter: The segmenter's name and fingerprint.
        concepts: The segmenter's concepts.
        pictures: Shares in the pictures, float64 ``[picture, concept]``.
        reconstructions: Shares in the reconstructions, float64 ``[picture, concept]``.
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
        """Change of each concept's share, float64 ``[picture, concept]``; negative if the concept was lost."""
        return self.reconstructions - self.pictures

    def records(self) -> list[dict[str, Any]]:
        """Return a plain dict for each concept that is present, the one that lost most first.

        Shares are means over the pictures. The standard error of the change is taken over pictures; None for a single
        picture.
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

    def _summarize(self) -> str:
        return f"{len(self.concepts)} concepts in {len(self.pictures)} pictures by {self.segmenter}"


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Inversion(SavedResult, Displayed):
    """Pictures inverted into the latent space of a generator.

    Args:
        generator: The generator's name and fingerprint.
        space: Space of the latents: ``z``, ``w``, or ``ws`` (one w per layer).
        latents: Latent vectors, float32, z ``[picture, z_dim]`` or ws ``[picture, num_ws, w_dim]``.
        noise: One noise map per layer, float32 ``[picture, 1, h, w]``; empty for the generator's own noise.
        layer: Layer that the residual is added to; None without a residual.
        residual: Values that are added to the activations, float32 ``[picture, unit, h, w]``; None without a residual.
        pictures: Pictures that were inverted, uint8 ``[picture, 3, H, W]``.
        reconstructions: Images of the latents, noise and residual, uint8 ``[picture, 3, H, W]``.
        loss_start: Loss of the first start, float64 ``[picture]``.
        loss_end: Loss of the reconstruction, float64 ``[picture]``.
        with_features: Whether features were compared.
        num_candidates: Number of samples among which the starting points were chosen.
        num_starts: Number of starting points per picture.
        num_steps: Number of optimization steps.
        seed: Seed of the samples.
        with_pixels: Whether pixels were compared.
        optimizer: ``adam`` or ``lbfgs``.

    Raises:
        ValueError: If the values are inconsistent.
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
    with_pixels: bool = field(default=True, metadata={"is_optional": True})
    optimizer: Optimizer = field(default="adam", metadata={"is_optional": True})

    def __post_init__(self) -> None:
        if self.space not in INVERSION_SPACES:
            raise ValueError(f"space must be one of {', '.join(INVERSION_SPACES)}; got {self.space!r}")
        check_tensor("pictures", self.pictures, torch.uint8, (None, 3, None, None))
        number = len(self.pictures)
        check_tensor("reconstructions", self.reconstructions, torch.uint8, tuple(self.pictures.shape))
        check_tensor("latents", self.latents, torch.float32, (number, None, None)[: 2 if self.space == "z" else 3])
        check_tensor("loss_start", self.loss_start, torch.float64, (number,))
        check_tensor("loss_end", self.loss_end, torch.float64, (number,))
        for tensor in self.noise:
            check_tensor("noise", tensor, torch.float32, (number, 1, None, None))
        if (self.layer is None) != (self.residual is None):
            raise ValueError("layer and residual must come together; pass both or neither")
        if self.residual is not None:
            check_tensor("residual", self.residual, torch.float32, (number, None, None, None))
        named = {"latents": [self.latents], "noise": self.noise, "losses": [self.loss_start, self.loss_end]}
        for name, tensors in (named | {"residual": [] if self.residual is None else [self.residual]}).items():
            for tensor in tensors:
                check_all_finite(name, tensor)
        if not self.pictures.numel() or min(self.num_candidates, self.num_starts, self.num_steps) < 0:
            got = f"{list(self.pictures.shape)}; {self.num_candidates}, {self.num_starts} and {self.num_steps}"
            raise ValueError(f"an inversion must have at least 1 picture, and counts of at least 0; got {got}")

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
        """Absolute error of each pixel, averaged over colors, float32 ``[picture, H, W]``; 1 is black against white."""
        return (self._differences().abs().mean(1) / 255).float()

    @torch.no_grad()
    def generate(self, generator: Generator, edits: Sequence[Edit] = ()) -> Float[Tensor, "picture 3 H W"]:
        """Generate the reconstructions again, optionally with edits.

        Args:
            generator: Generator that the pictures were inverted in.
            edits: Edits of units, applied after the residual in the residual's layer.

        Returns:
            float32 ``[picture, 3, H, W]`` on the generator's device; without edits, `reconstructions` before rounding.

        Raises:
            KeyError: If there is no such layer.
            TypeError: If an edit is not an `Edit`, or edits of several layers are applied to a generator that is not a
                torch module.
            ValueError: If the generator is a different one, or an edit does not fit.
        """
        self.check_generator(generator)
        return reconstruct(generator, self.latents, self.noise, [*residual_edits(self.layer, self.residual), *edits])

    def check_generator(self, generator: Generator) -> None:
        """Check that a generator is the one that the pictures were inverted in.

        Raises:
            ValueError: If its weights differ.
        """
        self.generator.check(generator, "the inversion")

    def lost_concepts(self, segmenter: Segmenter) -> LostConcepts:
        """Compare the concepts' shares in the pictures and in the reconstructions: what the generator cannot draw.

        Args:
            segmenter: Segmenter for such pictures.

        Raises:
            ValueError: If the segmenter does not return label maps.

        Source: Bau et al. 2019 (arXiv 1910.11626), Sec. 3.
        """
        shares = [_concept_shares(segmenter, pixels) for pixels in (self.pictures, self.reconstructions)]
        return LostConcepts(NetworkId.of(segmenter), segmenter.concepts, *shares)

    def _differences(self) -> Tensor:
        return self.pictures.double() - self.reconstructions.double()

    def _summarize(self) -> str:
        psnr = f"PSNR {float(self.psnr.min()):.1f} to {float(self.psnr.max()):.1f} dB"
        return f"{count_things(len(self), 'picture')} in {self.space} of {self.generator}, {psnr}, seed={self.seed}"

    def _html_parts(self) -> Iterable[str]:
        from ..display import show_inversion

        return show_inversion(self)


def with_noise_maps(generator: Generator, noise: NoiseMaps) -> Generator:
    """Return a generator whose layers add these noise maps, ``[picture, 1, h, w]``; itself if there are no maps."""
    if not noise:
        return generator
    noisy_generator: Generator = generator.with_noise(noise)  # type: ignore[attr-defined]
    return noisy_generator


def reconstruct(
    generator: Generator, latents: Latents, noise: NoiseMaps, edits: Sequence[Edit]
) -> Float[Tensor, "batch 3 H W"]:
    """Generate the images of latents with these noise maps and edits."""
    return generate(with_noise_maps(generator, noise), latents.to(generator.device), edits)


def residual_edits(layer: str | None, residual: Float[Tensor, "picture unit h w"] | None) -> list[Edit]:
    """Return the edit that adds a residual; no edit without a residual."""
    if layer is None or residual is None:
        return []
    return [Residual(UnitSet(layer, tuple(range(residual.shape[1]))), residual)]


@torch.inference_mode()
def _concept_shares(segmenter: Segmenter, pixels: Tensor) -> Tensor:
    """Return each concept's share of the pixels of each image, float64 ``[picture, concept]``."""
    count, areas = len(segmenter.concepts), []
    for part in torch.split(pixels, BATCH):
        labels = segmenter(from_uint8(part))
        channels = labels.shape[1] if isinstance(labels, Tensor) and labels.ndim == 4 else 1
        areas.append(concept_areas(check_labels(labels, (len(part), channels, *part.shape[2:]), count), count))
    return torch.cat(areas).cpu().double() / math.prod(pixels.shape[2:])
