"""Directions of a latent space, and moving along them.

With a unit vector v and the standard deviation sigma of the space along it, a step of length t is

    z <- z + t sigma v,    ws_i <- ws_i + t sigma v  for the chosen i,    a <- a + t sigma v

in z, in w, and in the activations of a layer. A network that normalises z sees no length; there z is put back to the
length that it had, and what counts is the angle that it turned by: it tends to 90 degrees at most for a z that was
orthogonal to v, however large the step.

Source: Shen et al. 2020 (InterFaceGAN, arXiv 2005.09635), Sec. 3.2; steps in standard deviations: Haerkoenen et al. 2020
(GANSpace, arXiv 2004.02546), Sec. 2.3.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from ..files import write_json
from ..names import lookup, unknown
from ..protocols import Generator
from ..sampling import blocks, derive_seed
from ..store import Kept

SPACES = ("z", "w", "activation")
SPREAD_SAMPLES = 1_000
"""Latent vectors that a standard deviation in w is measured on."""
BATCH = 64
UNIT = 1e-6
"""How far the length of a unit vector may be from 1."""


@dataclass(frozen=True, slots=True)
class Label:
    """What a step along a direction does to a concept.

    Args:
        concept: Its name.
        slope: Share of all pixels that a step adds, on average over the steps measured.
        stderr: Its standard error over images.
        segmenter: Who saw it.
        num_samples: In how many images.
    """

    concept: str
    slope: float
    stderr: float
    segmenter: str
    num_samples: int


@dataclass(frozen=True, slots=True, eq=False)
class Direction(Kept):
    """A direction of the latent space of one generator.

    Args:
        name: What to call it.
        generator: The generator's name.
        generator_fingerprint: SHA-256 of its architecture and weights.
        space: ``z``, ``w`` or ``activation``.
        ws: In w, which entries of ``ws`` it moves, rising; else none.
        layer: The layer whose activations it moves; None in z and w.
        vector: float64 of length 1: ``[z_dim]``, ``[w_dim]`` or ``[unit, h, w]``.
        sigma: Length of one step: the standard deviation of the space along the vector, above 0.
        method: How it was found.
        score: Share of what the method looks for that it has, 1 at most: of the squared weights (closed form), of the
            variance (components), or held-out R^2 or accuracy (boundaries).
        num_samples: Latent vectors that it was found on; 0 if on none.
        seed: Theirs.
        labels: What a step does, the concept that changes most first.

    Raises:
        ValueError: If these do not fit together.
    """

    FILE_NAME: ClassVar[str] = "direction.safetensors"
    VERSION: ClassVar[int] = 1

    name: str
    generator: str
    generator_fingerprint: str
    space: str
    ws: tuple[int, ...]
    layer: str | None
    vector: Tensor
    sigma: float
    method: str
    score: float
    num_samples: int
    seed: int
    labels: tuple[Label, ...] = ()

    def __post_init__(self) -> None:
        if self.space not in SPACES:
            raise ValueError(unknown("space", self.space, SPACES))
        if not self.name:
            raise ValueError("a direction has a name")
        dims = 3 if self.space == "activation" else 1
        if self.vector.dtype != torch.float64 or self.vector.ndim != dims:
            shape = "[unit, h, w]" if dims == 3 else "[length]"
            got = f"{self.vector.dtype} {list(self.vector.shape)}"
            raise ValueError(f"a direction in {self.space} is a float64 vector {shape}; got {got}")
        length = float(self.vector.norm())
        if not abs(length - 1) <= UNIT:
            raise ValueError(f"a direction is a vector of length 1; got {length:g}")
        if not (math.isfinite(self.sigma) and self.sigma > 0 and math.isfinite(self.score)):
            raise ValueError(f"sigma is above 0, and the score finite; got {self.sigma:g} and {self.score:g}")
        if (self.space == "w") != bool(self.ws) or (self.space == "activation") != (self.layer is not None):
            given = f"ws {list(self.ws)} and layer {self.layer!r}"
            raise ValueError(
                f"in w a direction names entries of ws, in activation a layer, in z neither; got {self.space}, {given}"
            )
        if list(self.ws) != sorted({index for index in self.ws if index >= 0}):
            raise ValueError(f"ws are indices from 0, rising; got {list(self.ws)}")

    @staticmethod
    def of(
        generator: Generator,
        name: str,
        vector: Tensor,
        *,
        space: str,
        ws: Sequence[int] = (),
        layer: str | None = None,
        sigma: float | None = None,
        method: str = "given",
        score: float = 0.0,
        num_samples: int = 0,
        seed: int = 0,
    ) -> Direction:
        """Return the direction of a vector, which is brought to length 1.

        Args:
            generator: Whose space it is.
            name: What to call it.
            vector: ``[z_dim]``, ``[w_dim]`` or ``[unit, h, w]``, not 0.
            space: ``z``, ``w`` or ``activation``.
            ws: In w, which entries of ``ws`` it moves; all by default.
            layer: In activation, the layer.
            sigma: Length of one step; by default 1 in z, and in w and activation what is measured along the vector.
            method: How it was found.
            score: As in `Direction`.
            num_samples: Latent vectors that it was found on.
            seed: Theirs.

        Raises:
            KeyError: If there is no such layer.
            ValueError: If the vector is 0 or has another length than the space, or an index is out of range.
        """
        vector = vector.detach().cpu().double()
        length = float(vector.norm())
        if not 0 < length < math.inf:
            raise ValueError(f"a direction is a finite vector that is not 0; got one of length {length:g}")
        if space == "w" and not ws:
            ws = range(ws_shape(generator)[0])
        facts = (name, generator.name, generator.fingerprint, space, tuple(sorted(ws)), layer, vector / length)
        found = Direction(*facts, 1.0 if sigma is None else sigma, method, score, num_samples, seed)
        check_space(generator, found)
        return replace(found, sigma=spread(generator, found, seed)) if sigma is None else found

    def save(self, place: Path | str) -> Path:
        """Write ``direction.safetensors`` into a folder, or the file of that name if it ends in ``.safetensors``.

        What people may want to read stands in a ``.json`` beside it; it is not read again.
        """
        path = Kept.save(self, place)
        write_json(path.with_suffix(".json"), self.facts())
        return path

    def facts(self) -> dict[str, Any]:
        """Return everything but the vector as plain values."""
        names = [name for name in Direction.__dataclass_fields__ if name not in {"vector", "labels"}]
        found = {name: getattr(self, name) for name in names}
        return found | {"shape": list(self.vector.shape), "labels": [asdict(label) for label in self.labels]}

    def check_generator(self, generator: Generator) -> None:
        """Refuse a generator that the direction is not of.

        Raises:
            KeyError: If it has no such layer.
            ValueError: If its weights are others, or its space has another size.
        """
        if generator.fingerprint != self.generator_fingerprint:
            raise ValueError(
                f"direction {self.name!r} is of {self.generator} with fingerprint {self.generator_fingerprint[:8]}, and "
                f"{generator.name} has {generator.fingerprint[:8]}; load the one that it was found in"
            )
        check_space(generator, self)

    def __str__(self) -> str:
        """Say what a step does."""
        where = {"z": "z", "w": f"w {_ranges(self.ws)}", "activation": f"the activations of {self.layer}"}[self.space]
        does = ", ".join(f"{label.concept} {100 * label.slope:+.2f} %" for label in self.labels)
        return f"{self.name} (in {where}): {does or 'no concept named'}"


@dataclass(frozen=True, slots=True, eq=False)
class Moved:
    """Latent vectors moved along a direction, on CPU.

    Args:
        steps: How far, in standard deviations.
        latents: ``[step, batch, ...]``: z, or ws; None where activations were moved.
        images: float32 ``[step, batch, 3, H, W]``.
        angles: float64 ``[step, batch]``, by how many degrees z was turned; None where its length counts, too.
    """

    steps: tuple[float, ...]
    latents: Tensor | None
    images: Tensor
    angles: Tensor | None


@torch.no_grad()
def move(generator: Generator, latents: Tensor, direction: Direction, steps: Sequence[float]) -> Moved:
    """Move along a direction; a step of 0 changes nothing.

    Args:
        generator: The one that the direction is of.
        latents: z ``[batch, z_dim]``; for directions in w and activations also ws ``[batch, num_ws, w_dim]``.
        direction: Where to.
        steps: How far, in standard deviations, one or more; what lies beyond 3 or so is seldom seen in samples.

    Raises:
        KeyError: If there is no such layer.
        ValueError: If the direction is of another generator, the latents are of another space, or a step is not finite.

    Source: Shen et al. 2020 (arXiv 2005.09635), Sec. 3.2.
    """
    check_steps(steps)
    walk = Walk.of(generator, direction)
    latents = latents.to(generator.device)
    origin = walk.origin(latents)
    points = [walk.at(origin, step) for step in steps]
    images = torch.stack([walk.images(point, latents).cpu() for point in points])
    in_latents = direction.space != "activation"
    turned = in_latents and walk.normalises
    return Moved(
        tuple(map(float, steps)),
        torch.stack(points).cpu() if in_latents else None,
        images,
        torch.stack([angles_between(origin, point) for point in points]) if turned else None,
    )


@dataclass(frozen=True, slots=True)
class Walk:
    """A direction of a generator, checked once, to be gone along from many points.

    Args:
        generator: The generator.
        direction: One of its directions.
    """

    generator: Generator
    direction: Direction

    @staticmethod
    def of(generator: Generator, direction: Direction) -> Walk:
        """Return the walk of a direction.

        Raises:
            KeyError: If there is no such layer.
            ValueError: If the direction is of another generator.
        """
        direction.check_generator(generator)
        return Walk(generator, direction)

    @property
    def normalises(self) -> bool:
        """Whether only the angle of what is moved counts."""
        return self.direction.space == "z" and bool(getattr(self.generator, "normalises_z", False))

    def origin(self, latents: Tensor) -> Tensor:
        """Return what is moved, for latents on the generator's device: z, ws, or activations.

        Raises:
            ValueError: If ws are given for a direction in z.
        """
        if self.direction.space == "activation":
            return self.generator.head(latents, str(self.direction.layer))
        if self.direction.space == "w":
            return ws_of(self.generator, latents) if latents.ndim == 2 else latents
        if latents.ndim != 2:
            got = f"got latents {list(latents.shape)}"
            raise ValueError(f"direction {self.direction.name!r} is in z, [batch, {self.generator.z_dim}]; {got}")
        return latents

    def at(self, origin: Tensor, step: float) -> Tensor:
        """Return what is moved, after a step."""
        shift = (step * self.direction.sigma * self.direction.vector).to(origin)
        if self.direction.space == "w":
            moved = origin.clone()
            moved[:, list(self.direction.ws)] += shift
            return moved
        moved = origin + shift
        return moved * (origin.norm(dim=1, keepdim=True) / moved.norm(dim=1, keepdim=True)) if self.normalises else moved

    def images(self, point: Tensor, latents: Tensor) -> Tensor:
        """Return the images of what was moved."""
        if self.direction.space == "activation":
            return self.generator.tail(point, str(self.direction.layer), latents)
        return self.generator(point)


def check_steps(steps: Sequence[float]) -> None:
    """Refuse steps that lead nowhere.

    Raises:
        ValueError: If there are none, or one is not finite.
    """
    if not len(steps) or not all(math.isfinite(step) for step in steps):
        raise ValueError(f"steps are finite numbers, one or more; got {list(steps)}")


def check_space(generator: Generator, direction: Direction) -> None:
    """Refuse a direction that is none of the generator's space, whatever its weights.

    Raises:
        KeyError: If there is no such layer.
        ValueError: If there is no such space, its size is another, or an index of ws is out of range.
    """
    got = tuple(direction.vector.shape)
    if direction.space == "z":
        _check_length(generator, direction, (generator.z_dim,))
    elif direction.space == "w":
        num_ws, w_dim = ws_shape(generator)
        _check_length(generator, direction, (w_dim,))
        if direction.ws[-1] >= num_ws:
            raise ValueError(f"{generator.name} has the ws 0 to {num_ws - 1}; got {direction.ws[-1]}")
    else:
        info = lookup(generator.layers, str(direction.layer), "layer")
        if got != (info.units, info.height, info.width):
            raise ValueError(
                f"{direction.layer!r} has activations {[info.units, info.height, info.width]}; got {list(got)}"
            )


def _check_length(generator: Generator, direction: Direction, wanted: tuple[int]) -> None:
    if tuple(direction.vector.shape) != wanted:
        got = len(direction.vector)
        raise ValueError(f"{direction.space} of {generator.name} has {wanted[0]} numbers; got a vector of {got}")


def ws_of(generator: Generator, z: Tensor) -> Tensor:
    """Return the latent vectors of every layer, ``[batch, num_ws, w_dim]``.

    Raises:
        ValueError: If the generator has none.
    """
    if not getattr(generator, "has_w", False):
        raise ValueError(f"{generator.name} has no w; take the space z, or the activations of a layer")
    mapping: Any = generator
    ws: Tensor = mapping.mapping(z.to(generator.device))
    return ws


@torch.no_grad()
def ws_shape(generator: Generator) -> tuple[int, int]:
    """Return num_ws and w_dim.

    Raises:
        ValueError: If the generator has no w.
    """
    num_ws, w_dim = ws_of(generator, generator.sample_z(1)).shape[1:]
    return int(num_ws), int(w_dim)


@torch.no_grad()
def spread(generator: Generator, direction: Direction, seed: int = 0) -> float:
    """Return the standard deviation of a direction's space along its vector, measured where it is not known.

    Args:
        generator: The generator.
        direction: One of its space; its own sigma does not matter.
        seed: Of the latent vectors that it is measured on.

    Raises:
        ValueError: If it is 0.
    """
    if direction.space == "z":
        return 1.0
    walk, own = Walk(generator, direction), derive_seed(seed, "spread")
    parts = []
    for block in blocks(SPREAD_SAMPLES, BATCH):
        origin = walk.origin(generator.sample_z(len(block), own, block.start).to(generator.device))
        chosen = origin[:, direction.ws[0]] if direction.space == "w" else origin
        parts.append(chosen.flatten(1).cpu().double() @ direction.vector.flatten())
    sigma = float(torch.cat(parts).std())
    if sigma <= 0:
        raise ValueError(f"{direction.space} of {generator.name} does not vary along {direction.name!r}")
    return sigma


def angles_between(x: Tensor, y: Tensor) -> Tensor:
    """Return the angles of rows in degrees, float64 ``[batch]`` on CPU, exact for small ones and near 180, too.

    Source: Kahan 2006, "How futile are mindless assessments of roundoff", Sec. 12.
    """
    x, y = (each.cpu().double() / each.cpu().double().norm(dim=1, keepdim=True) for each in (x, y))
    return torch.rad2deg(2 * torch.atan2((x - y).norm(dim=1), (x + y).norm(dim=1)))


def signed(vectors: Tensor) -> Tensor:
    """Return rows whose entry of largest absolute value is positive; a vector and its opposite come out the same."""
    largest = vectors.gather(1, vectors.abs().argmax(1, keepdim=True))
    return torch.where(largest < 0, -vectors, vectors)


def _ranges(indices: Sequence[int]) -> str:
    """Say ``0-3, 5`` for 0, 1, 2, 3, 5."""
    runs: list[list[int]] = []
    for index in indices:
        if runs and index == runs[-1][-1] + 1:
            runs[-1].append(index)
        else:
            runs.append([index])
    return ", ".join(f"{run[0]}-{run[-1]}" if len(run) > 1 else str(run[0]) for run in runs)
