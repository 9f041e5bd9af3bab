"""Directions of a generator's latent space, and their files.

Source: Shen et al. 2020 (InterFaceGAN, arXiv 2005.09635); steps in standard deviations: Haerkoenen et al. 2020
(GANSpace, arXiv 2004.02546).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import torch
from jaxtyping import Float, Float64
from torch import Tensor
from torch.nn import functional

from ...core.display import Displayed
from ...core.lookup import lookup, unknown_name_message
from ...core.network_id import NetworkId
from ...core.protocols import Generator, check_mode
from ...core.rows import noise_length
from ...core.sampling import blocks, derive_seed
from ...storage.files import check_new_file, write_json
from ...storage.saved import SavedResult, detached_copy, plain_entries, result_path
from ..spaces import as_w

DIRECTION_SPACES = ("z", "w", "activation")
"""Spaces that a direction can be in."""

SPREAD_SAMPLES = 1_000
"""Number of latent vectors on which a standard deviation in w or activations is measured."""

BATCH = 64
"""Samples per batch."""

ROUNDING = 1e-12
"""Relative variation that is attributed to rounding."""

UNIT = 1e-6
"""Tolerance for the length of a unit vector."""


@dataclass(frozen=True, slots=True)
class Label:
    """The effect of a step along a direction on a concept.

    Args:
        concept: Name of the concept.
        slope: Mean change of the concept's share of all pixels per step.
        stderr: Standard error of the slope over images.
        segmenter: Name of the segmenter.
        num_samples: Number of images.
    """

    concept: str
    slope: float
    stderr: float
    segmenter: str
    num_samples: int

    def __post_init__(self) -> None:
        if not math.isfinite(self.slope) or not 0 <= self.stderr < math.inf or self.num_samples < 2:
            got = f"{self.slope}, {self.stderr} and {self.num_samples}"
            raise ValueError(
                f"a label must have a finite slope, a stderr of at least 0, and at least 2 images; got {got}"
            )


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Direction(SavedResult, Displayed):
    """A direction of the latent space of one generator.

    Args:
        name: Name of the direction.
        generator: The generator's name and fingerprint.
        space: ``z``, ``w`` or ``activation``.
        ws: In w, the entries of ``ws`` that the direction moves, in ascending order; else empty.
        layer: Layer whose activations the direction moves; None in z and w.
        vector: Unit vector, float64 ``[z_dim]``, ``[w_dim]`` or ``[unit, h, w]``.
        sigma: Length of one step: the standard deviation of the space along the vector, above 0.
        method: Method that found the direction.
        score: Score of the method, at most 1: share of the squared weights (closed form), share of the variance
            (components), or held-out R^2 or accuracy (boundaries); None if it was not measured.
        num_samples: Number of latent vectors that the direction was found on; 0 if the method uses no samples.
        seed: Seed of the latent vectors.
        labels: Effect of a step on concepts, the one that changes most first.

    Raises:
        ValueError: If the values are inconsistent.
    """

    FILE_NAME: ClassVar[str] = "direction.safetensors"
    VERSION: ClassVar[int] = 1

    name: str
    generator: NetworkId
    space: str
    ws: tuple[int, ...]
    layer: str | None
    vector: Float64[Tensor, " length"] | Float64[Tensor, "unit h w"]
    sigma: float
    method: str
    score: float | None
    num_samples: int
    seed: int
    labels: tuple[Label, ...] = ()

    def __post_init__(self) -> None:
        if self.space not in DIRECTION_SPACES:
            raise ValueError(unknown_name_message("space", self.space, DIRECTION_SPACES))
        if not self.name:
            raise ValueError("name must not be empty")
        dims = 3 if self.space == "activation" else 1
        if self.vector.dtype != torch.float64 or self.vector.ndim != dims:
            shape = "[unit, h, w]" if dims == 3 else "[length]"
            got = f"{self.vector.dtype} {list(self.vector.shape)}"
            raise ValueError(f"vector of a direction in {self.space} must be float64 {shape}; got {got}")
        length = float(self.vector.norm())
        if not abs(length - 1) <= UNIT:
            raise ValueError(f"vector must have length 1; got {length:g}")
        if not 0 < self.sigma < math.inf or (self.score is not None and not -math.inf < self.score <= 1):
            raise ValueError(f"sigma must be above 0, and score at most 1; got {self.sigma} and {self.score}")
        if self.num_samples < 0:
            raise ValueError(f"num_samples must be at least 0; got {self.num_samples}")
        if (self.space == "w") != bool(self.ws) or (self.space == "activation") != (self.layer is not None):
            details = f"ws {list(self.ws)} and layer {self.layer!r}"
            raise ValueError(
                "a direction in w must name entries of ws, one in activation a layer, and one in z neither; "
                f"got {self.space}, {details}"
            )
        if list(self.ws) != sorted({index for index in self.ws if index >= 0}):
            raise ValueError(f"ws must be nonnegative indices in ascending order; got {list(self.ws)}")
        object.__setattr__(self, "vector", detached_copy(self.vector))

    @staticmethod
    def of(
        generator: Generator,
        name: str,
        vector: Float[Tensor, " length"] | Float[Tensor, "unit h w"],
        *,
        space: str,
        ws: Sequence[int] = (),
        layer: str | None = None,
        sigma: float | None = None,
        method: str = "given",
        score: float | None = None,
        num_samples: int = 0,
        seed: int = 0,
    ) -> Direction:
        """Return the direction of a vector, which is scaled to length 1.

        Args:
            generator: Generator that the direction belongs to.
            name: Name of the direction.
            vector: Nonzero vector, ``[z_dim]``, ``[w_dim]`` or ``[unit, h, w]``.
            space: ``z``, ``w`` or ``activation``.
            ws: In w, the entries of ``ws`` that the direction moves; all by default.
            layer: In activation, the layer whose activations the direction moves.
            sigma: Length of one step; by default 1 in z, and the measured standard deviation in w and activation.
            method: Method that found the direction.
            score: Score of the method, at most 1; None if it was not measured.
            num_samples: Number of latent vectors that the direction was found on.
            seed: Seed of the latent vectors.

        Raises:
            KeyError: If there is no such layer.
            ValueError: If the vector is 0 or does not fit the space, or an index is out of range.
        """
        vector = vector.detach().cpu().double()
        length = float(vector.norm())
        if not 0 < length < math.inf:
            raise ValueError(f"vector must be finite and not 0; got one of length {length:g}")
        if space == "w" and not ws:
            ws = range(ws_shape(generator)[0])
        facts = (name, NetworkId.of(generator), space, tuple(sorted(ws)), layer, vector / length)
        direction = Direction(*facts, 1.0 if sigma is None else sigma, method, score, num_samples, seed)
        check_direction(generator, direction)
        return replace(direction, sigma=measure_spread(generator, direction, seed)) if sigma is None else direction

    def save(self, place: Path | str, *, overwrite: bool = False) -> Path:
        """Save the direction, with a human-readable ``.json`` next to it, which is never read.

        Args:
            place: Folder, or file if the name ends in ``.safetensors``.
            overwrite: Replace another direction and its ``.json``.

        Returns:
            The path of the file.

        Raises:
            FileExistsError: If there is a file with other content.
        """
        path = result_path(place, self.FILE_NAME)
        json_path = path.with_suffix(".json")
        if not path.exists():
            check_new_file(json_path, overwrite=overwrite)
        SavedResult.save(self, path, overwrite=overwrite)
        write_json(json_path, Direction.load(path).facts(), overwrite=True)  # loading turns all numbers into plain ones
        return path

    def facts(self) -> dict[str, Any]:
        """Return all fields but the vector as plain values."""
        entries = plain_entries(self)
        del entries["vector"]
        return entries | {"shape": list(self.vector.shape)}

    def check_generator(self, generator: Generator) -> None:
        """Check that the direction belongs to a generator.

        Raises:
            KeyError: If the generator has no such layer.
            ValueError: If its weights differ, or its space has another size.
        """
        self.generator.check(generator, f"direction {self.name!r}")
        check_direction(generator, self)

    def __str__(self) -> str:
        """Return the name, the space, and the effect of a step."""
        places = {"z": "z", "w": f"w {_format_ranges(self.ws)}", "activation": f"the activations of {self.layer}"}
        effects = ", ".join(f"{label.concept} {100 * label.slope:+.2f}%" for label in self.labels)
        return f"{self.name} (in {places[self.space]}): {effects or 'no label'}"

    def _summarize(self) -> str:
        place = self.layer or (f"w {_format_ranges(self.ws)}" if self.ws else "z")
        does = ", ".join(f"{label.concept} {100 * label.slope:+.2f}%" for label in self.labels)
        score = "" if self.score is None else f", score={self.score:.3f}"
        return f"{self.name!r} in {place} by {self.method}{score}: {does or 'no label'}"

    def _html_parts(self) -> Iterable[str]:
        from ..display import show_direction

        return show_direction(self)


def check_direction(generator: Generator, direction: Direction) -> None:
    """Check that a direction fits the generator's space, whatever its weights.

    Raises:
        KeyError: If there is no such layer.
        ValueError: If the generator has no such space, its size differs, an index of ws is out of range, or the
            generator is in training mode.
    """
    check_mode(generator)
    got = tuple(direction.vector.shape)
    if direction.space == "z":
        _check_length(generator, direction, (generator.z_dim,))
        if bool(direction.vector[noise_length(generator) :].any()):
            raise ValueError(
                f"a direction in z of {generator.name} moves the noise and holds the class: its last "
                f"{generator.z_dim - noise_length(generator)} entries must be 0"
            )
    elif direction.space == "w":
        num_ws, w_dim = ws_shape(generator)
        _check_length(generator, direction, (w_dim,))
        if direction.ws[-1] >= num_ws:
            raise ValueError(f"ws of {generator.name} must be in 0 to {num_ws - 1}; got {direction.ws[-1]}")
    else:
        info = lookup(generator.layers, str(direction.layer), "layer")
        if got != (info.units, info.height, info.width):
            raise ValueError(
                f"a direction in {direction.layer!r} must be {[info.units, info.height, info.width]}; got {list(got)}"
            )


def _check_length(generator: Generator, direction: Direction, shape: tuple[int]) -> None:
    if tuple(direction.vector.shape) != shape:
        got = len(direction.vector)
        raise ValueError(
            f"a direction in {direction.space} of {generator.name} must have {shape[0]} entries; got {got}"
        )


@torch.no_grad()
def ws_shape(generator: Generator) -> tuple[int, int]:
    """Return ``(num_ws, w_dim)``.

    Raises:
        ValueError: If the generator has no w.
    """
    num_ws, w_dim = as_w(generator, generator.sample_z(1)).shape[1:]
    return int(num_ws), int(w_dim)


@torch.no_grad()
def measure_spread(generator: Generator, direction: Direction, seed: int = 0) -> float:
    """Return the standard deviation of a direction's space along its vector: 1 in z, and measured elsewhere.

    Args:
        generator: Generator that the direction belongs to.
        direction: Direction to measure along; its sigma is ignored.
        seed: Seed of the latent vectors.

    Raises:
        ValueError: If the standard deviation is 0 up to rounding, or not finite.
    """
    if direction.space == "z":
        return 1.0
    own_seed = derive_seed(seed, "spread")
    parts, size = [], 0.0
    for block in blocks(SPREAD_SAMPLES, BATCH):
        z = generator.sample_z(len(block), own_seed, block.start).to(generator.device)
        if direction.space == "w":
            values = as_w(generator, z)[:, direction.ws[0]]
        else:
            values = generator.head(z, str(direction.layer))
        rows = values.flatten(1).cpu().double()
        size = max(size, float(rows.norm(dim=1).max()))
        parts.append(rows @ direction.vector.flatten())
    sigma = float(torch.cat(parts).std())
    if not sigma > ROUNDING * size:
        raise ValueError(f"{direction.space} of {generator.name} must vary along {direction.name!r}; it is constant")
    return sigma


def pad_noise(generator: Generator, vectors: Float[Tensor, "*row noise"]) -> Float[Tensor, "*row z"]:
    """Return directions of the noise as directions in z, which hold the class where there are classes.

    Args:
        generator: Generator of the directions.
        vectors: Directions of the noise, ``[..., noise_dim]``.
    """
    return functional.pad(vectors, (0, generator.z_dim - vectors.shape[-1]))


def fix_signs(vectors: Float[Tensor, "row length"]) -> Float[Tensor, "row length"]:
    """Flip rows so that the entry of largest absolute value is positive; a vector and its negative become equal."""
    largest = vectors.gather(1, vectors.abs().argmax(1, keepdim=True))
    return torch.where(largest < 0, -vectors, vectors)


def _format_ranges(indices: Sequence[int]) -> str:
    """Format ascending indices as ranges: ``0-3, 5`` for 0, 1, 2, 3, 5."""
    runs: list[list[int]] = []
    for index in indices:
        if runs and index == runs[-1][-1] + 1:
            runs[-1].append(index)
        else:
            runs.append([index])
    return ", ".join(f"{run[0]}-{run[-1]}" if len(run) > 1 else str(run[0]) for run in runs)
