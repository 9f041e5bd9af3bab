"""Directions of latent spaces against what is known of them in closed form, or by slow float64 numpy."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import generators
from gandissect.core import NetworkId
from gandissect.core.types import Concept, UnitSet
from gandissect.latent.directions.boundaries import find_boundaries, find_boundary, keep_unchanged, rescore_layers
from gandissect.latent.directions.closed_form import closed_form_directions, strongest_directions
from gandissect.latent.directions.components import StreamingComponents, component_directions
from gandissect.latent.directions.direction import Direction, Label
from gandissect.latent.directions.labels import DirectionEffect, SideEffect, label_direction, with_labels
from gandissect.latent.directions.moves import move
from gandissect.latent.directions.regression import fit, fit_logistic, fit_ridge
from gandissect.stats.intervals import summarize_shares
from gandissect.stats.streaming import AreaMoments
from generators.architectures.base import LayeredGenerator
from segmenters.palette import PaletteSegmenter

SKY, GROUND, SUN = Concept(0, "sky", (0, 0, 255)), Concept(1, "ground", (0, 255, 0)), Concept(2, "sun", (255, 0, 0))
SEGMENTER = PaletteSegmenter((SKY, GROUND, SUN))
SIDE = 32
SLOPE = 0.05


class Horizon(LayeredGenerator):
    """Sky over the first ``0.5 + 0.05 z[2]`` of the rows, ground below; a sun of 4 rows in a corner if ``z[0] > 0``."""

    architecture = "horizon"

    def __init__(self, normalized: bool = False, z_dim: int = 5) -> None:
        super().__init__(z_dim, {"normalized": normalized})
        self.normalizes_z = normalized
        self.layer1 = _Rows(normalized)
        self.output = nn.Conv2d(3, 3, 1, bias=False)
        with torch.no_grad():
            self.output.weight[:, :, 0, 0] = torch.tensor([each.color for each in (SKY, GROUND, SUN)]).T / 127.5 - 1
        self.eval().requires_grad_(False)


class _Rows(nn.Module):
    def __init__(self, normalized: bool) -> None:
        super().__init__()
        self.normalized = normalized

    def forward(self, z: Tensor) -> Tensor:
        z = z[:, :, 0, 0].double()
        if self.normalized:
            z = z / z.square().mean(1, keepdim=True).sqrt()
        place = torch.arange(SIDE * SIDE).view(SIDE, SIDE)[None] + 0.5  # pixel by pixel, so that rounding is fine
        sky = place < (0.5 + SLOPE * z[:, 2, None, None]) * SIDE * SIDE
        sun = (
            (torch.arange(SIDE) >= SIDE - 4)[None, :, None]
            & (z[:, 0] > 0)[:, None, None]
            & torch.ones(SIDE, dtype=bool)
        )
        return torch.stack([sky & ~sun, ~sky & ~sun, sun], 1).float()


def _angle(vector: Tensor, other: Tensor) -> float:
    """Degrees, 0 to 180."""
    a, b = vector.double().numpy(), other.double().numpy()
    return float(np.degrees(np.arccos(np.clip(a @ b / np.linalg.norm(a) / np.linalg.norm(b), -1, 1))))


def _axis(generator: LayeredGenerator, index: int, **facts: object) -> Direction:
    vector = torch.zeros(generator.z_dim)
    vector[index] = 7.0
    return Direction.of(generator, f"axis {index}", vector, space="z", **facts)


def _style(cls: type = generators.StyleGAN) -> LayeredGenerator:
    torch.manual_seed(0)
    return cls(size=8, width=3, max_width=6, z_dim=6, w_dim=5, mapping_depth=2).eval().requires_grad_(False)


# closed form


def test_a_map_of_known_singular_vectors_gives_them_in_order_and_with_their_signs() -> None:
    rng = np.random.default_rng(0)
    left, _ = np.linalg.qr(rng.normal(size=(9, 4)))
    right, _ = np.linalg.qr(rng.normal(size=(4, 4)))
    values = np.array([0.5, 3.0, 1.0, 2.0])
    vectors, eigenvalues = strongest_directions(torch.from_numpy(left @ np.diag(values) @ right.T))
    for row, place in enumerate([1, 3, 2, 0]):
        wanted = right[:, place] * np.sign(right[np.abs(right[:, place]).argmax(), place])
        assert np.allclose(vectors[row].numpy(), wanted, atol=1e-12)
    assert np.allclose(eigenvalues.numpy(), [9, 4, 1, 0.25])


@pytest.mark.parametrize("cls", [generators.DCGAN, generators.ProGAN])
def test_the_first_map_of_z_is_what_the_first_convolution_does(cls: type) -> None:
    torch.manual_seed(1)
    generator = cls(size=16, width=3, z_dim=6).eval()
    z = generator.sample_z(4, seed=3)
    if cls is generators.ProGAN:
        z = z / z.square().mean(1, keepdim=True).sqrt()
    for each in (generator, generator.forcing(UnitSet("layer1", (0,)), [0.0])):
        first = next(module for module in each.modules() if "Conv" in type(module).__name__)
        (matrix,) = each.latent_maps()
        bias = 0 if first.bias is None else first.bias[None, :, None, None]
        assert torch.allclose(z @ matrix.T, (first(z[:, :, None, None]) - bias).flatten(1), atol=1e-5)


@pytest.mark.parametrize("cls", [generators.StyleGAN, generators.StyleGAN2])
def test_the_maps_of_w_are_all_that_read_it(cls: type) -> None:
    """Found by calling the network and noting what each affine map is given and returns."""
    generator = _style(cls)
    ws = generator.mapping(generator.sample_z(1, 0)) + torch.arange(6.0).repeat(2)[: generator.mapping.num_ws, None]
    seen: dict[int, list[Tensor]] = {}
    for module in generator.modules():
        if hasattr(module, "affine"):
            module.affine.register_forward_hook(
                lambda made, given, output: seen.setdefault(int((given[0] == ws[0]).all(1).nonzero()[0]), []).append(
                    output - made.bias * made.rate
                )
            )
    generator(ws)
    for index, matrix in enumerate(generator.latent_maps()):
        made = ws[0, index] @ matrix.T
        assert torch.allclose(made.sort().values, torch.cat(seen[index], 1)[0].sort().values, atol=1e-5)


def test_directions_of_some_ws_move_these_only() -> None:
    generator = _style()
    found = closed_form_directions(generator, 2, ws=[3, 1])
    assert [each.ws for each in found] == [(1, 3), (1, 3)]
    matrix = torch.cat([generator.latent_maps()[index] for index in (1, 3)]).double().numpy()
    right = np.linalg.svd(matrix)[2]
    for direction, wanted in zip(found, right, strict=False):
        assert abs(float(direction.vector.numpy() @ wanted)) == pytest.approx(1, abs=1e-9)
    ws = generator.mapping(generator.sample_z(3, 5))
    moved = move(generator, ws, found[0], [0, 2]).latents
    shift = (moved[1] - moved[0])[0]
    assert torch.equal(moved[0], ws)
    assert not shift[[0, 2, *range(4, len(shift))]].any()
    assert torch.allclose(shift[[1, 3]].double(), 2 * found[0].sigma * found[0].vector.expand(2, -1), atol=1e-6)


# components


@pytest.mark.parametrize("cuts", [[200], [1, 1, 50, 148], [7] * 20])
def test_streamed_components_are_those_of_a_full_svd(cuts: list[int]) -> None:
    rng = np.random.default_rng(2)
    rows = rng.normal(size=(sum(cuts), 30)) @ np.diag(np.linspace(3, 0.1, 30)) @ rng.normal(size=(30, 30)) + 100
    statistic = StreamingComponents(30)
    half = StreamingComponents(30)
    for number, part in enumerate(np.split(rows, np.cumsum(cuts)[:-1])):
        (half if number % 2 else statistic).update(torch.from_numpy(part))
    again = StreamingComponents(30)
    again.load_state(half.state())
    statistic.merge(again)
    found = statistic.compute()
    _, lengths, right = np.linalg.svd(rows - rows.mean(0), full_matrices=False)
    assert np.allclose(found.mean.numpy(), rows.mean(0))
    assert np.allclose(found.stdevs.numpy(), lengths / np.sqrt(len(rows) - 1), rtol=1e-9)
    assert np.allclose(found.shares.numpy(), lengths**2 / (lengths**2).sum())
    assert np.allclose(np.abs((found.vectors.numpy() * right).sum(1)), 1, atol=1e-8)
    assert (found.vectors.gather(1, found.vectors.abs().argmax(1, keepdim=True)) > 0).all()
    assert found.lost < 1e-12


def test_what_a_lower_rank_loses_is_known_and_memory_does_not_grow() -> None:
    rng = np.random.default_rng(3)
    rows = rng.normal(size=(600, 40)) * 0.7 ** np.arange(40)
    statistic = StreamingComponents(40, rank=8)
    for part in np.split(rows, 60):
        statistic.update(torch.from_numpy(part))
        assert len(statistic.rows) <= 16 + 11
    found = statistic.compute()
    lengths = np.linalg.svd(rows - rows.mean(0), compute_uv=False)
    assert np.allclose(found.stdevs[:3].numpy(), (lengths / np.sqrt(599))[:3], rtol=1e-3)
    assert found.lost == pytest.approx((lengths[8:] ** 2).sum() / (lengths**2).sum(), rel=0.2)


def test_wide_rows_are_reduced_as_a_full_svd_does() -> None:
    """Rank 20 of 300 numbers, of which 12 vary: nothing is lost, whichever way rows are reduced."""
    rng = np.random.default_rng(4)
    rows = rng.normal(size=(400, 12)) * np.logspace(2, -3, 12) @ rng.normal(size=(12, 300)) + 50
    statistic = StreamingComponents(300, rank=20)
    for part in np.split(rows, 16):
        statistic.update(torch.from_numpy(part))
    found = statistic.compute()
    _, lengths, right = np.linalg.svd(rows - rows.mean(0), full_matrices=False)
    there = len(found.stdevs)
    assert there == 12
    assert np.allclose(found.stdevs.numpy(), lengths[:12] / np.sqrt(399), rtol=1e-8)
    assert np.allclose(np.abs((found.vectors.numpy() * right[:12]).sum(1)), 1, atol=1e-8)
    assert found.lost < 1e-10


@pytest.mark.parametrize("value", [0.0, 0.1, 1 / 3, 1e8 + 0.1])
def test_what_does_not_vary_but_for_rounding_has_no_components(value: float) -> None:
    statistic = StreamingComponents(5)
    for _ in range(3):
        statistic.update(torch.full((64, 5), value, dtype=torch.float64))
    with pytest.raises(ValueError, match="samples must differ"):
        statistic.compute()
    statistic.update(torch.full((1, 5), value + 1e-3 * max(1, value), dtype=torch.float64))
    assert len(statistic.compute().stdevs) == 1


def test_components_refuse_what_has_none_or_takes_too_much_memory() -> None:
    statistic = StreamingComponents(5)
    statistic.update(torch.ones(3, 5))
    bad = torch.ones(4, 5)
    bad[2, 1] = torch.nan
    with pytest.raises(ValueError, match="NaN or infinite number in sample 5"):
        statistic.update(bad)
    with pytest.raises(ValueError, match=r"rows must be \[batch, 5\]; got \[4, 1\]"):
        statistic.update(bad[:, :1])
    with pytest.raises(ValueError, match=r"4.3 GiB.*use a layer with fewer or smaller maps"):
        StreamingComponents(10**6)
    with pytest.raises(ValueError, match="must be finite and not all 0"):
        strongest_directions(torch.full((3, 4), torch.nan))
    with pytest.raises(ValueError, match="must be finite and not all 0"):
        strongest_directions(torch.zeros(3, 4))


def test_components_of_w_are_those_of_its_samples() -> None:
    generator = _style()
    found = component_directions(generator, 3, num_samples=100, seed=4, progress=False)
    from gandissect.core.sampling import derive_seed

    w = generator.mapping(generator.sample_z(100, derive_seed(4, "components")))[:, 0].double().numpy()
    _, lengths, right = np.linalg.svd(w - w.mean(0))
    for number, direction in enumerate(found):
        assert abs(direction.vector.numpy() @ right[number]) == pytest.approx(1, abs=1e-6)
        assert direction.sigma == pytest.approx(lengths[number] / np.sqrt(99), rel=1e-6)


class Linear(LayeredGenerator):
    """Activations ``A z`` with known A."""

    architecture = "linear"

    def __init__(self, matrix: Tensor) -> None:
        super().__init__(matrix.shape[1], {})
        self.layer1 = nn.Conv2d(matrix.shape[1], len(matrix), 1, bias=False)
        self.output = nn.Conv2d(len(matrix), 3, 1)
        with torch.no_grad():
            self.layer1.weight[:, :, 0, 0] = matrix
        self.eval().requires_grad_(False)


def test_components_of_activations_lead_back_to_the_z_that_make_them() -> None:
    """Activations ``U S V^T z`` of normal z have the components U, and V is what makes them."""
    rng = np.random.default_rng(5)
    left, _ = np.linalg.qr(rng.normal(size=(7, 4)))
    right, _ = np.linalg.qr(rng.normal(size=(4, 4)))
    generator = Linear(torch.from_numpy(left @ np.diag([8.0, 4.0, 2.0, 1.0]) @ right.T).float())
    there = component_directions(generator, 3, "layer1", 4000, progress=False)
    back = component_directions(generator, 3, "layer1", 4000, in_z=True, progress=False)
    for number in range(3):
        sides = (there[number].vector.flatten(), left), (back[number].vector, right)
        cosines = [float(found.numpy() @ wanted[:, number]) for found, wanted in sides]
        assert min(map(abs, cosines)) > 0.995
        assert cosines[0] * cosines[1] > 0  # both ways are the same way
        assert there[number].sigma == pytest.approx(8 / 2**number, rel=0.05)
    assert back[0].space == "z"
    assert there[0].layer == "layer1"


# boundaries


@pytest.mark.parametrize("logistic", [True, False])
def test_the_boundary_of_two_gaussians_is_the_known_one(logistic: bool) -> None:
    """Of N(+-m, C) the boundary's normal is ``C^-1 m``, for the logistic regression and for least squares."""
    rng = np.random.default_rng(6)
    factor = rng.normal(size=(6, 6)) / 3 + np.eye(6)
    mean = rng.normal(size=6)
    mean /= np.sqrt(mean @ np.linalg.solve(factor @ factor.T, mean))
    side = rng.integers(0, 2, 8000)
    x = rng.normal(size=(8000, 6)) @ factor.T + np.where(side[:, None], mean, -mean)
    found = fit(torch.from_numpy(x), torch.from_numpy(side.astype(float)), logistic=logistic)
    normal = np.linalg.solve(factor @ factor.T, mean)
    assert _angle(found.weight, torch.from_numpy(normal)) < 4
    if logistic:
        sharp = fit_logistic(torch.from_numpy(x), torch.from_numpy(side.astype(float)), 1e-6)
        assert np.allclose(sharp.weight.numpy(), 2 * normal, atol=0.15 * np.abs(2 * normal).max())


