"""Walks, mixtures and steps of the page Latent, against manual forward passes; the network stays unchanged."""

from __future__ import annotations

import io
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

import generators
from apps.explorer.background.tasks import Tasks
from apps.explorer.latent import walks
from apps.explorer.networks import make_images
from gandissect import Concept
from gandissect.latent import label_direction
from gandissect.latent.directions.direction import Label
from segmenters.palette import PaletteSegmenter

SEGMENTER = PaletteSegmenter((Concept(0, "dark", (120, 120, 120)), Concept(1, "light", (135, 135, 135))))


@pytest.fixture(scope="module")
def dcgan() -> generators.DCGAN:
    torch.manual_seed(0)
    return generators.DCGAN(size=16, width=8, z_dim=5).eval().requires_grad_(False)


@pytest.fixture(scope="module")
def stylegan() -> generators.StyleGAN:
    torch.manual_seed(0)
    return generators.StyleGAN(size=16, width=8, z_dim=6).eval().requires_grad_(False)


@pytest.mark.parametrize(("text", "numbers"), [("0, 1", (0, 1)), (" 3 1;4,1 ", (3, 1, 4, 1)), ("7 7", (7, 7))])
def test_numbers_are_read(text: str, numbers: tuple[int, ...]) -> None:
    assert walks.parse_numbers(text) == numbers


@pytest.mark.parametrize("text", ["", "1", "1, two", "1, -2", "1, 99999999999", "0 " * 9, "1.5, 2", "1, ²"])
def test_invalid_lists_of_pictures_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="must be 2 to 8 numbers"):
        walks.parse_numbers(text)


@pytest.mark.parametrize("closed", [False, True])
def test_a_film_has_a_frame_per_step_and_passes_through_its_pictures(dcgan: generators.DCGAN, closed: bool) -> None:
    walk = walks.walk_through(dcgan, 3, (5, 2, 9), "z", closed=closed)
    gif = Image.open(io.BytesIO(walks.make_film(walk)))
    assert gif.n_frames == (48 if closed else 33) and gif.info["loop"] == 0
    for key, number in enumerate((5, 2, 9)):
        gif.seek(16 * key)
        drawn = np.asarray(gif.convert("RGB"), dtype=float)
        plain = (dcgan(dcgan.sample_z(1, 3, number))[0].permute(1, 2, 0).numpy() + 1) * 127.5
        assert np.abs(drawn - plain).mean() < 4, "up to the quantization to 256 colors"


def test_mixing_all_styles_gives_the_other_picture_and_none_the_first(stylegan: generators.StyleGAN) -> None:
    a, b = stylegan.sample_z(1, 1, 0), stylegan.sample_z(1, 1, 1)
    count = stylegan.mapping.num_ws
    assert torch.equal(walks.mix_images(stylegan, a, b, []), stylegan(a))
    assert torch.equal(walks.mix_images(stylegan, a, b, range(count)), stylegan(b))
    w = stylegan.mapping(a)
    w[:, 1] = stylegan.mapping(b)[:, 1]
    assert torch.equal(walks.mix_images(stylegan, a, b, [1]), stylegan(w))


def test_swapping_in_a_region_swaps_only_there() -> None:
    planted = generators.PlantedGenerator()
    a, b = planted.sample_z(1, 1, 3), planted.sample_z(1, 1, 4)
    half = walks.make_rectangle((64, 64), (0, 100), (50, 100))
    assert half.sum() == 64 * 32 and half[:, 32:].min() == 1
    expected = planted(a).clone()
    expected[..., 32:] = planted(b)[..., 32:]
    assert torch.equal(walks.swap_region(planted, a, b, "layer2", half), expected)


def test_steps_along_directions_add_up_in_z(dcgan: generators.DCGAN) -> None:
    z = dcgan.sample_z(1, seed=4)
    found = walks.find_directions(dcgan, 3, None)
    assert torch.equal(walks.step_along(dcgan, z, found, {}), dcgan(z)[0])
    by_hand = z.double() + 2 * found[0].sigma * found[0].vector - 1.5 * found[2].sigma * found[2].vector
    steps = {found[0].name: 2.0, found[2].name: -1.5}
    torch.testing.assert_close(walks.step_along(dcgan, z, found, steps), dcgan(by_hand.float())[0], atol=1e-5, rtol=0)
    assert len(walks.find_directions(dcgan, 9, None)) == 5, "at most the dimension of z"


def test_steps_in_w_move_the_chosen_styles_only(stylegan: generators.StyleGAN) -> None:
    z = stylegan.sample_z(1, seed=4)
    (first,) = walks.find_directions(stylegan, 1, (0, 2))
    by_hand = stylegan.mapping(z).clone()
    by_hand[:, [0, 2]] += (3 * first.sigma * first.vector).float()
    found = walks.step_along(stylegan, z, (first,), {first.name: 3.0})
    torch.testing.assert_close(found, stylegan(by_hand)[0], atol=1e-5, rtol=0)


def test_labels_are_found_on_the_shared_generator_and_counted(dcgan: generators.DCGAN) -> None:
    (direction,) = walks.find_directions(dcgan, 1, None)
    before = dcgan(dcgan.sample_z(2))
    task = Tasks().begin("a", walks.LABEL_PICTURES, partial(walks.find_label, dcgan, SEGMENTER, direction))
    effect = task.result.result(30)
    plain = label_direction(dcgan, SEGMENTER, direction, (-2.0, 2.0), 24, 7, progress=False)
    assert torch.equal(effect.effect.slope.mean, plain.effect.slope.mean)
    assert task.done == walks.LABEL_PICTURES + 1, "plus one that determines the size of the label maps"
    assert torch.equal(dcgan(dcgan.sample_z(2)), before)


def test_a_label_states_percent_of_the_pixels_per_sigma() -> None:
    labels = (Label("sky", 0.0213, 0.001, "s", 24), Label("tree", -0.107, 0.01, "s", 24))
    assert walks.describe_effect(SimpleNamespace(labels=labels)) == "sky +2.1, tree -10.7"
    assert walks.describe_effect(SimpleNamespace(labels=())) == "no concept beyond chance"


def test_concurrent_visitors_on_one_walk_get_the_results_of_one_alone(dcgan: generators.DCGAN) -> None:
    walk = walks.walk_through(dcgan, 3, (5, 2), "layer1", closed=False)
    positions = walk.positions(5)
    alone, plain = walks.render_walk(walk, positions), make_images(dcgan, dcgan.sample_z(1))
    with ThreadPoolExecutor(4) as pool:
        for found in pool.map(lambda _: walks.render_walk(walk, positions), range(8)):
            assert torch.equal(found, alone)
    assert torch.equal(make_images(dcgan, dcgan.sample_z(1)), plain)
