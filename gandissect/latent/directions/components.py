"""Find the directions along which w, or a layer's activations, vary most: principal components.

The samples are processed in one pass, a batch at a time. For n rows x with mean m, the state is m, the sum of squares
``sum |x - m|^2``, and rows F with ``F^T F = sum (x - m)^T (x - m)``. The states of two sets of n and k rows merge to

    F' = [F_n; F_k; sqrt(n k / (n + k)) (m_k - m_n)].

F is reduced to its leading singular vectors whenever it grows long. Nothing is lost if the rank that is kept is that of
the data, as in w; for longer activations the lost share of the variance is reported.

Source: Haerkoenen et al. 2020 (GANSpace, arXiv 2004.02546); merging: Ross et al. 2008, "Incremental
learning for robust visual tracking".
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from ...core.lookup import lookup
from ...core.protocols import Generator, check_mode
from ...core.rows import noise_length
from ...core.sampling import check_seed, derive_seed
from ...inference.batches import sample_blocks
from ..spaces import as_w, split_row
from .direction import ROUNDING, Direction, fix_signs, pad_noise, ws_shape

MAX_EXACT = 1_024
"""Maximum length of vectors for which all components are kept."""

MAX_KEPT = 256
"""Number of components that are kept for longer vectors."""

BATCH = 64
"""Samples per batch."""

MAX_BYTES = 4 * 2**30
"""Maximum memory of the rows that are kept, in bytes."""

NEGLIGIBLE = 1e-6
"""Strength relative to the first component below which a component is rounding error."""


@dataclass(frozen=True, slots=True, eq=False)
class Components:
    """Principal components.

    Args:
        mean: Mean of the rows, float64 ``[length]``.
        vectors: Orthonormal components, float64 ``[component, length]``; the entry of largest absolute value is
            positive.
        stdevs: Standard deviations along the components, in descending order, float64 ``[component]``.
        shares: Shares of the total variance, float64 ``[component]``.
        lost: Share of the total variance that was discarded and may be missing from ``stdevs``.
    """

    mean: Float64[Tensor, " length"]
    vectors: Float64[Tensor, "component length"]
    stdevs: Float64[Tensor, " component"]
    shares: Float64[Tensor, " component"]
    lost: float


class StreamingComponents:
    """Computes principal components of rows that arrive in batches.

    Args:
        length: Length of a row.
        rank: Number of components to keep; by default all for rows of up to 1,024 entries, else 256.

    Raises:
        ValueError: If the state needs more than 4 GiB.
    """

    def __init__(self, length: int, rank: int | None = None) -> None:
        self.rank = (length if length <= MAX_EXACT else MAX_KEPT) if rank is None else rank
        if (num_bytes := 8 * length * (2 * self.rank + BATCH + 1)) > MAX_BYTES:
            raise ValueError(
                f"{self.rank} components of length {length:,} must fit in {MAX_BYTES // 2**30} GiB; "
                f"got {num_bytes / 2**30:.1f} GiB; use a layer with fewer or smaller maps"
            )
        self.count = torch.zeros((), dtype=torch.int64, device="cpu")
        self.mean = torch.zeros(length, dtype=torch.float64, device="cpu")
        self.squares = torch.zeros((), dtype=torch.float64, device="cpu")
        self.rows = torch.zeros(0, length, dtype=torch.float64, device="cpu")

    def update(self, rows: Float[Tensor, "batch length"]) -> None:
        """Add a batch of rows, ``[batch, length]``.

        Raises:
            ValueError: If the rows have another length, or a number is not finite.
        """
        rows = rows.cpu().double()
        if rows.ndim != 2 or rows.shape[1] != len(self.mean):
            raise ValueError(f"rows must be [batch, {len(self.mean)}]; got {list(rows.shape)}")
        wrong = (~rows.isfinite()).any(1).nonzero()
        if len(wrong):
            sample = int(self.count) + int(wrong[0])
            raise ValueError(f"rows must be finite; got a NaN or infinite number in sample {sample}")
        if len(rows):
            mean = rows.mean(0)
            count = torch.tensor(len(rows), dtype=torch.int64, device="cpu")
            self._add(count, mean, (rows - mean).square().sum(), rows - mean)

    def merge(self, other: StreamingComponents) -> None:
        """Add the rows of another instance.

        Raises:
            ValueError: If its rows have another length.
        """
        if other.mean.shape != self.mean.shape:
            raise ValueError(f"rows must have the same length to be merged; got {len(self.mean)} and {len(other.mean)}")
        if int(other.count):
            self._add(other.count, other.mean, other.squares, other.rows)

    def compute(self) -> Components:
        """Return the components whose variance exceeds rounding error.

        Raises:
            ValueError: If there are fewer than 2 rows, or all are the same.
        """
        if int(self.count) < 2:
            raise ValueError(f"components need at least 2 samples; got {int(self.count)}")
        _, lengths, vectors = torch.linalg.svd(self.rows, full_matrices=False)
        size = float(self.mean.norm()) * math.sqrt(int(self.count))  # the scale of rounding errors
        significant = (lengths > NEGLIGIBLE * lengths[0]) & (lengths > ROUNDING * size)
        lengths, vectors = lengths[significant][: self.rank], vectors[significant][: self.rank]
        if not len(lengths):
            raise ValueError("samples must differ to have components; got the same for all")
        shares = lengths.square() / self.squares
        stdevs = lengths / math.sqrt(int(self.count) - 1)
        return Components(self.mean.clone(), fix_signs(vectors), stdevs, shares, max(0.0, 1 - float(shares.sum())))

    def state(self) -> dict[str, Tensor]:
        """Return a copy of the state."""
        return {name: getattr(self, name).clone() for name in ("count", "mean", "squares", "rows")}

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Restore a state that `state` returned."""
        for name, value in state.items():
            setattr(self, name, value.clone())

    def _add(self, count: Tensor, mean: Tensor, squares: Tensor, rows: Tensor) -> None:
        """Merge the state of other rows."""
        total = self.count + count
        weight = int(self.count) * int(count) / int(total)
        shift = mean - self.mean
        self.rows = torch.cat([self.rows, rows, math.sqrt(weight) * shift[None]])
        self.squares = self.squares + squares + weight * shift.square().sum()
        self.mean = self.mean + shift * (int(count) / int(total))
        self.count = total
        if len(self.rows) > 2 * self.rank:
            self.rows = _reduce_rank(self.rows, self.rank)


