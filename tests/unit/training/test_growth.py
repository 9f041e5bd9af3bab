"""Progressive growing: the schedule, and that nothing jumps when networks grow."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, strategies as st
from tiny_gans import Noise, draws, networks, tiny

from generators.architectures.blocks import double
from generators.architectures.stylegan import StyleGAN
from generators.training import GANSettings, GANTask
from generators.training.growth import Growth, growth_at, shrink
from generators.training.networks import sizes_of
from generators.training.settings import GROWING

growing = pytest.mark.parametrize("architecture", sorted(GROWING))
phases = {"num_sizes": st.integers(1, 4), "hold": st.integers(1, 12), "fade": st.integers(1, 12)}


def _walk(images: int, sizes: tuple[int, ...], hold: int, fade: int) -> Growth:
    """Show one image after the other, and count."""
    size, fading, shown = 0, False, 0
    for _ in range(images):
        shown += 1
        if fading and shown == fade:
            fading, shown = False, 0
        elif not fading and shown == hold and size + 1 < len(sizes):
            size, fading, shown = size + 1, True, 0
    return Growth(sizes[size], shown / fade if fading else 1.0)


@given(images=st.integers(0, 120), **phases)
def test_the_schedule_is_that_of_a_walk_image_by_image(images: int, num_sizes: int, hold: int, fade: int) -> None:
    sizes = tuple(8 * 2**level for level in range(num_sizes))
    assert growth_at(images, sizes, hold, fade) == _walk(images, sizes, hold, fade)


@given(**phases)
def test_networks_never_shrink_and_end_fully_grown(num_sizes: int, hold: int, fade: int) -> None:
    sizes = tuple(8 * 2**level for level in range(num_sizes))
    path = [growth_at(images, sizes, hold, fade) for images in range(hold + num_sizes * (hold + fade))]
    for before, after in pairwise(path):
        assert (before.size, before.alpha) <= (after.size, after.alpha) or after.size == 2 * before.size
        assert after.size == before.size or (before.alpha, after.alpha) == (1, 0), "growth begins with nothing new"
    assert path[0] == Growth(8, 1)
    assert path[-1] == Growth(sizes[-1], 1)
    assert growth_at(10**12, sizes, hold, fade) == path[-1]


def test_a_network_that_does_not_grow_is_grown_whatever_the_phases() -> None:
    assert growth_at(0, (32,), 0, 0) == growth_at(7, (32,), 5, 5) == Growth(32, 1)
    assert sizes_of(GANSettings(resolution=64)) == (64,)
    assert sizes_of(tiny("progan", resolution=64)) == (8, 16, 32, 64)


@growing
def test_the_image_just_before_and_just_after_growth_is_the_same(architecture: str) -> None:
    generator, _ = networks(tiny(architecture, resolution=32, mixing=0.0))
    z = torch.randn(5, 6, generator=torch.Generator().manual_seed(2))
    for size in (8, 16):
        before = generator(z, Growth(size, 1.0), draws(5))
        after = generator(z, Growth(2 * size, 0.0), draws(5))
        assert before.shape == (5, 3, size, size)
        assert torch.equal(after, double(before))


@growing
def test_fading_in_is_a_straight_line_from_the_old_image_to_the_new(architecture: str) -> None:
    generator, _ = networks(tiny(architecture, mixing=0.0))
    z = torch.randn(5, 6, generator=torch.Generator().manual_seed(2))
    old = generator(z, Growth(16, 0.0), draws(5)).double()
    new = generator(z, Growth(16, 1.0), draws(5)).double()
    assert (old - new).abs().mean() > 0.1, "both ends would be one"
    for alpha in (0.25, 0.7, 1 - 1e-6):
        between = generator(z, Growth(16, alpha), draws(5))
        torch.testing.assert_close(between.double(), (1 - alpha) * old + alpha * new, rtol=1e-5, atol=1e-5)


@growing
def test_the_discriminator_finds_the_same_just_before_and_just_after_growth(architecture: str) -> None:
    _, discriminator = networks(tiny(architecture, resolution=32))
    for size in (8, 16):
        images = torch.rand(6, 3, size, size, generator=torch.Generator().manual_seed(3)) * 2 - 1
        with torch.no_grad():
            before, after = discriminator(images), discriminator(double(images), 0.0)
        assert before.std() > 0.001, "the images would not matter"
        torch.testing.assert_close(after, before, rtol=1e-6, atol=1e-6)


@growing
@pytest.mark.parametrize("alpha", [0.0, 0.25, 0.995, 1.0])
def test_the_discriminators_newest_block_is_faded_in_beside_the_image_of_half_the_size(
    architecture: str, alpha: float
) -> None:
    """Fig. 2 of the paper, with the weights ``alpha`` and ``1 - alpha``."""
    _, discriminator = networks(tiny(architecture))
    images = torch.rand(4, 3, 16, 16, generator=torch.Generator().manual_seed(3)) * 2 - 1
    small = torch.nn.functional.interpolate(images, scale_factor=0.5, mode="area")
    with torch.no_grad():
        old = discriminator.from_rgb["8"](small)
        new = discriminator.blocks["16"](discriminator.from_rgb["16"](images))
        assert (old - new).abs().mean() > 0.1
        expected = discriminator.last(discriminator.blocks["8"]((1 - alpha) * old + alpha * new)).squeeze(1)
        found = discriminator(images, alpha)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("growth", [Growth(16, 1.0), Growth(16, 0.3), Growth(8, 1.0), Growth(8, 0.0), Growth(4, 0.9)])
def test_real_images_are_averaged_and_blended_like_generated_ones(growth: Growth) -> None:
    images = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    found = shrink(images, growth)
    exact = images.double().numpy()
    expected = np.zeros((2, 3, growth.size, growth.size))
    edge = 16 // growth.size
    for image, channel, row, column in np.ndindex(*expected.shape):
        picture = exact[image, channel]
        sharp = picture[row * edge : (row + 1) * edge, column * edge : (column + 1) * edge].mean()
        top, left = row // 2 * 2 * edge, column // 2 * 2 * edge
        coarse = picture[top : top + 2 * edge, left : left + 2 * edge].mean()
        expected[image, channel, row, column] = growth.alpha * sharp + (1 - growth.alpha) * coarse
    torch.testing.assert_close(found.double(), torch.from_numpy(expected), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("architecture", ["dcgan", *sorted(GROWING)])
def test_a_generator_cut_out_of_the_training_makes_the_same_images(architecture: str) -> None:
    """A StyleGAN's noise is fresh in training and fixed afterwards, so here it has no strength."""
    settings = tiny(architecture, mixing=0.0, resolution=32)
    trained, _ = networks(settings)
    for name, parameter in trained.named_parameters():
        if name.endswith("noise_strength"):
            torch.nn.init.zeros_(parameter)
    z = torch.randn(5, 6, generator=torch.Generator().manual_seed(2))
    before = {name: value.clone() for name, value in trained.state_dict().items()}
    for size in sizes_of(settings):
        grown = trained.export(size)
        assert grown.image_size == (size, size)
        assert grown.settings["size"] == size
        torch.testing.assert_close(grown(z), trained(z, Growth(size, 1.0), draws(5)), rtol=1e-6, atol=1e-6)
        for parameter in grown.parameters():
            parameter.zero_()
    assert all(torch.equal(value, before[name]) for name, value in trained.state_dict().items()), "it is no copy"