def test_both_regressions_stand_where_their_gradient_is_0() -> None:
    rng = np.random.default_rng(7)
    x, y = torch.from_numpy(rng.normal(size=(60, 4))), torch.from_numpy(rng.integers(0, 2, 60).astype(float))
    for method, weighed in ((fit_ridge, lambda value: value), (fit_logistic, torch.sigmoid)):
        found = method(x, y, 3.0)
        rest = weighed(found(x)) - y
        assert np.allclose((x.T @ rest + 3.0 * found.weight).numpy(), 0, atol=1e-8)
        assert abs(float(rest.sum())) < 1e-8


def test_separable_samples_have_a_boundary_too() -> None:
    """As the penalty falls it tends to that of the widest margin, here between the inner two samples."""
    x = torch.tensor([[-2.0, 0.1], [-1.0, -0.1], [1.0, 0.1], [2.0, -0.1]], dtype=torch.float64)
    found = fit_logistic(x, torch.tensor([0.0, 0, 1, 1], dtype=torch.float64), 1e-3)
    assert _angle(found.weight, torch.tensor([1.0, 0.1])) < 0.5


def test_a_planted_direction_is_found_from_shares_and_from_presence() -> None:
    generator = Horizon()
    share = find_boundary(generator, SEGMENTER, "sky", 120, 1, progress=False)
    assert _angle(share.direction.vector, torch.eye(5)[2]) < 3
    assert share.score > 0.9
    assert share.interval[0] <= share.score <= share.interval[1]
    several = find_boundaries(generator, SEGMENTER, ("sun", "sky"), 120, 1, progress=False)
    assert list(several) == ["sun", "sky"]
    assert torch.equal(several["sky"].direction.vector, share.direction.vector)
    assert str(several["sky"]) == str(share)
    sun = find_boundary(generator, SEGMENTER, "sun", 120, 1, min_share=0.01, progress=False)
    assert _angle(sun.direction.vector, torch.eye(5)[0]) < 20
    assert sun.interval[0] <= sun.score <= sun.interval[1]
    assert sun.score > 0.85 > sun.chance
    assert sun.num_held_out == 60


