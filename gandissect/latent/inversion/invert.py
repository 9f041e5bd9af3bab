"""Invert pictures: find the z or w whose image is most similar to each picture.

Starting from the samples whose images are closest in pixels, Adam minimizes, for all pictures jointly,

    |G(u) - x|^2 / V + 0.2 mean_i |f_i(G(u)) - f_i(x)|^2 / V_i + 0.01 prior(u),

first for a quarter of the steps from each start, then for all steps from the best result. Squared differences are
averaged over pixels and over entries; V is the variance of the generator's images, and V_i that of their features. In z
the prior is ``(|z|^2 / d - 1)^2``, which keeps z near the shell of normal vectors. If the generator normalizes z, z is
projected onto the shell after every step. In w, with u = (w - mean) / standard deviation, the same prior applies only
outside the shell. Noise has the prior of `coordinates`. A layer's residual r, in standard deviations of the layer's
activations, is found afterwards in the same way, with the prior ``0.01 |r|^2``.

With features in place of pixels, the loss is ``mean_i |f_i(G(u)) - f_i(x)|^2 / V_i + 0.01 prior(u)``. If the features
tell who or what is shown, and the class of a conditional generator is that of the picture, the image of the same z in
another class shows the same in another state (Antipov et al. 2017, Sec. 2.2.2, whose optimizer is L-BFGS-B).

Source: Zhu et al. 2016 (arXiv 1609.03552), Sec. 4.1; in w: Karras et al. 2020 (arXiv 1912.04958), Appendix D; residual:
Bau et al. 2019 (arXiv 1910.11626), Sec. 3; features alone: Antipov et al. 2017 (arXiv 1702.01983).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from ...core.images import to_uint8
from ...core.lookup import check_choice, lookup, unknown_name_message
from ...core.network_id import NetworkId
from ...core.protocols import Generator, check_mode
from ...core.rows import noise_length
from ...core.sampling import check_seed, derive_seed
from ..spaces import as_w, capabilities, require_w
from .coordinates import Coordinates, NoiseMaps
from .descent import (
    DescentResult,
    FeatureExtractor,
    PictureDistance,
    StartingPoints,
    as_list,
    descend,
    mean_square,
    search,
)
from .lbfgs import descend_lbfgs
from .results import INVERSION_SPACES, Inversion, Optimizer, reconstruct, residual_edits, with_noise_maps

PRIOR_WEIGHT = 0.01
"""Weight of the prior in the loss."""

Encode = Callable[[Float[Tensor, "picture 3 H W"]], Float[Tensor, "picture z"]]
"""Function of images that returns their latent vectors z."""


def invert(
    generator: Generator,
    images: Float[Tensor, "picture 3 H W"],
    space: str = "z",
    *,
    features: FeatureExtractor | None = None,
    pixels: bool = True,
    optimizer: Optimizer = "adam",
    layer: str | None = None,
    noise: bool = False,
    encoder: Encode | None = None,
    num_candidates: int = 1_000,
    num_starts: int = 8,
    num_steps: int = 500,
    seed: int = 0,
    progress: bool = True,
) -> Inversion:
    """Find the latents whose images are most similar to pictures, by the loss at the top of this module.

    Pictures are optimized together; up to rounding, each result is independent of the others.

    Args:
        generator: Differentiable generator in eval mode.
        images: Pictures to invert, float ``[picture, 3, H, W]`` in [-1, 1], of the generator's size.
        space: ``z``; where there is w, also ``w``, or ``ws`` (one w per layer), for pictures unlike its own images.
        features: Differentiable function of images that returns features, one tensor ``[picture, ...]`` or several,
            such as a segmenter's ``encode``; None compares pixels only.
        pixels: Compare pixels; otherwise the features alone.
        optimizer: ``adam``; or ``lbfgs``, which needs fewer steps and stops in the nearest minimum.
        layer: Layer to add a residual to, for details that no latents reproduce; None adds no residual.
        noise: Also optimize the noise of each picture, in w or ws of a generator that has noise.
        encoder: Function of images, such as ``generators.load_encoder(NAME).encode``, that returns each picture's
            first start: z ``[picture, z_dim]``, or noise alone, which gets the class of the nearest sample.
        num_candidates: Number of samples among which starting points are chosen, at least 2.
        num_starts: Number of starting points per picture, at most ``num_candidates``; more avoid poor local minima.
        num_steps: Number of steps. A quarter of it is added for each start if there are several, and the full number
            again for the residual. 0 returns the first start, which needs no gradients.
        seed: Seed of the samples, which are the same for all pictures.
        progress: Show progress bars.

    Returns:
        The inversion, on CPU.

    Raises:
        KeyError: If there is no such layer.
        ValueError: If the pictures do not fit, the generator has no such space or no gradients, or a value is invalid.

    Examples:
        >>> import gandissect, generators
        >>> G = generators.PlantedGenerator()
        >>> gandissect.latent.invert(G, G(G.sample_z(1)), num_candidates=50, num_steps=0, progress=False).latents.shape
        torch.Size([1, 8])

    Source: Zhu et al. 2016 (arXiv 1609.03552), Sec. 4.1.
    """
    seed = check_seed(seed)
    _check_request(generator, images, space, layer, noise)
    _check_objective(features, pixels, optimizer, noise)
    _check_counts(num_candidates, num_starts, num_steps, layer)
    quiet, counts = not progress, (num_candidates, num_starts)
    with torch.inference_mode(False), torch.enable_grad():
        pictures = images.detach().clone().to(generator.device, torch.float32)
        points = search(generator, pictures, space, noise, counts, derive_seed(seed, "invert"), quiet)
        start = points.start if encoder is None else _start_from(encoder, generator, pictures, points, space)
        if num_steps:
            _check_gradients(generator, points.coordinates, start[:1, 0], features)
        distance = PictureDistance.of(pictures, points.images, points.variance, features, pixels)
        latent_loss = _LatentLoss(generator, distance, points.coordinates)
        loss_start = latent_loss.evaluate(start[:, 0])
        optimum = _descend_from_best(latent_loss, start, num_steps, quiet, optimizer)
        latents, maps = latent_loss.unpack(optimum.free)
        residual, loss_end = None, optimum.loss_end
        if layer is not None:
            residual_loss = _ResidualLoss.of(generator, distance, latents, maps, layer, points.samples)
            residual, loss_end = residual_loss.find_residual(num_steps, quiet, optimizer)
        reconstructions = _reconstruct_pixels(generator, latents, maps, layer, residual)
    kept_residual = None if residual is None else residual.cpu()
    noise_maps = tuple(noise_map.cpu().contiguous() for noise_map in maps)
    found = (latents.cpu(), noise_maps, layer, kept_residual, _to_pixels(pictures), reconstructions)
    request = (features is not None, *counts, num_steps, seed)
    return Inversion(NetworkId.of(generator), space, *found, loss_start, loss_end, *request, pixels, optimizer)


def _start_from(
    encoder: Encode, generator: Generator, pictures: Tensor, points: StartingPoints, space: str
) -> Float[Tensor, "picture start ..."]:
    """Return the starting points with the encoder's latents as the first, in place of the last."""
    classes = points.start[:, 0, noise_length(generator) :] if space == "z" else pictures.new_empty(len(pictures), 0)
    encoded = points.coordinates.free(_encode(generator, encoder, pictures, space, classes))
    return torch.cat([encoded[:, None], points.start[:, :-1]], dim=1)


