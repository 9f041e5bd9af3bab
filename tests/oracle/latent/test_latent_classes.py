"""Latent tools of class-conditional generators move the noise and hold the class."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from gandissect import latent
from gandissect.core.types import Concept
from gandissect.latent.directions.direction import Direction
from gandissect.latent.directions.labels import random_direction
from generators import DCGAN, ConditionalDCGAN
from generators.architectures.biggan import BigGAN
from segmenters import PaletteSegmenter

NOISE, NAMES = 6, ("cat", "dog", "owl")
SEGMENTER = PaletteSegmenter((Concept(0, "dark", (60, 60, 60)), Concept(1, "light", (190, 190, 190))))


@pytest.fixture(scope="module")
def G() -> ConditionalDCGAN:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        generator = ConditionalDCGAN(size=16, width=4, noise_dim=NOISE, classes=NAMES)
    for name, weight in generator.named_parameters():
        if name.endswith("0.weight"):
            weight.data.mul_(8)
    return generator.eval().requires_grad_(False)


def _row(noise: Tensor, index: int) -> Tensor:
    row = torch.zeros(len(noise), NOISE + len(NAMES))
    row[:, :NOISE], row[:, NOISE + index] = noise, 1
    return row


def test_a_walk_in_z_is_a_great_circle_of_the_noise(G: ConditionalDCGAN) -> None:
    z = G.sample_z(2, seed=1, classes="dog")
    positions = torch.linspace(0, 1, 5)
    noise = torch.cat([latent.slerp(z[:1, :NOISE], z[1:, :NOISE], float(t)) for t in positions])
    images = latent.Walk(G, z).images(positions)
    torch.testing.assert_close(images, G(_row(noise, 1)))
    assert torch.equal(images[[0, -1]], G(z))


def test_a_walk_through_activations_holds_the_class(G: ConditionalDCGAN) -> None:
    z = G.sample_z(3, seed=1, classes="owl")
    images = latent.Walk(G, z, "layer2", closed=True).images(torch.tensor([0.0, 1.0, 2.0, 3.0]))
    torch.testing.assert_close(images, G(z[[0, 1, 2, 0]]))


def test_a_grid_is_one_of_the_noise(G: ConditionalDCGAN) -> None:
    z = G.sample_z(4, seed=1, classes="cat")
    images = latent.generate_grid(G, z, 2, 2)
    torch.testing.assert_close(images, G(z))
    wide = latent.generate_grid(G, z, 2, 3).unflatten(0, (2, 3))
    middle = latent.slerp(z[0, :NOISE], z[1, :NOISE], 0.5)
    torch.testing.assert_close(wide[0, 1], G(_row(middle[None], 0))[0])


def test_paths_between_classes_are_refused_in_one_sentence(G: ConditionalDCGAN) -> None:
    z = torch.cat([G.sample_z(2, seed=1, classes=name) for name in ("owl", "cat")])
    message = r"holds the class; got latent vectors of the classes owl, cat; draw all from one class"
    for make in (
        lambda: latent.Walk(G, z),
        lambda: latent.Walk(G, z, "layer1"),
        lambda: latent.generate_grid(G, z, 2, 2),
    ):
        with pytest.raises(ValueError, match=message):
            make()


@pytest.fixture(scope="module")
def mixing() -> BigGAN:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        generator = BigGAN(NOISE, [8, 8, 4], 3, NAMES)
    generator.embedding.data.mul_(4)
    return generator.eval().requires_grad_(False)


@pytest.mark.parametrize("closed", [False, True])
def test_where_classes_mix_a_walk_leads_from_class_to_class(mixing: BigGAN, closed: bool) -> None:
    z = mixing.sample_z(3, seed=1, classes=torch.tensor([2, 0, 0]))
    positions = torch.tensor([0.0, 0.25, 1.0, 1.5, 2.0, *([2.75, 3.0] if closed else [])])
    weights = torch.tensor([[0, 0, 1], [0.25, 0, 0.75], [1, 0, 0], [1, 0, 0], [1, 0, 0], [0.25, 0, 0.75], [0, 0, 1]])
    walk = latent.Walk(mixing, z, closed=closed)
    rows = torch.cat([walk.path.at(positions), weights[: len(positions)]], dim=1)
    torch.testing.assert_close(walk.images(positions), mixing(rows))
    assert torch.equal(walk.images(torch.arange(3)), mixing(z))


def test_a_walk_may_move_the_class_alone(mixing: BigGAN) -> None:
    z = mixing.sample_z(1, seed=1).repeat(2, 1)
    z[:, NOISE:] = torch.eye(3)[:2]
    images = latent.Walk(mixing, z).images(torch.tensor([0.0, 0.5, 1.0]))
    middle = torch.cat([z[:1, :NOISE], torch.tensor([[0.5, 0.5, 0.0]])], dim=1)
    torch.testing.assert_close(images[1:2], mixing(middle))
    assert not torch.allclose(images[0], images[2])


def test_a_walk_through_activations_mixes_the_class_of_later_layers(mixing: BigGAN) -> None:
    z = mixing.sample_z(2, seed=1, classes=torch.tensor([2, 0]))
    walk = latent.Walk(mixing, z, "layer2")
    row = torch.cat([latent.slerp(z[:1, :NOISE], z[1:, :NOISE], 0.5), torch.tensor([[0.5, 0.0, 0.5]])], dim=1)
    activations = mixing.head(z, "layer2").mean(0, keepdim=True)
    torch.testing.assert_close(walk.images(torch.tensor([0.5])), mixing.tail(activations, "layer2", row))


def test_a_grid_mixes_the_classes_of_its_corners(mixing: BigGAN) -> None:
    z = mixing.sample_z(4, seed=1, classes=torch.tensor([0, 1, 2, 0]))
    images = latent.generate_grid(mixing, z, 3, 3)
    torch.testing.assert_close(images[[0, 2, 6, 8]], mixing(z))
    noise = latent.slerp(*(latent.slerp(z[i : i + 1, :NOISE], z[i + 1 : i + 2, :NOISE], 0.5) for i in (0, 2)), 0.5)
    middle = torch.cat([noise, torch.tensor([[0.5, 0.25, 0.25]])], dim=1)
    torch.testing.assert_close(images[4:5], mixing(middle))


def test_only_an_embedding_mixes_classes(G: ConditionalDCGAN, mixing: BigGAN) -> None:
    assert latent.capabilities(mixing).mixes_classes
    assert not latent.capabilities(G).mixes_classes


def test_rows_take_the_class_of_the_first(G: ConditionalDCGAN) -> None:
    z = G.sample_z(5, seed=1, classes=torch.tensor([2, 0, 1, 2, 1]))
    held = latent.hold_class(G, z)
    assert torch.equal(held[:, :NOISE], z[:, :NOISE])
    assert G.classes_of(held) == ("owl",) * 5
    plain = DCGAN(size=16, width=4, z_dim=NOISE)
    assert torch.equal(latent.hold_class(plain, z[:, :NOISE]), z[:, :NOISE])


def test_the_path_length_is_that_of_paths_whose_ends_have_the_first_ones_class(G: ConditionalDCGAN) -> None:
    def features(images: Tensor) -> Tensor:
        return images.mean(dim=1).flatten(1)

    count, epsilon = 10, 1e-2
    measured = latent.path_length(
        G, "mean", features, num_samples=count, epsilon=epsilon, clip=0.0, at_ends=True, progress=False
    )
    z = G.sample_z(2 * count)
    values = []
    for a, b in zip(z[0::2], z[1::2], strict=True):
        index = int(a[NOISE:].argmax())
        there = latent.slerp(a[:NOISE], b[:NOISE], epsilon)
        change = features(G(_row(there[None], index))) - features(G(a[None]))
        values.append(float(change.double().square().sum()) / epsilon**2)
    assert measured.mean == pytest.approx(sum(values) / count, rel=1e-3)


def test_truncation_leaves_the_class_and_truncates_the_noise_as_without_classes(G: ConditionalDCGAN) -> None:
    plain = DCGAN(size=16, width=4, z_dim=NOISE).eval()
    z = latent.truncated_z(G, 20, 5, 0.5)
    assert torch.equal(z[:, :NOISE], latent.truncated_z(plain, 20, 5, 0.5))
    assert torch.equal(z[:, NOISE:], G.sample_z(20, 5)[:, NOISE:])


def test_directions_in_closed_form_are_the_strongest_of_the_noise(G: ConditionalDCGAN) -> None:
    found = latent.closed_form_directions(G, NOISE)
    (whole,) = G.latent_maps()
    assert whole.shape[1] == NOISE + len(NAMES)
    _, lengths, vectors = torch.linalg.svd(whole[:, :NOISE].double(), full_matrices=False)
    for direction, vector in zip(found, vectors, strict=True):
        assert not direction.vector[NOISE:].any()
        assert abs(float(direction.vector[:NOISE] @ vector)) == pytest.approx(1)
    assert [direction.score for direction in found] == pytest.approx((lengths**2 / (lengths**2).sum()).tolist())
    with pytest.raises(ValueError, match=f"num_directions must be in 1 to {NOISE}; got {NOISE + 1}"):
        latent.closed_form_directions(G, NOISE + 1)


def test_boundaries_and_components_in_z_leave_the_class_alone(G: ConditionalDCGAN) -> None:
    boundary = latent.find_boundary(G.of_classes("dog"), SEGMENTER, "light", 60, progress=False)
    found = latent.component_directions(G, 2, "layer1", 50, in_z=True, progress=False)
    for direction in (boundary.direction, *found):
        assert direction.vector.shape == (NOISE + len(NAMES),)
        assert not direction.vector[NOISE:].any()


def test_a_step_moves_the_noise_of_each_row(G: ConditionalDCGAN) -> None:
    (direction,) = latent.closed_form_directions(G, 1)
    z = G.sample_z(5, seed=4)
    moved = latent.move(G, z, direction, (-2, 0, 1.5)).latents
    assert moved is not None
    assert torch.equal(moved[1], z)
    torch.testing.assert_close(
        moved[2][:, :NOISE] - z[:, :NOISE], (1.5 * direction.vector[:NOISE]).float().expand(5, -1)
    )
    assert all(torch.equal(rows[:, NOISE:], z[:, NOISE:]) for rows in moved)


def test_the_random_control_of_a_direction_in_z_holds_the_class(G: ConditionalDCGAN) -> None:
    (direction,) = latent.closed_form_directions(G, 1)
    control = random_direction(G, direction, 0)
    assert float(control.vector.norm()) == pytest.approx(1)
    assert not control.vector[NOISE:].any()
    effect = latent.label_direction(G, SEGMENTER, direction, num_samples=12, progress=False)
    assert effect.num_samples == 12


def test_a_direction_in_z_that_moves_the_class_is_refused(G: ConditionalDCGAN) -> None:
    with pytest.raises(ValueError, match="holds the class: its last 3 entries must be 0"):
        Direction.of(G, "mixed", torch.ones(NOISE + len(NAMES)), space="z")


def test_an_inversion_keeps_the_class_of_its_start_and_descends_in_the_noise(G: ConditionalDCGAN) -> None:
    z = G.sample_z(3, seed=9, classes=torch.tensor([2, 0, 1]))
    pictures = G(z).clamp(-1, 1)
    best = latent.invert(G, pictures, num_candidates=60, num_starts=4, num_steps=0, progress=False)
    inversion = latent.invert(G, pictures, num_candidates=60, num_starts=4, num_steps=40, progress=False)
    ends = inversion.latents[:, NOISE:]
    assert set(ends.unique().tolist()) == {0.0, 1.0}
    assert torch.equal(ends.sum(1), torch.ones(3))
    assert bool((inversion.loss_end < best.loss_end).all())
    own = latent.invert(
        G.of_classes("owl"), pictures[:1], num_candidates=60, num_starts=4, num_steps=40, progress=False
    )
    assert G.classes_of(own.latents) == ("owl",)