def test_a_boundary_of_nothing_scores_no_better_than_chance() -> None:
    generator = Horizon()
    noise = _Coin()
    found = find_boundary(generator, noise, "ground", 200, 0, progress=False)
    assert found.score < 0.1
    assert found.interval[0] < 0.05


class _Coin:
    """Labels whole images at random."""

    name, fingerprint, concepts = "coin", "0" * 64, (SKY, GROUND, SUN)

    def __init__(self) -> None:
        self.rng = torch.Generator().manual_seed(0)

    def __call__(self, images: Tensor) -> Tensor:
        return torch.randint(0, 3, (len(images), 1, 1), generator=self.rng).expand(-1, 8, 8)


def test_what_is_to_be_kept_is_at_right_angles() -> None:
    generator = Horizon()
    rng = torch.Generator().manual_seed(1)
    made = [Direction.of(generator, f"d{n}", torch.randn(5, generator=rng), space="z") for n in range(3)]
    made[0] = replace(made[0], score=0.9)
    twin = replace(made[1], name="twin")
    found = keep_unchanged(generator, made[0], [made[1], made[2], twin])
    assert max(abs(float(found.vector @ each.vector)) for each in made[1:]) < 1e-12
    assert (found.name, found.score) == ("d0-keeping-d1-d2-twin", None)
    removed = made[0].vector - (made[0].vector @ found.vector) * found.vector
    spanned = torch.stack([made[1].vector, made[2].vector, removed])
    assert int(torch.linalg.matrix_rank(spanned, tol=1e-9)) == 2  # nothing else was taken away
    with pytest.raises(ValueError, match="nothing of 'd1'"):
        keep_unchanged(generator, made[1], [twin])


