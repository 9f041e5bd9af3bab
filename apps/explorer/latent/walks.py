"""Computations of the page Latent: walks, films, mixtures, steps along directions; independent of Streamlit."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from jaxtyping import Float, Float32, Float64
from torch import Tensor

from gandissect import Generator, Segmenter
from gandissect.core.rows import noise_length
from gandissect.latent import (
    Direction,
    DirectionEffect,
    Walk,
    as_w,
    capabilities,
    closed_form_directions,
    hold_class,
    label_direction,
    mix_styles,
    move,
    swap_activations,
)
from gandissect.latent.directions.direction import ws_shape
from gandissect.report import save_gif

from ..background.tasks import CountedSegmenter
from ..networks import FORWARD_SLOTS

MAX_KEYS, MAX_NUMBER = 8, 10**9
"""Maximum number of pictures of a walk, and largest number of a picture."""

FRAMES_PER_STEP, FPS = 16, 20

LABEL_STEPS, LABEL_SAMPLES, LABEL_SEED = (-2.0, 2.0), 24, 7
LABEL_PICTURES = LABEL_SAMPLES * (1 + 2 * len(LABEL_STEPS))
"""Number of pictures segmented per direction: unmoved, and moved along it and along a random direction."""


def parse_numbers(text: str) -> tuple[int, ...]:
    """Read the numbers of pictures, separated by commas or spaces.

    Raises:
        ValueError: If the text is not a list of 2 to 8 such numbers.
    """
    words = [word for word in re.split(r"[,;\s]+", text.strip()) if word]
    wrong = [word for word in words if not re.fullmatch(r"[0-9]{1,10}", word) or int(word) > MAX_NUMBER]
    if wrong or not 2 <= len(words) <= MAX_KEYS:
        problem = repr(wrong[0][:20]) if wrong else f"{len(words)} numbers"
        raise ValueError(f"pictures must be 2 to {MAX_KEYS} numbers, such as 0, 1, 5; got {problem}")
    return tuple(map(int, words))


def walk_through(generator: Generator, seed: int, numbers: Sequence[int], space: str, *, closed: bool) -> Walk:
    """Return the walk through some pictures of a seed; where there are classes, it stays in the first one's."""
    z = torch.cat([generator.sample_z(1, seed, number) for number in numbers]).to(generator.device)
    z = hold_class(generator, z)
    return Walk(generator, z, space, closed=closed)


def render_walk(walk: Walk, positions: Float64[Tensor, " n"]) -> Float[Tensor, "n 3 H W"]:
    """Return the images at some positions of a walk, ``[n, 3, H, W]`` on CPU."""
    with FORWARD_SLOTS:
        return walk.images(positions)


def make_film(walk: Walk) -> bytes:
    """Return a walk as a looping GIF, with `FRAMES_PER_STEP` frames from each picture to the next."""
    steps = round(walk.end) * FRAMES_PER_STEP
    images = render_walk(walk, walk.positions(steps if walk.path.closed else steps + 1))
    with TemporaryDirectory() as folder:
        path = Path(folder) / "walk.gif"
        save_gif(images, path, FPS)
        return path.read_bytes()


@torch.no_grad()
def mix_images(
    generator: Generator, z_a: Float32[Tensor, "1 z"], z_b: Float32[Tensor, "1 z"], styles: Sequence[int]
) -> Float[Tensor, "1 3 H W"]:
    """Return the image of ``z_a`` with some styles of ``z_b``, ``[1, 3, H, W]`` on CPU."""
    w_a, w_b = (as_w(generator, z.to(generator.device)) for z in (z_a, z_b))
    with FORWARD_SLOTS:
        return generator(mix_styles(generator, w_a, w_b, styles)).cpu()


@torch.no_grad()
def swap_region(
    generator: Generator,
    z_a: Float32[Tensor, "1 z"],
    z_b: Float32[Tensor, "1 z"],
    layer: str,
    region: Float32[Tensor, "H W"],
) -> Float[Tensor, "1 3 H W"]:
    """Return the image of ``z_a`` with a layer's activations of ``z_b`` in a region, ``[1, 3, H, W]`` on CPU."""
    with FORWARD_SLOTS:
        return swap_activations(generator, z_a.to(generator.device), z_b.to(generator.device), layer, region).cpu()


def make_rectangle(size: tuple[int, int], rows: tuple[int, int], columns: tuple[int, int]) -> Float32[Tensor, "H W"]:
    """Return a region as a mask on the image.

    Args:
        size: Rows and columns of the image.
        rows: First and last row of the region, in percent of the height.
        columns: First and last column of the region, in percent of the width.
    """
    mask = torch.zeros(size, dtype=torch.float32, device="cpu")
    (top, bottom), (left, right) = (
        (round(length * low / 100), round(length * high / 100))
        for length, (low, high) in zip(size, (rows, columns), strict=True)
    )
    mask[top:bottom, left:right] = 1
    return mask


def step_along(
    generator: Generator, z: Float32[Tensor, "1 z"], directions: Sequence[Direction], steps: Mapping[str, float]
) -> Float[Tensor, "3 H W"]:
    """Return an image after steps along several directions of one space, ``[3, H, W]`` on CPU.

    Args:
        generator: Generator of the directions.
        z: Latent vector, float32 ``[1, z_dim]``.
        directions: Directions in z or w.
        steps: Step by name of direction, in standard deviations; 0 for missing names.

    Raises:
        ValueError: If a direction is in activation space.
    """
    latents: Tensor = z
    with FORWARD_SLOTS:
        for direction in directions:
            if step := steps.get(direction.name, 0.0):
                moved = move(generator, latents, direction, [step]).latents
                if moved is None:
                    raise ValueError(f"directions must be in z or w; got {direction.name} in activation space")
                latents = moved[0]
        with torch.no_grad():
            return generator(latents.to(generator.device))[0].cpu()


def find_directions(generator: Generator, count: int, styles: Sequence[int] | None) -> tuple[Direction, ...]:
    """Return directions in closed form.

    Args:
        generator: Generator.
        count: Maximum number of directions.
        styles: Styles that the directions move; all if None.

    Raises:
        TypeError: If the generator does not expose the linear maps that its latents enter first.
    """
    length = ws_shape(generator)[1] if capabilities(generator).has_w else noise_length(generator)
    return closed_form_directions(generator, min(count, length), styles)


def find_label(generator: Generator, segmenter: Segmenter, direction: Direction) -> DirectionEffect:
    """Label a direction on a few pictures, and report the progress."""
    return label_direction(
        generator,
        CountedSegmenter(segmenter),
        direction,
        LABEL_STEPS,
        LABEL_SAMPLES,
        LABEL_SEED,
        batch_size=8,
        progress=False,
    )


def describe_effect(effect: DirectionEffect) -> str:
    """Return a text with the effect of a step of one standard deviation."""
    changes = [f"{label.concept} {100 * label.slope:+.1f}" for label in effect.labels]
    return ", ".join(changes) or "no concept beyond chance"
