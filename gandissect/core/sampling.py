"""Seeded randomness: every draw is a function of (seed, stream, index), whatever came before it.

A latent vector depends on its seed and its own index only, so samples do not change with the batch
size, the number of devices, or how many are asked for.
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
"""Samples that are drawn for one measurement at most, which is days of work; more are a slip of the keyboard."""


def check_num_samples(num_samples: int) -> None:
    """Check that a number of samples can be drawn within days.

    Raises:
        ValueError: If it is no whole number, or more than `MAX_SAMPLES`.
    """
    _check_whole("num_samples", num_samples)
    if num_samples > MAX_SAMPLES:
        raise ValueError(f"{MAX_SAMPLES:,} samples can be drawn at most; got {num_samples:,}")


def check_seed(seed: int) -> int:
    """Return a seed as Python's own number, whether it is Python's, NumPy's or a tensor of one.

    Args:
        seed: Any whole number.

    Raises:
        ValueError: If it is no whole number, such as 1.5, "7" or True.
    """
    return _check_whole("seed", seed)


def _check_whole(name: str, value: int) -> int:
    """Return a whole number as Python's own, or raise ValueError."""
    if isinstance(value, bool | np.bool_) or not hasattr(value, "__index__"):
        raise ValueError(f"{name} must be a whole number; got {value!r}")
    try:
        return operator.index(value)
    except TypeError as error:  # of an array, or of a tensor of floating-point numbers
        raise ValueError(f"{name} must be a whole number; got {value!r}") from error


def derive_seed(seed: int, *stream: str | int) -> int:
    """Return a 63-bit seed that depends on all arguments and on nothing else.

    Args:
        seed: The user's seed, any integer.
        stream: What the numbers are for, e.g. ``("z", 17)``.

    Raises:
        ValueError: If the seed is no whole number.
    """
    text = repr((check_seed(seed), *stream)).encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "little") >> 1


def make_rng(seed: int, *stream: str | int, device: torch.device | str = "cpu") -> torch.Generator:
    """Return a random generator for one stream of draws.

    Args:
        seed: The user's seed.
        stream: What the numbers are for, e.g. ``("augment", step)``.
        device: Where it draws; each kind of device has numbers of its own.
    """
    return torch.Generator(device).manual_seed(derive_seed(seed, *stream))


def sample_z(num_samples: int, z_dim: int, seed: int = 0, start: int = 0) -> Float32[Tensor, "batch z"]:
    """Draw standard normal latent vectors, row by row.

    Args:
        num_samples: How many, 0 or more.
        z_dim: Length of each, 1 or more.
        seed: Which sequence.
        start: Index of the first row; row ``i`` depends on ``(seed, start + i)`` only.

    Returns:
        float32 ``[num_samples, z_dim]`` on CPU.

    Raises:
        ValueError: If a number is not whole or is out of range.
    """
    num_samples, start = _check_whole("num_samples", num_samples), _check_whole("start", start)
    if num_samples < 0 or z_dim < 1 or start < 0:
        raise ValueError(f"need num_samples >= 0, z_dim >= 1, start >= 0; got {num_samples}, {z_dim}, {start}")
    seed = check_seed(seed)
    check_num_samples(num_samples)
    z = torch.empty(num_samples, z_dim, dtype=torch.float32, device="cpu")
    for row in range(num_samples):
        z[row].normal_(generator=make_rng(seed, "z", start + row))
    return z


def blocks(num_samples: int, size: int, start: int = 0) -> Iterator[range]:
    """Cut samples ``start .. start + num_samples - 1`` into blocks aligned to the sample index.

    A block never crosses a multiple of ``size``, so that rounding is the same however work is divided.

    Args:
        num_samples: How many samples, 0 or more.
        size: Samples a block, 1 or more.
        start: Index of the first sample.

    Raises:
        ValueError: If a count is out of range.
    """
    if num_samples < 0 or size < 1 or start < 0:
        raise ValueError(f"need num_samples >= 0, size >= 1, start >= 0; got {num_samples}, {size}, {start}")
    stop = start + num_samples
    while start < stop:
        end = min(stop, (start // size + 1) * size)
        yield range(start, end)
        start = end