def test_only_the_ws_that_a_concept_depends_on_score() -> None:
    """A style generator all of whose layers but one are made deaf to their w."""
    generator = _style()
    for name, stage in generator.named_children():
        if hasattr(stage, "affine") and name != "layer3":
            stage.affine.weight.zero_()
    direction = component_directions(generator, 1, num_samples=50, progress=False)[0]
    gray = PaletteSegmenter((Concept(0, "dark", (90, 90, 90)), Concept(1, "light", (160, 160, 160))))
    scores = rescore_layers(generator, gray, direction, "light", 3.0, 8, progress=False)
    deaf = [index for index in range(len(direction.ws)) if index != 2]
    assert not scores.changes.mean[deaf].any()
    assert bool(scores.changes.mean[2])
    best = max(
        (scores, rescore_layers(generator, gray, direction, "light", -3.0, 8, progress=False)),
        key=lambda each: float(each.gains.mean.max()),
    )
    narrow = best.best(1)
    assert (narrow.ws, narrow.name, narrow.score) == ((2,), "pca-1-in-ws-2", None)
    assert direction.score is not None


# labels


def test_the_label_of_a_planted_direction_is_the_right_one() -> None:
    """A step of 1 along z[2] adds 5% of sky, as long as the horizon is in the picture; 0.05 * 3 + 0.15 < 0.5."""
    generator = Horizon()
    effect = label_direction(generator, SEGMENTER, _axis(generator, 2), (-2, -1, 0, 1, 2), 40, 3, progress=False)
    assert [label.concept for label in effect.labels] == ["sky", "ground"]
    without_sun = SLOPE  # the sun lies at the bottom, where the ground is
    assert effect.interval("sky")[0] - 2e-4 <= without_sun <= effect.interval("sky")[1] + 2e-4
    assert float(effect.effect.slope.mean[0]) == pytest.approx(SLOPE, abs=1e-3)
    assert float(effect.effect.slope.mean[1]) == pytest.approx(-SLOPE, abs=1e-3)
    for step, change in zip(effect.steps, effect.effect.changes, strict=True):
        assert float(change.mean[0]) == pytest.approx(step * SLOPE, abs=2e-3)
    assert not float(effect.effect.slope.mean[2])
    assert float(effect.control.slope.mean[0].abs()) < SLOPE


