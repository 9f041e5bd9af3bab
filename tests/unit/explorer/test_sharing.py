"""Background tasks on the shared generator: pictures of visitors stay bit-equal, and so do the results."""

from __future__ import annotations

import copy
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest
import torch
from tiny_generators import FAMILIES, TRANSLATORS, make_generator
from torch import Tensor

import generators
from apps.explorer.artifacts import measurements
from apps.explorer.background.tasks import CountedSegmenter, Tasks
from apps.explorer.latent import inversions, walks
from apps.explorer.networks import edit_images, make_images
from gandissect import Ablation, Concept, Generator, UnitSet, dissect
from gandissect.causal.units import measure_unit_effects
from gandissect.fidelity.yardstick import Yardstick
from segmenters.palette import PaletteSegmenter

SEGMENTER = PaletteSegmenter((Concept(0, "dark", (110, 110, 110)), Concept(1, "light", (145, 145, 145))))
SIZES = measurements.Sizes(real=24, held_out=8, ranked=24, effect=16, images=8, sets=2, controls=1, counts=(1, 2))


class Wrapped(torch.nn.Module):
    """A third-party module, which is run only with taps."""

    def __init__(self) -> None:
        super().__init__()
        self.first = torch.nn.ConvTranspose2d(5, 6, 4)
        self.last = torch.nn.ConvTranspose2d(6, 3, 4, 4)

    def forward(self, z: Tensor) -> Tensor:
        return self.last(self.first(z[:, :, None, None]).relu()).tanh()


def make_shared(family: str) -> Generator:
    if family != "wrapped":
        return make_generator(family)
    torch.manual_seed(0)
    return generators.wrap(Wrapped().eval().requires_grad_(False), z_dim=5)


def mean_colors(images: Tensor) -> Tensor:
    """Return cheap features in place of an encoder's."""
    size = images.shape[2] // 4
    return images.unfold(2, size, size).unfold(3, size, size).mean((4, 5)).flatten(1)


def make_work(generator: Generator) -> dict[str, Callable[[], Any]]:
    """Return all background tasks of the explorer, on the same generator."""
    layer = list(generator.layers)[-1]
    counted = CountedSegmenter(SEGMENTER)
    height, width = generator.image_size
    noise = torch.Generator().manual_seed(0)
    pictures = torch.randint(0, 256, (32, 3, height, width), generator=noise, dtype=torch.uint8)
    yardstick = Yardstick("palette", mean_colors, pictures[:24], pictures[24:])
    target = generator(generator.sample_z(1, 9))[0].detach().clamp(-1, 1)
    num_steps = 8 if inversions.has_gradients(generator) else 0
    work: dict[str, Callable[[], Any]] = {
        "dissection": lambda: dissect(generator, counted, layer, 24, top_images=0, progress=False)[layer].iou,
        "effects": lambda: measure_unit_effects(generator, counted, layer, 8, 5, batch_size=8, progress=False).mean,
        "ranking": lambda: measurements.rank(generator, layer, yardstick, "effect", SIZES).effect,
        "inversion": lambda: inversions.find_inversion(generator, SEGMENTER, target, "z", num_steps).latents,
    }
    if hasattr(generator, "latent_maps"):
        (direction,) = walks.find_directions(generator, 1, None)
        label = partial(walks.find_label, generator, SEGMENTER, direction)
        work["label"] = lambda: label().effect.slope.mean
    return work


QUICK = ("dcgan", "stylegan2", "biggan", "wrapped")
"""Families that every run checks: one without styles, one with styles and noise, one with classes, and a module."""


@pytest.mark.parametrize(
    "family",
    [
        *QUICK,
        *(
            pytest.param(family, marks=pytest.mark.slow)
            for family in FAMILIES
            if family not in TRANSLATORS and family not in QUICK
        ),
    ],
)
def test_background_tasks_and_visitors_share_a_generator(family: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inversions, "NUM_CANDIDATES", 20)
    monkeypatch.setattr(inversions, "NUM_WITHOUT_GRADIENTS", 40)
    shared = make_shared(family)
    own = copy.deepcopy(shared)
    alone = {name: work() for name, work in make_work(own).items()}
    layer = next(iter(own.layers))
    z, edits = own.sample_z(4, seed=1), [Ablation(UnitSet(layer, (0, 1)))]
    plain, edited = make_images(own, z), edit_images(own, z, edits)
    weights = {name: value.clone() for name, value in shared.state_dict().items()}
    tasks = Tasks()
    together = {name: tasks.begin(name, 0, work) for name, work in make_work(shared).items()}

    def visit(index: int) -> int:
        """Check pictures until all tasks are done; return the number of checks."""
        num_looks = 0
        while num_looks < 2 or not all(task.result.done() for task in together.values()):
            image, wanted = (make_images(shared, z), plain) if index % 2 else (edit_images(shared, z, edits), edited)
            assert torch.equal(image, wanted)
            num_looks += 1
        return num_looks

    with ThreadPoolExecutor(3) as pool:
        assert sum(pool.map(visit, range(3))) > 20
    for name, task in together.items():
        assert torch.equal(task.result.result(60), alone[name]), name
    assert torch.equal(make_images(shared, z), plain)
    assert all(torch.equal(value, weights[name]) for name, value in shared.state_dict().items())
    assert not any(parameter.grad is not None for parameter in shared.parameters())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in shared.modules())