@dataclass(frozen=True, slots=True)
class _LatentLoss:
    """The loss of latents."""

    generator: Generator
    distance: PictureDistance
    coordinates: Coordinates

    def __call__(self, free: Tensor) -> Tensor:
        images = self.coordinates.images(self.generator, free)
        return self.distance(images) + PRIOR_WEIGHT * self.coordinates.prior(free)

    def unpack(self, free: Tensor) -> tuple[Tensor, NoiseMaps]:
        """Return latents and noise."""
        return self.coordinates.latents(free).contiguous(), self.coordinates.maps(free)

    @torch.no_grad()
    def evaluate(self, free: Tensor) -> Tensor:
        """Return the loss as float64 ``[picture]`` on CPU, without gradients."""
        return self(free).cpu().double()


def _descend_from_best(
    latent_loss: _LatentLoss, starts: Tensor, num_steps: int, quiet: bool, optimizer: Optimizer
) -> DescentResult:
    """Descend from the best of the starts, ``[picture, start, ...]``; without steps, from the first."""
    start = starts[:, 0]
    if num_steps and starts.shape[1] > 1:
        start = _best_start(latent_loss, starts, num_steps // 4, quiet, optimizer)
    return _descend_latents(latent_loss, start, num_steps, "inverting", quiet, optimizer)


def _descend_latents(
    latent_loss: _LatentLoss, start: Tensor, num_steps: int, title: str, quiet: bool, optimizer: Optimizer
) -> DescentResult:
    if optimizer == "adam" or not num_steps:
        return descend(latent_loss, start, num_steps, title, quiet, latent_loss.coordinates.settle)
    return descend_lbfgs(latent_loss, start, num_steps, title, quiet)


def _best_start(
    latent_loss: _LatentLoss, starts: Tensor, num_steps: int, quiet: bool, optimizer: Optimizer = "adam"
) -> Tensor:
    """Return the best point after some steps from each picture's starts, ``[picture, start, ...]``."""
    results = []
    for number, start in enumerate(starts.unbind(1), 1):  # one start at a time, to save memory
        results.append(_descend_latents(latent_loss, start, num_steps, f"start {number}", quiet, optimizer))
    best_start = torch.stack([result.loss_end for result in results]).argmin(0).to(starts.device)
    return torch.stack([result.free for result in results])[best_start, torch.arange(len(starts), device=starts.device)]


@dataclass(frozen=True, slots=True)
class _ResidualLoss:
    """The loss of a residual, in standard deviations of the layer's activations."""

    generator: Generator
    distance: PictureDistance
    latents: Tensor
    activation: Tensor
    layer: str
    scale: float

    @classmethod
    @torch.no_grad()
    def of(
        cls,
        generator: Generator,
        distance: PictureDistance,
        latents: Tensor,
        maps: NoiseMaps,
        layer: str,
        samples: Tensor,
    ) -> _ResidualLoss:
        """Return the loss for a layer, whose standard deviation is measured on samples."""
        scale = float(generator.head(samples, layer).std())
        noisy_generator = with_noise_maps(generator, maps)
        return cls(noisy_generator, distance, latents, noisy_generator.head(latents, layer), layer, scale)

    def __call__(self, free: Tensor) -> Tensor:
        images = self.generator.tail(self.activation + self.scale * free, self.layer, self.latents)
        return self.distance(images) + PRIOR_WEIGHT * mean_square(free)

    def find_residual(self, num_steps: int, quiet: bool, optimizer: Optimizer) -> tuple[Tensor, Tensor]:
        """Return the residual of each picture, in units of the activations, and its loss."""
        method = descend if optimizer == "adam" else descend_lbfgs
        optimum = method(self, torch.zeros_like(self.activation), num_steps, f"residual of {self.layer}", quiet)
        return self.scale * optimum.free, optimum.loss_end


@torch.no_grad()
def _encode(generator: Generator, encoder: Encode, pictures: Tensor, space: str, classes: Tensor) -> Tensor:
    """Return an encoder's latent vectors of pictures, in the space to invert in; classes complete those without.

    Raises:
        ValueError: If the encoder does not return one finite latent vector per picture.
    """
    z, expected = encoder(pictures), [len(pictures), generator.z_dim]
    if isinstance(z, Tensor) and z.ndim == 2 and z.shape[1] == generator.z_dim - classes.shape[1]:
        z = torch.cat([z, classes.to(z)], dim=1)
    if not isinstance(z, Tensor) or not z.is_floating_point() or list(z.shape) != expected:
        got = f"{z.dtype} {list(z.shape)}" if isinstance(z, Tensor) else type(z).__name__
        raise ValueError(f"encoder must return latent vectors, float {expected}; got {got}")
    if not bool(z.isfinite().all()):
        raise ValueError("encoder must return finite latent vectors; got a NaN or infinite number")
    z = z.to(generator.device, torch.float32)
    return z if space == "z" else as_w(generator, z)


def _check_objective(features: FeatureExtractor | None, pixels: bool, optimizer: Optimizer, noise: bool) -> None:
    """Check what is compared, and by which optimizer.

    Raises:
        KeyError: If the optimizer is unknown.
        ValueError: If nothing is compared, or L-BFGS would optimize noise.
    """
    check_choice(optimizer, Optimizer, "optimizer")
    if features is None and not pixels:
        raise ValueError("pixels must be True without features; pass features, such as a segmenter's encode")
    if noise and optimizer == "lbfgs":
        raise ValueError("noise is normalized after every step, which lbfgs does not allow; use adam, or omit noise")


def _check_counts(num_candidates: int, num_starts: int, num_steps: int, layer: str | None) -> None:
    """Raise ValueError if a number is out of range."""
    if num_candidates < 2 or not 1 <= num_starts <= num_candidates or num_steps < 0:
        raise ValueError(
            "need at least 2 candidates, 1 start and no more starts than candidates, and at least 0 steps; "
            f"got {num_candidates}, {num_starts} and {num_steps}"
        )
    if layer is not None and not num_steps:
        raise ValueError("num_steps must be at least 1 to find a residual; got 0; raise it or omit layer")


def _check_request(generator: Generator, images: Tensor, space: str, layer: str | None, noise: bool) -> None:
    """Check the pictures and options of an inversion.

    Raises:
        KeyError: If there is no such layer.
        ValueError: If the pictures do not fit, or the generator has no such space or no noise.
    """
    check_mode(generator)
    if space not in INVERSION_SPACES:
        raise ValueError(unknown_name_message("latent space", space, INVERSION_SPACES))
    if space != "z":
        require_w(generator)
    if noise and (space == "z" or not capabilities(generator).has_noise):
        raise ValueError(
            f"noise can be inverted only in w or ws of a generator that has noise; got {space} of {generator.name}"
        )
    if layer is not None:
        lookup(generator.layers, layer, "layer")
    size = generator.image_size
    if not isinstance(images, Tensor) or not images.is_floating_point() or images.ndim != 4 or not len(images):
        got = f"{images.dtype} {list(images.shape)}" if isinstance(images, Tensor) else type(images).__name__
        raise ValueError(f"pictures must be float [picture, 3, {size[0]}, {size[1]}] in [-1, 1]; got {got}")
    if tuple(images.shape[1:]) != (3, *size):
        raise ValueError(
            f"pictures must have the size of {generator.name}, {[3, *size]}; got {list(images.shape[1:])}; crop and "
            "resize them"
        )
    if not bool((images.abs() <= 1).all()):
        raise ValueError(
            f"pictures must be in [-1, 1]; got {float(images.min()):g} to {float(images.max()):g} "
            "(use x / 127.5 - 1 for 0 to 255, and clamp images of a generator)"
        )


def _check_gradients(
    generator: Generator, coordinates: Coordinates, start: Tensor, features: FeatureExtractor | None
) -> None:
    """Check that the generator and the features are differentiable.

    Raises:
        ValueError: If one of them is not differentiable; the message states the remedy.
    """
    free = start.clone().requires_grad_()
    try:
        images = coordinates.images(generator, free)
        (slope,) = torch.autograd.grad(images.sum(), free)
    except RuntimeError as error:
        raise ValueError(
            f"no gradients flow through {generator.name}; load it outside torch.inference_mode, "
            f"run it without no_grad, or pass num_steps=0 for the best sample ({str(error).splitlines()[0]})"
        ) from error
    if not bool(slope.isfinite().all()):
        raise ValueError(f"gradients of {generator.name} must be finite; got a NaN or infinite number")
    if features is not None and not all(part.requires_grad for part in as_list(features(images.clamp(-1, 1)))):
        raise ValueError("no gradients flow through the features; compute them without no_grad, or omit features")


@torch.no_grad()
def _reconstruct_pixels(
    generator: Generator, latents: Tensor, maps: NoiseMaps, layer: str | None, residual: Tensor | None
) -> Tensor:
    """Return the reconstructions as uint8 on CPU."""
    return _to_pixels(reconstruct(generator, latents, maps, residual_edits(layer, residual)))


def _to_pixels(images: Tensor) -> Tensor:
    """Return images in [-1, 1] as uint8 on CPU."""
    return to_uint8(images.detach()).cpu()