def test_the_interval_of_a_slope_holds_the_expected_one() -> None:
    """The sun comes up along z[0]: from -a to +a in all images with |z[0]| < a, 2 Phi(a) - 1 of them."""
    generator = Horizon()
    slope = (4 / SIDE) * (2 * 0.5 * (1 + float(torch.erf(torch.tensor(0.8 / 2**0.5)))) - 1) / 1.6
    direction, inside = _axis(generator, 0), 0
    for seed in range(30):
        low, high = label_direction(
            generator, SEGMENTER, direction, (-0.8, 0.8), 40, seed, batch_size=40, progress=False
        ).interval("sun")
        inside += low <= slope <= high
    assert inside >= 25  # of 30; below that in less than 1 of 100


def test_a_direction_that_changes_nothing_is_given_no_label() -> None:
    generator = Horizon()
    effect = label_direction(generator, SEGMENTER, _axis(generator, 4), (-3, 3), 20, progress=False)
    assert effect.labels == ()
    assert "no label" in str(with_labels(_axis(generator, 4), effect))


def test_labels_of_another_direction_or_generator_are_refused() -> None:
    generator, other = Horizon(), Horizon(normalized=True)
    effect = label_direction(generator, SEGMENTER, _axis(generator, 4), (-3, 3), 10, progress=False)
    for direction in (_axis(generator, 3), _axis(other, 4)):
        with pytest.raises(ValueError, match="got the effect of 'axis 4' of horizon"):
            with_labels(direction, effect)