def _reduce_rank(rows: Tensor, rank: int) -> Tensor:
    """Return at most ``rank`` rows with nearly the same ``F^T F``: leading singular vectors times singular values.

    If there are fewer rows than columns, they are ``U^T F`` for eigenvectors U of ``F F^T``, which is much faster.
    """
    if len(rows) < rows.shape[1]:
        _, vectors = torch.linalg.eigh(rows @ rows.T)
        reduced: Tensor = vectors.T.flip(0)[:rank] @ rows
    else:
        _, lengths, vectors = torch.linalg.svd(rows, full_matrices=False)
        reduced = lengths[:rank, None] * vectors[:rank]
    return reduced


@torch.inference_mode()
def component_directions(
    generator: Generator,
    num_directions: int = 5,
    layer: str | None = None,
    num_samples: int = 5_000,
    seed: int = 0,
    *,
    in_z: bool = False,
    progress: bool = True,
) -> tuple[Direction, ...]:
    """Return the directions along which w, or a layer's activations, vary most.

    The score of a direction is its share of the variance, and a step is its standard deviation.

    Args:
        generator: Generator whose w or activations are analyzed.
        num_directions: Number of directions, at least 1.
        layer: Layer whose activations are analyzed; by default w.
        num_samples: Number of latent vectors, at least 2. They differ from ``generator.sample_z(n, seed)``.
        seed: Seed of the latent vectors.
        in_z: For a layer, return directions in z: the rows of the U that minimizes ``|Z - X U|^2``, where Z are the
            latent vectors (their noise, where there are classes) and X the coordinates of their activations, in
            standard deviations.
        progress: Show a progress bar.

    Raises:
        KeyError: If there is no such layer.
        ValueError: If a number is out of range, or no layer is named and the generator has no w.

    Source: Haerkoenen et al. 2020 (arXiv 2004.02546).
    """
    seed = check_seed(seed)
    check_mode(generator)
    if num_directions < 1:
        raise ValueError(f"num_directions must be at least 1; got {num_directions}")
    if layer is None and in_z:
        raise ValueError("in_z needs a layer, as only components of activations can be mapped back to z; name a layer")
    stream = _RowStream(generator, layer, num_samples, derive_seed(seed, "components"), progress)
    statistic = StreamingComponents(stream.length)
    for _, rows in stream.rows("components"):
        statistic.update(rows)
    components = statistic.compute()
    if num_directions > len(components.stdevs):
        raise ValueError(
            f"num_directions must be at most {len(components.stdevs)}, the number of components; got {num_directions}"
        )
    vectors = _map_to_z(stream, components, num_directions) if in_z else components.vectors[:num_directions]
    return tuple(
        Direction.of(
            generator,
            f"{'pca' if layer is None else f'pca-{layer}'}{'-z' if in_z else ''}-{number + 1}",
            vectors[number].view(stream.shape) if not in_z else vectors[number],
            space="z" if in_z else stream.space,
            layer=None if in_z else layer,
            sigma=1.0 if in_z else float(components.stdevs[number]),
            method="components",
            score=min(1.0, float(components.shares[number])),  # rounding may push it above 1
            num_samples=num_samples,
            seed=seed,
        )
        for number in range(num_directions)
    )


@dataclass(frozen=True, slots=True)
class _RowStream:
    """The rows whose components are computed."""

    generator: Generator
    layer: str | None
    num_samples: int
    seed: int
    progress: bool

    @property
    def space(self) -> str:
        return "w" if self.layer is None else "activation"

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape that a row was flattened from."""
        if self.layer is None:
            return (ws_shape(self.generator)[1],)
        info = lookup(self.generator.layers, self.layer, "layer")
        return info.units, info.height, info.width

    @property
    def length(self) -> int:
        return math.prod(self.shape)

    def rows(self, title: str) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield latent vectors and their rows."""
        samples = [range(self.num_samples)]
        for _, z in sample_blocks(self.generator, samples, self.seed, BATCH, title, progress=self.progress):
            values = as_w(self.generator, z)[:, 0] if self.layer is None else self.generator.head(z, self.layer)
            yield z, values.flatten(1)


def _map_to_z(stream: _RowStream, components: Components, count: int) -> Tensor:
    """Return the directions in z that correspond to the first components, ``[component, z_dim]``."""
    squares = torch.zeros(count, count, dtype=torch.float64, device="cpu")
    products = torch.zeros(count, noise_length(stream.generator), dtype=torch.float64, device="cpu")
    for z, rows in stream.rows("back to z"):
        x = (rows.cpu().double() - components.mean) @ components.vectors[:count].T / components.stdevs[:count]
        squares += x.T @ x
        products += x.T @ split_row(stream.generator, z)[0].cpu().double()
    return pad_noise(stream.generator, torch.linalg.solve(squares, products))
