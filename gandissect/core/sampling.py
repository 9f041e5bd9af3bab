"""Seeded randomness: every draw is a function of (seed, stream, index), independent of earlier draws.

A latent vector depends only on its seed and its own index, so samples do not change with the batch size, the number of
devices or the number of samples requested.
"""

from __future__ import annotations

import hashlib
import operator
from collections.abc import Iterator

import numpy as np
import torch
from jaxtyping import Float32
from torch import Tensor

MAX_SAMPLES = 100_000_000
"""Maximum number of samples per measurement, which already takes days; a larger number must be a typo."""


def check_num_samples(num_samples: int) -> None:
    """Check that a number of samples is small enough to be drawn.

    Raises:
        ValueError: If it is not an integer, or is larger than `MAX_SAMPLES`.
    """
    _check_whole("num_samples", num_samples)
    if num_samples > MAX_SAMPLES:
        raise ValueError(f"num_samples must be at most {MAX_SAMPLES:,}; got {num_samples:,}")


def check_seed(seed: int) -> int:
    """Return a seed as a Python int, from an integer of Python, NumPy or a one-element tensor.

    Args:
        seed: Any integer.

    Raises:
        ValueError: If the seed is not an integer, such as 1.5, "7" or True.
    """
    return _check_whole("seed", seed)


def _check_whole(name: str, value: int) -> int:
    """Return an integer as a Python int, or raise ValueError."""
    if isinstance(value, bool | np.bool_) or not hasattr(value, "__index__"):
        raise ValueError(f"{name} must be an integer; got {value!r}")
    try:
        return operator.index(value)
    except TypeError as error:  # an array, or a floating-point tensor
        raise ValueError(f"{name} must be an integer; got {value!r}") from error


def derive_seed(seed: int, *stream: str | int) -> int:
    """Return a 63-bit seed that depends on all of the arguments and nothing else.

    Args:
        seed: The user's seed, any integer.
        stream: Purpose of the random numbers, e.g. ``("z", 17)``.

    Raises:
        ValueError: If the seed is not an integer.
    """
    text = repr((check_seed(seed), *stream)).encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "little") >> 1


def make_rng(seed: int, *stream: str | int, device: torch.device | str = "cpu") -> torch.Generator:
    """Return a random generator for one stream of draws.

    Args:
        seed: The user's seed.
        stream: Purpose of the random numbers, e.g. ``("augment", step)``.
        device: Device that draws the numbers; each kind of device draws different ones.
    """
    return torch.Generator(device).manual_seed(derive_seed(seed, *stream))


def sample_z(num_samples: int, z_dim: int, seed: int = 0, start: int = 0) -> Float32[Tensor, "batch z"]:
    """Draw standard normal latent vectors, row by row.

    Args:
        num_samples: Number of latent vectors, at least 0.
        z_dim: Length of a latent vector, at least 1.
        seed: Seed of the latent vectors.
        start: Index of the first row; row ``i`` depends only on ``(seed, start + i)``.

    Returns:
        float32 ``[num_samples, z_dim]`` on CPU.

    Raises:
        ValueError: If an argument is not an integer or is out of range.

    Examples:
        >>> import gandissect, torch
        >>> z = gandissect.sample_z(8, z_dim=16, seed=1)
        >>> torch.equal(gandissect.sample_z(4, z_dim=16, seed=1, start=4), z[4:])
        True
    """
    num_samples, start = _check_whole("num_samples", num_samples), _check_whole("start", start)
    if num_samples < 0 or z_dim < 1 or start < 0:
        raise ValueError(
            f"num_samples and start must be at least 0, and z_dim at least 1; got {num_samples}, {start} and {z_dim}"
        )
    seed = check_seed(seed)
    check_num_samples(num_samples)
    z = torch.empty(num_samples, z_dim, dtype=torch.float32, device="cpu")
    for row in range(num_samples):
        z[row].normal_(generator=make_rng(seed, "z", start + row))
    return z


def blocks(num_samples: int, size: int, start: int = 0) -> Iterator[range]:
    """Cut samples ``start .. start + num_samples - 1`` into blocks aligned to the sample index.

    A block never crosses a multiple of ``size``, so that rounding is the same however the work is divided.

    Args:
        num_samples: Number of samples, at least 0.
        size: Number of samples per block, at least 1.
        start: Index of the first sample, at least 0.

    Raises:
        ValueError: If a count is out of range.
    """
    if num_samples < 0 or size < 1 or start < 0:
        raise ValueError(
            f"num_samples and start must be at least 0, and size at least 1; got {num_samples}, {start} and {size}"
        )
    stop = start + num_samples
    while start < stop:
        end = min(stop, (start // size + 1) * size)
        yield range(start, end)
        start = end