def test_labels_are_of_images_that_were_moved_one_by_one() -> None:
    """By hand: each z moved, drawn and segmented alone."""
    generator, direction, steps = Horizon(normalized=True), None, (-2.0, 0.5)
    direction = Direction.of(generator, "d", torch.tensor([1.0, 0, -1, 0, 0.5]), space="z")
    effect = label_direction(generator, SEGMENTER, direction, steps, 12, 8, batch_size=5, progress=False)
    shares = np.zeros((3, 12, 3))
    for row in range(12):
        z = generator.sample_z(12, seed=8)[row].double().numpy()
        for number, step in enumerate((0.0, *steps)):
            moved = z + step * direction.vector.numpy()
            labels = SEGMENTER(generator(torch.from_numpy(moved)[None].float()))
            shares[number, row] = [float((labels == concept).double().mean()) for concept in range(3)]
    for number in (1, 2):
        wanted = (shares[number] - shares[0]).mean(0)
        assert np.allclose(effect.effect.changes[number - 1].mean.numpy(), wanted, atol=1e-3)
        errors = (shares[number] - shares[0]).std(0, ddof=1) / np.sqrt(12)
        assert np.allclose(effect.effect.changes[number - 1].stderr.numpy(), errors, atol=1e-3)
    slope = (shares[2] - shares[1]).mean(0) / 2.5
    assert np.allclose(effect.effect.slope.mean.numpy(), slope, atol=1e-3)


@pytest.mark.parametrize("num_images", [10, 50])
@pytest.mark.parametrize("num_concepts", [3, 20])
def test_of_directions_that_change_nothing_5_in_100_are_labeled_at_most(num_images: int, num_concepts: int) -> None:
    """Both images of each pair are labeled at random, pixel by pixel."""
    tries, rng = 500, np.random.default_rng(num_images)
    concepts = tuple(Concept(index, f"c{index}", (index, 0, 0)) for index in range(num_concepts))
    found = 0
    for _ in range(tries):
        before, after = rng.multinomial(16, np.ones(num_concepts) / num_concepts, (2, num_images))
        found += bool(_effect(concepts, torch.from_numpy(after - before), 16).labels)
    assert found <= tries * 0.05 + 3 * (tries * 0.05 * 0.95) ** 0.5


def _effect(concepts: tuple[Concept, ...], changes: Tensor, num_pixels: int) -> DirectionEffect:
    """What was found of changes of areas, int64 [image, concept], from a step of 0 to one of 1."""
    moments = AreaMoments(len(concepts), num_pixels)
    moments.update(changes)
    shares = summarize_shares(moments)
    side = SideEffect((shares,), shares)
    facts = ("d", NetworkId("g", "0" * 64), NetworkId("s", "0" * 64), concepts, (1.0,), len(changes), 0)
    return DirectionEffect(*facts, shares, side, side)


def test_fewer_than_10_images_give_no_label() -> None:
    changes = torch.tensor([[7, -7]] * 9 + [[8, -8]])
    concepts = (SKY, GROUND)
    assert [label.concept for label in _effect(concepts, changes, 16).labels] == ["sky", "ground"]
    assert _effect(concepts, changes[:9], 16).labels == ()
    effect = _effect(concepts, changes, 16)
    for wrong in (
        {"steps": (float("nan"),)},
        {"num_samples": 1},
        {"base": replace(effect.base, stderr=effect.base.stderr + torch.inf)},
    ):
        with pytest.raises(ValueError, match=r"finite numbers|must be at least 2|must be finite"):
            replace(effect, **wrong)
    with pytest.raises(ValueError, match="num_samples must be at least 10 to label a direction; got 9"):
        label_direction(Horizon(), SEGMENTER, _axis(Horizon(), 0), num_samples=9)


# moving