def test_a_stylegan_cut_out_makes_the_same_images_of_the_same_noise() -> None:
    trained, _ = networks(tiny("stylegan", mixing=0.0))
    z = torch.randn(5, 6, generator=torch.Generator().manual_seed(2))
    random = draws(5)
    random.normal(6), random.integers(1, 2, 1), random.uniform(1)  # the other latent vectors, and who takes them
    grown = trained.export(8)
    assert isinstance(grown, StyleGAN)
    noise = [random.normal(1, side, side) for side in (4, 4, 8, 8)]
    image = grown.synthesis(grown.mapping(z), noise)
    torch.testing.assert_close(image, trained(z, Growth(8, 1.0), draws(5)))
    assert not torch.allclose(image, grown(z), atol=0.01)


@growing
def test_moments_are_forgotten_when_networks_grow_and_only_then(architecture: str) -> None:
    """Adam counts the steps of each parameter that it has moved."""
    settings = tiny(architecture, resolution=32, batch_size=4, images=4 * 40, hold_images=12, fade_images=8)
    task = GANTask(settings, Noise(size=32), device="cpu")
    counted = []
    for index in range(14):
        task.step(index)
        for optimizer in task.optimizers.values():
            counted.append(max(int(state["step"]) for state in optimizer.state.values()))
    assert counted[::2] == counted[1::2] == [1, 2, 3, 1, 2, 3, 4, 5, 1, 2, 3, 4, 5, 6]


@growing
def test_blocks_that_have_not_grown_yet_are_not_trained(architecture: str) -> None:
    task = GANTask(tiny(architecture), Noise(), device="cpu")
    before = {name: value.clone() for name, value in task.network.named_parameters()}
    task.step(0)
    moved = {name for name, value in task.network.named_parameters() if not torch.equal(value, before[name])}
    assert any(name.startswith("heads.8") for name in moved)
    assert any(name.startswith("generator.layer4") for name in moved)
    assert not any(name.startswith(("generator.layer5", "generator.layer6", "generator.output")) for name in moved)
    task.step(3)  # fading in
    moved = {name for name, value in task.network.named_parameters() if not torch.equal(value, before[name])}
    assert any(name.startswith("generator.layer5") for name in moved)
