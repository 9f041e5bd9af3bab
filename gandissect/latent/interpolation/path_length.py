"""Perceptual path length: how fast images change along the path from one latent vector to another.

For random latent vectors a and b, t uniform in [0, 1], a path ``x(t)`` between a and b, and features f of images,

    l = E[ |f(G(x(t + eps))) - f(G(x(t)))|^2 / eps^2 ].

The path is slerp in z and lerp in w. Where there are classes, both ends have that of a. Values are comparable only for
the same feature network.

Source: Karras et al. 2019, Sec. 4.1, Eq. 2 and 3.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from ...core.display import Displayed, format_error
from ...core.network_id import NetworkId
from ...core.progress import progress_bar
from ...core.protocols import Features, Generator, check_mode
from ...core.sampling import blocks, check_num_samples, check_seed, make_rng
from ...stats.intervals import Z_95
from ...storage.saved import SavedResult
from ..spaces import SPACES, as_w, capabilities, check_space, on_shell, split_row
from .paths import lerp, slerp

BATCH = 16
"""Pairs of images per batch."""

MIN_EPSILON = 1e-6
"""Minimum step."""

MIN_KEPT = 2
"""Minimum number of values to compute a mean and its standard error from."""


@dataclass(frozen=True, slots=True, repr=False)
class PathLength(SavedResult, Displayed):
    """A perceptual path length.

    Args:
        mean: Mean of the values that were kept, in squared units of the features.
        stderr: Standard error of the mean.
        network: The feature network's name.
        space: Latent space of the paths, ``"z"`` or ``"w"``.
        num_samples: Number of pairs of latent vectors.
        num_clipped: Number of pairs that were left out as the smallest and largest values.
        epsilon: Step along the path.
        clip: Share of the values that was left out on either side.
        at_ends: Whether t is 0 instead of uniform in [0, 1].
        seed: Seed of the latent vectors and of t.
        generator: The generator's name and fingerprint.
    """

    FILE_NAME: ClassVar[str] = "path_length.safetensors"
    VERSION: ClassVar[int] = 1

    mean: float
    stderr: float
    network: str
    space: str
    num_samples: int
    num_clipped: int
    epsilon: float
    clip: float
    at_ends: bool
    seed: int
    generator: NetworkId

    def __post_init__(self) -> None:
        if not (math.isfinite(self.mean) and self.mean >= 0 and math.isfinite(self.stderr) and self.stderr >= 0):
            raise ValueError(f"mean and stderr must be finite and at least 0; got {self.mean} and {self.stderr}")
        _check_settings(self.epsilon, self.clip)
        if self.space not in SPACES or not 0 <= self.num_clipped <= self.num_samples - MIN_KEPT:
            got = f"{self.num_clipped} of {self.num_samples} clipped in {self.space!r}"
            raise ValueError(f"at least {MIN_KEPT} values must be kept, in {' or '.join(SPACES)}; got {got}")

    @property
    def low(self) -> float:
        """Lower end of the 95% interval."""
        return max(0.0, self.mean - Z_95 * self.stderr)

    @property
    def high(self) -> float:
        """Upper end of the 95% interval."""
        return self.mean + Z_95 * self.stderr

    def __str__(self) -> str:
        where = f"{self.space}, ends" if self.at_ends else self.space
        return (
            f"path length in {where} ({self.network}, n={self.num_samples}, eps={self.epsilon:g}, clip={self.clip:g}) "
            f"{self.mean:.4g}, 95% interval {self.low:.4g} to {self.high:.4g}"
        )

    def _summarize(self) -> str:
        return f"{format_error(self.mean, self.stderr)} in {self.space}, {self.network}, n={self.num_samples}"


def path_length(
    generator: Generator,
    network: str,
    features: Features,
    space: str = "z",
    num_samples: int = 1_000,
    seed: int = 0,
    *,
    epsilon: float = 1e-4,
    clip: float = 0.01,
    at_ends: bool = False,
    progress: bool = True,
) -> PathLength:
    """Measure a generator's perceptual path length.

    Args:
        generator: Any generator.
        network: The feature network's name.
        features: Function of the generator's images that returns features ``[batch, d]``.
        space: ``"z"``, or ``"w"`` if the generator has it.
        num_samples: Number of pairs of latent vectors; at least 2 must be left after clipping.
        seed: Seed of the latent vectors and of t. A value depends only on the seed and its index, up to rounding in
            the last, smaller batch.
        epsilon: Step along the path, in [1e-6, 1]; small steps are limited by the precision of float32.
        clip: Share of the smallest, and of the largest, values to leave out, in [0, 0.5).
        at_ends: Use t = 0.
        progress: Show a progress bar.

    Raises:
        ValueError: If a number is out of range, there is no such space, or a feature is not finite.

    Source: Karras et al. 2019, Sec. 4.1; the error of a clipped mean: Tukey and McLaughlin 1963.
    """
    seed = check_seed(seed)
    check_mode(generator)
    check_space(generator, space)
    _check_settings(epsilon, clip)
    check_num_samples(num_samples)
    num_per_side = int(num_samples * clip)
    if num_samples - 2 * num_per_side < MIN_KEPT:
        raise ValueError(f"at least {MIN_KEPT} values must be left to average; got {num_samples} samples and {clip=}")
    parts = []
    with torch.inference_mode(), progress_bar(num_samples, "path length", show=progress, unit="pair") as bar:
        for part in blocks(num_samples, BATCH):
            t = torch.zeros(len(part), dtype=torch.float32, device="cpu") if at_ends else _draw_positions(seed, part)
            changes = _squared_changes(generator, features, *_point_pairs(generator, space, seed, part, t, epsilon))
            if not bool(changes.isfinite().all()):
                wrong = part[int((~changes.isfinite()).nonzero()[0])]
                raise ValueError(
                    f"{network} returned a feature that is not finite for pair {wrong} of {generator.name}"
                )
            parts.append(changes / epsilon**2)
            bar.update(len(part))
    mean, stderr = clipped_mean(torch.cat(parts), num_per_side)
    settings = (network, space, num_samples, 2 * num_per_side, epsilon, clip, at_ends, seed)
    return PathLength(mean, stderr, *settings, NetworkId.of(generator))


def _check_settings(epsilon: float, clip: float) -> None:
    """Raise ValueError if a number is out of range."""
    if not MIN_EPSILON <= epsilon <= 1 or not 0 <= clip < 0.5:
        raise ValueError(
            f"epsilon must be in [{MIN_EPSILON:g}, 1], as float32 resolves no smaller steps, and clip in [0, 0.5); "
            f"got {epsilon} and {clip}"
        )


def clipped_mean(values: Float[Tensor, " n"], num_per_side: int) -> tuple[float, float]:
    """Return the trimmed mean of values and its standard error.

    The standard error is ``s_w / ((1 - 2 g) sqrt(n))``, where g is the share that is left out on either side and s_w
    the standard deviation after each of these values is replaced by the nearest value that is kept.

    Args:
        values: Values to average, ``[n]``.
        num_per_side: Number of values to leave out on either side; at least 2 must remain.

    Source: Tukey and McLaughlin 1963.
    """
    kept = values.double().sort().values[num_per_side : len(values) - num_per_side]
    nearest = torch.cat([kept[:1].expand(num_per_side), kept, kept[-1:].expand(num_per_side)])
    return float(kept.mean()), float(nearest.std()) * math.sqrt(len(values)) / len(kept)


def _draw_positions(seed: int, part: range) -> Tensor:
    rngs = (make_rng(seed, "path length", index) for index in part)
    return torch.cat([torch.rand(1, generator=rng, dtype=torch.float32, device="cpu") for rng in rngs])


def _point_pairs(
    generator: Generator, space: str, seed: int, part: range, t: Tensor, epsilon: float
) -> tuple[Tensor, Tensor]:
    """Return the points at ``t`` and ``t + epsilon`` on paths from latent vectors of even index to odd ones."""
    z = generator.sample_z(2 * len(part), seed, 2 * part.start)
    positions = [position.double()[:, None] for position in (t, t.double() + epsilon)]
    if space == "z":
        noise, classes = split_row(generator, z)
        noise = on_shell(noise) if capabilities(generator).normalizes_z else noise
        points = (slerp(noise[0::2], noise[1::2], position) for position in positions)
        here, there = (torch.cat([point, classes[0::2]], dim=1) for point in points)
    else:
        w = as_w(generator, z)
        here, there = (lerp(w[0::2], w[1::2], position[:, None]) for position in positions)
    return here, there


def _squared_changes(generator: Generator, features: Features, here: Tensor, there: Tensor) -> Tensor:
    """Return the squared distances of features, float64 ``[batch]`` on CPU."""
    values = features(generator(torch.cat([here, there]))).cpu().double()
    return (values[len(here) :] - values[: len(here)]).square().flatten(1).sum(dim=1)