def test_z_of_a_network_that_normalizes_keeps_its_length_and_turns_by_the_angle_told() -> None:
    generator = Horizon(normalized=True)
    z = generator.sample_z(6, 2)
    moved = move(generator, z, _axis(generator, 2), [0, 1, 1e-4, 1e9])
    assert torch.equal(moved.latents[0], z)
    assert torch.allclose(moved.latents.norm(dim=2), z.norm(dim=1).expand(4, -1), rtol=1e-6)
    for step, number in ((1, 1), (1e9, 3)):
        for row in range(6):
            there = z[row].double() + step * torch.eye(5, dtype=torch.float64)[2]
            assert float(moved.angles[number, row]) == pytest.approx(_angle(z[row], there), abs=1e-3)
    assert not moved.angles[0].any()
    assert float(moved.angles[2].max()) < 0.01
    assert move(Horizon(), z, _axis(Horizon(), 2), [1]).angles is None


def test_activations_are_moved_and_a_step_of_0_changes_nothing() -> None:
    generator = _style(generators.StyleGAN2)
    info = generator.layers["layer2"]
    vector = torch.zeros(info.units, info.height, info.width)
    vector[1, 2, 3] = -1
    direction = Direction.of(generator, "one cell", vector, space="activation", layer="layer2")
    z = generator.sample_z(3, 1)
    values = torch.cat([generator.head(generator.sample_z(64, 5), "layer2")])[:, 1, 2, 3]
    assert direction.sigma == pytest.approx(float(values.std()), rel=0.5)
    moved = move(generator, z, direction, [0, 2])
    assert torch.equal(moved.images[0], generator(z))
    by_hand = generator.head(z, "layer2")
    by_hand[:, 1, 2, 3] -= 2 * direction.sigma
    assert torch.allclose(moved.images[1], generator.tail(by_hand, "layer2", z), atol=1e-5)
    assert moved.latents is None


# files and errors


def test_a_saved_direction_comes_back_the_same(tmp_path: Path) -> None:
    generator = Horizon()
    direction = with_labels(
        _axis(generator, 2), label_direction(generator, SEGMENTER, _axis(generator, 2), (1,), 10, progress=False)
    )
    effect = label_direction(generator, SEGMENTER, direction, (1,), 10, progress=False)
    for made, place in ((direction, tmp_path), (closed_form_directions(_style(), 1)[0], tmp_path / "w.safetensors")):
        path = made.save(place)
        found = Direction.load(place)
        assert torch.equal(found.vector, made.vector)
        assert found.facts() == made.facts()
        assert json.loads(path.with_suffix(".json").read_text())["name"] == made.name
    assert type(effect).load(effect.save(tmp_path)).records() == effect.records()
    (tmp_path / "direction.safetensors").write_bytes((tmp_path / "direction.safetensors").read_bytes()[:-9])
    with pytest.raises(ValueError, match=r"direction\.safetensors"):
        Direction.load(tmp_path)


def test_a_unit_that_does_not_vary_has_no_direction() -> None:
    class Dead(Linear):
        def head(self, z: Tensor, layer: str) -> Tensor:
            found = super().head(z, layer).clone()
            found[:, :2] = torch.tensor([0.3, 0.1])[:, None, None]
            return found

    generator = Dead(torch.eye(4))
    info = generator.layers["layer1"]
    vector = torch.randn(info.units, info.height, info.width, generator=torch.Generator().manual_seed(0))
    facts = {"space": "activation", "layer": "layer1"}
    assert Direction.of(generator, "d", vector, **facts).sigma > 0
    vector[2:] = 0
    with pytest.raises(ValueError, match="must vary along 'd'"):
        Direction.of(generator, "d", vector, **facts)


def test_a_direction_is_its_own_and_may_meet_autograd() -> None:
    generator, vector = Horizon(), torch.tensor([0.6, 0, 0.8, 0, 0], dtype=torch.float64)
    direction = replace(_axis(generator, 0), vector=vector)
    vector.mul_(5)
    assert direction.vector.tolist() == [0.6, 0, 0.8, 0, 0]
    found = find_boundary(generator, SEGMENTER, "sky", 30, progress=False).direction.vector
    effect = label_direction(generator, SEGMENTER, direction, num_samples=10, progress=False)
    tensors = (found, effect.base.mean, effect.effect.slope.mean, effect.effect.changes[0].stderr)
    assert not any(each.is_inference() for each in tensors)
    assert (found * torch.ones((), dtype=torch.float64, requires_grad=True)).sum().requires_grad


def test_values_that_cannot_be_make_no_direction(tmp_path: Path) -> None:
    direction = _axis(Horizon(), 2, score=-3.0, num_samples=4)
    assert Direction.load(direction.save(tmp_path)).score == -3
    for wrong in (
        {"score": 1.1},
        {"score": float("nan")},
        {"score": -float("inf")},
        {"num_samples": -1},
        {"sigma": 0.0},
        {"sigma": float("inf")},
    ):
        with pytest.raises(ValueError, match=r"score at most 1|num_samples must be at least 0"):
            replace(direction, **wrong)
    for wrong in ((float("nan"), 1.0, 9), (0.1, -1.0, 9), (0.1, float("nan"), 9), (0.1, 1.0, 1)):
        with pytest.raises(ValueError, match="a label must have a finite slope"):
            Label("sky", *wrong[:2], "s", wrong[2])


def test_another_model_is_refused() -> None:
    with pytest.raises(ValueError, match=r"direction .* belongs to"):
        move(Horizon(), torch.zeros(1, 5), _axis(Horizon(normalized=True), 0), [1])


@pytest.mark.parametrize(
    ("vector", "place", "error", "says"),
    [
        (torch.ones(4), {"space": "z"}, ValueError, "in z of stylegan must have 6 entries; got 4"),
        (torch.ones(6), {"space": "w"}, ValueError, "in w of stylegan must have 5 entries; got 6"),
        (torch.ones(5), {"space": "w", "ws": [1, 9]}, ValueError, "must be in 0 to 3; got 9"),
        (torch.ones(5), {"space": "v"}, ValueError, "unknown space 'v'"),
        (torch.ones(5), {"space": "z", "ws": [1]}, ValueError, "a direction in w must name entries of ws"),
        (torch.zeros(6), {"space": "z"}, ValueError, "not 0"),
        (torch.ones(6, 4, 4), {"space": "activation", "layer": "layer9"}, KeyError, "unknown layer 'layer9'"),
        (torch.ones(5, 4, 4), {"space": "activation", "layer": "layer1"}, ValueError, r"must be \[6, 4, 4\]"),
        (torch.ones(6), {"space": "activation", "layer": "layer1"}, ValueError, r"\[unit, h, w\]"),
    ],
)
def test_a_direction_that_does_not_fit_is_refused(vector: Tensor, place: dict, error: type, says: str) -> None:
    with pytest.raises(error, match=says):
        Direction.of(_style(), "d", vector, **place)


@pytest.mark.wrong_shape
def test_what_cannot_be_done_is_said() -> None:
    plain, style = Horizon(), _style()
    with pytest.raises(ValueError, match="has no w"):
        Direction.of(plain, "d", torch.ones(5), space="w")
    with pytest.raises(TypeError, match=r"latent_maps\(\)"):
        closed_form_directions(plain)
    with pytest.raises(ValueError, match="must be in 0 to 3"):
        closed_form_directions(style, 1, ws=[4])
    with pytest.raises(ValueError, match="num_directions must be in 1 to 5; got 6"):
        closed_form_directions(style, 6)
    with pytest.raises(ValueError, match="has no w"):
        component_directions(plain, 1, num_samples=10)
    with pytest.raises(ValueError, match="has no w, only z"):
        find_boundary(plain, SEGMENTER, "sky", space="w")
    with pytest.raises(KeyError, match="did you mean 'sky'"):
        find_boundary(plain, SEGMENTER, "skyy")
    with pytest.raises(ValueError, match="change min_share, or use more samples"):
        find_boundary(plain, SEGMENTER, "sky", 30, min_share=1.0, progress=False)
    ws = style.mapping(style.sample_z(1))
    with pytest.raises(ValueError, match="in z must be"):
        move(style, ws, Direction.of(style, "d", torch.ones(6), space="z"), [1])
    for z in (torch.ones(2, 1), torch.ones(2, 5, dtype=torch.int64)):  # the first would be broadcast
        with pytest.raises(ValueError, match=r"z of .* must be float \[batch, 5\]"):
            move(plain, z, _axis(plain, 0), [1])
    with pytest.raises(ValueError, match="z of horizon must be finite; got a NaN or infinite number in row 1"):
        move(plain, torch.tensor([[0.0], [torch.nan]]).expand(2, 5), _axis(plain, 0), [1])
    with pytest.raises(ValueError, match="w of stylegan must be finite"):
        move(style, ws / 0, Direction.of(style, "d", torch.ones(5), space="w"), [1])
    with pytest.raises(ValueError, match="steps must be one or more finite numbers"):
        move(plain, torch.zeros(1, 5), _axis(plain, 0), [float("nan")])
    with pytest.raises(ValueError, match="steps must include one that is not 0"):
        label_direction(plain, SEGMENTER, _axis(plain, 0), (0.0,), 50)
    with pytest.raises(ValueError, match="direction must be in w"):
        rescore_layers(plain, SEGMENTER, _axis(plain, 0), "sky")
