"""Chance: the statistics against slow NumPy versions, and their guarantees against simulated units and concepts."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, strategies as st
from torch import Tensor

from gandissect.core.sampling import make_rng
from gandissect.dissection.chance import compare_with_chance, jackknife_iou
from gandissect.dissection.counting.groups import NUM_GROUPS, group_of, partner_of
from gandissect.stats.significance import benjamini_hochberg, student_t_tail

SIZE = 10
NUM_SAMPLES = 256
KINDS = ("smooth", "bursty", "position")
NUM_EACH = 12
CONCEPTS = ("object", "third", "ground", "sky")


# --- Benjamini and Hochberg -------------------------------------------------------------------------------------------


def by_definition(p: list[float], rate: float) -> list[bool]:
    """Reject all values up to the largest that is at most its rank's share of the rate, in exact arithmetic."""
    limits = [each for each in p if Fraction(each) <= Fraction(rate) * sum(other <= each for other in p) / len(p)]
    return [any(each <= limit for limit in limits) for each in p]


@given(st.lists(st.integers(0, 256).map(lambda n: n / 256), min_size=1, max_size=24), st.sampled_from([1 / 64, 0.25]))
def test_discoveries_are_those_of_the_definition(p: list[float], rate: float) -> None:
    assert benjamini_hochberg(torch.tensor(p), rate).tolist() == by_definition(p, rate)


def test_the_worked_example_of_benjamini_and_hochberg() -> None:
    """Source: Benjamini and Hochberg 1995, Sec. 3.2: of 15 hypotheses, four are rejected at 5%."""
    p = [0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344]
    p += [0.0459, 0.3240, 0.4262, 0.5719, 0.6528, 0.7590, 1.0000]
    assert benjamini_hochberg(torch.tensor(p), 0.05).tolist() == [True] * 4 + [False] * 11


def test_discoveries_keep_the_shape_and_order_of_the_values() -> None:
    p = torch.tensor([[0.5, 1e-9, 0.02], [1e-4, 0.9, 1e-4]], dtype=torch.float64)
    assert benjamini_hochberg(p, 0.01).tolist() == [[False, True, False], [True, False, True]]
    assert benjamini_hochberg(torch.ones(0, 3)).shape == (0, 3)


@pytest.mark.parametrize("wrong", [math.nan, -0.1, 1.1, math.inf])
def test_what_is_no_probability_is_refused(wrong: float) -> None:
    with pytest.raises(ValueError, match=r"must be in \[0, 1\]"):
        benjamini_hochberg(torch.tensor([0.5, wrong]))


@pytest.mark.parametrize("rate", [0.0, 1.0, math.nan])
def test_a_rate_out_of_range_is_refused(rate: float) -> None:
    with pytest.raises(ValueError, match="rate"):
        benjamini_hochberg(torch.tensor([0.5]), rate)


# --- Student's t ------------------------------------------------------------------------------------------------------


def tail_by_quadrature(t: float, freedom: int) -> float:
    """The integral of the density above t, by trapezoids in y with argument t + e^y."""
    y = np.linspace(-40, 40, 20_001)
    x = t + np.exp(y)
    log_scale = math.lgamma((freedom + 1) / 2) - math.lgamma(freedom / 2) - math.log(freedom * math.pi) / 2
    log_density = log_scale - (freedom + 1) / 2 * np.log1p(x**2 / freedom)
    return float(np.exp(log_density + y).sum() * (y[1] - y[0]))


@pytest.mark.parametrize("freedom", [1, 2, 5, 15, 31, 63, 255])
@pytest.mark.parametrize("t", [0.0, 0.3, 2.0, 5.0, 12.0, 60.0])
def test_the_tail_is_the_integral_of_the_density(t: float, freedom: int) -> None:
    value = torch.tensor([t, -t], dtype=torch.float64)
    above, below = student_t_tail(value, freedom).tolist()
    expected = tail_by_quadrature(t, freedom)
    assert above == pytest.approx(expected, rel=1e-10, abs=0)
    assert below == pytest.approx(1 - expected, rel=1e-12)


def test_the_tail_of_few_degrees_of_freedom_in_closed_form() -> None:
    t = np.array([0.1, 1.0, 30.0, 1e5])
    assert student_t_tail(torch.tensor(t), 1).numpy() == pytest.approx(np.arctan(1 / t) / np.pi, rel=1e-12, abs=0)
    root = np.sqrt(2 + t**2)
    assert student_t_tail(torch.tensor(t), 2).numpy() == pytest.approx(1 / (root * (root + t)), rel=1e-12, abs=0)
    assert student_t_tail(torch.tensor([math.inf, -math.inf]), 31).tolist() == pytest.approx([0, 1], abs=1e-12)


# --- Which samples exchange label maps --------------------------------------------------------------------------------


@pytest.mark.parametrize("num_samples", [1, 2, 3, 5, 64, 65, 100, 1000, 1001])
def test_samples_exchange_labels_in_pairs_within_a_group(num_samples: int) -> None:
    samples = torch.arange(num_samples)
    partner, group = partner_of(samples, num_samples), group_of(samples, num_samples)
    assert torch.equal(partner[partner], samples)
    assert torch.equal(group[partner], group)
    assert (partner == samples).nonzero().flatten().tolist() == ([num_samples - 1] if num_samples % 2 else [])


@pytest.mark.parametrize("num_samples", [2, 3, 63, 64, 65, 100, 1000, 1001])
def test_groups_are_as_many_as_can_be_and_even(num_samples: int) -> None:
    num_pairs = -(-num_samples // 2)
    pairs = torch.bincount(group_of(torch.arange(0, num_samples, 2), num_samples))
    assert len(pairs) == min(NUM_GROUPS, num_pairs)
    assert int(pairs.max() - pairs.min()) <= 1


def test_pairs_and_groups_do_not_depend_on_how_samples_are_divided() -> None:
    samples = torch.arange(1001)
    for of in (partner_of, group_of):
        parts = [of(part, 1001) for part in torch.split(samples, 7)]
        assert torch.equal(torch.cat(parts), of(samples, 1001))


# --- The jackknife, against loops -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Counts:
    """Counts of a group, with the label maps as they are and exchanged."""

    intersection: Tensor
    permuted: Tensor
    unit_area: Tensor
    concept_area: Tensor


def random_counts(groups: int = 9, seed: int = 0) -> Counts:
    rng = make_rng(seed, "counts")
    unit_area = torch.randint(0, 90, (groups, 4), generator=rng)
    concept_area = torch.randint(0, 60, (groups, 3), generator=rng)
    smaller = torch.minimum(unit_area[:, None, :], concept_area[:, :, None])
    first, second = ((smaller * torch.rand(smaller.shape, generator=rng)).long() for _ in range(2))
    return Counts(first, second, unit_area, concept_area)


def ratio(inter: float, unit: float, concept: float) -> float:
    union = unit + concept - inter
    return inter / union if union else 0.0


def left_out_stderr(figure: Callable[[list[int]], float], groups: int) -> tuple[float, list[float]]:
    """Efron and Tibshirani 1993, eq. 11.5, literally."""
    figures = [figure([each for each in range(groups) if each != left]) for left in range(groups)]
    mean = sum(figures) / groups
    return math.sqrt((groups - 1) / groups * sum((each - mean) ** 2 for each in figures)), figures


def test_the_jackknife_is_that_of_loops() -> None:
    counts, groups = random_counts(), 9
    estimate = jackknife_iou(counts.intersection, counts.unit_area, counts.concept_area, level=0.9)
    inter, unit, concept = (x.tolist() for x in (counts.intersection, counts.unit_area, counts.concept_area))
    for c, u in itertools.product(range(3), range(4)):

        def figure(kept: list[int], c: int = c, u: int = u) -> float:
            return ratio(*np.sum([(inter[g][c][u], unit[g][u], concept[g][c]) for g in kept], axis=0))

        iou = figure(list(range(groups)))
        stderr, figures = left_out_stderr(figure, groups)
        deviation = np.array(figures) - np.mean(figures)
        power, kurtosis = (deviation**2).sum(), (deviation**4).mean() / (deviation**2).mean() ** 2
        freedom = math.floor(min(2 * groups / (kurtosis - 1), groups - 1))
        low, high = estimate.low[c, u].item(), estimate.high[c, u].item()
        assert power > 0
        assert estimate.iou[c, u].item() == pytest.approx(iou, rel=1e-12)
        assert estimate.stderr[c, u].item() == pytest.approx(stderr, rel=1e-9)
        middle = math.log(iou / (1 - iou))
        for end in (low, high):
            t = abs(math.log(end / (1 - end)) - middle) * iou * (1 - iou) / stderr
            assert tail_by_quadrature(t, freedom) == pytest.approx(0.05, rel=1e-7)
        assert low < iou < high


def test_the_comparison_with_chance_is_that_of_loops() -> None:
    counts, groups = random_counts(seed=1), 9
    chance = compare_with_chance(counts.intersection, counts.permuted, counts.unit_area, counts.concept_area)
    fields = (counts.intersection, counts.permuted, counts.unit_area, counts.concept_area)
    inter, permuted, unit, concept = (x.tolist() for x in fields)
    for c, u in itertools.product(range(3), range(4)):

        def sums(kept: list[int], c: int = c, u: int = u) -> list[int]:
            rows = [(inter[g][c][u], permuted[g][c][u], unit[g][u], concept[g][c]) for g in kept]
            return np.sum(rows, axis=0).tolist()

        def figure(kept: list[int], sums: Callable[[list[int]], list[int]] = sums) -> float:
            i, j, area, there = sums(kept)
            return ratio(i, area, there) - ratio(j, area, there)

        _, j, area, there = sums(list(range(groups)))
        z = figure(list(range(groups))) / left_out_stderr(figure, groups)[0]
        assert chance.null_iou[c, u].item() == pytest.approx(ratio(j, area, there), rel=1e-12)
        assert chance.z[c, u].item() == pytest.approx(z, rel=1e-9)
        expected = tail_by_quadrature(abs(z), groups - 1)
        assert chance.p[c, u].item() == pytest.approx(expected if z > 0 else 1 - expected, rel=1e-9)


def test_the_order_of_groups_does_not_matter() -> None:
    counts, order = random_counts(seed=2), torch.randperm(9, generator=make_rng(0, "order"))
    plain = compare_with_chance(counts.intersection, counts.permuted, counts.unit_area, counts.concept_area)
    mixed = [x[order] for x in (counts.intersection, counts.permuted, counts.unit_area, counts.concept_area)]
    torch.testing.assert_close(compare_with_chance(*mixed).z, plain.z, rtol=1e-9, atol=0)


def test_what_never_overlaps_has_an_interval_from_the_areas() -> None:
    """32 groups miss an event that occurs in a share s of groups with probability (1 - s)^32, 2.5% for this s."""
    share = 1 - 0.025 ** (1 / 32)
    nothing, unit, concept = torch.zeros(32, 1, 1, dtype=torch.int64), torch.tensor([[10]]), torch.tensor([[30]])
    estimate = jackknife_iou(nothing, unit.expand(32, 1), concept.expand(32, 1))
    assert (estimate.iou.item(), estimate.stderr.item(), estimate.low.item()) == (0, 0, 0)
    assert estimate.high.item() == pytest.approx(share * 10 / (40 - share * 10))


def test_what_always_coincides_has_an_interval_too() -> None:
    area = torch.randint(5, 50, (32, 1), generator=make_rng(0, "area"))
    estimate = jackknife_iou(area[:, :, None], area, area)
    assert (estimate.iou.item(), estimate.high.item()) == (1, 1)
    assert estimate.low.item() == pytest.approx(0.025 ** (1 / 32))


def test_a_dead_unit_and_a_concept_never_seen_are_no_discoveries() -> None:
    inter = torch.zeros(8, 2, 2, dtype=torch.int64)
    inter[:, 0, 0] = 3
    unit, concept = torch.tensor([5, 0]).expand(8, 2), torch.tensor([4, 0]).expand(8, 2)
    estimate = jackknife_iou(inter, unit, concept)
    chance = compare_with_chance(inter, torch.zeros_like(inter), unit, concept)
    assert estimate.iou.tolist() == [[0.5, 0], [0, 0]]
    for tensor in (estimate.low, estimate.high, estimate.stderr, chance.null_iou, chance.p):
        assert bool(tensor.isfinite().all())
    assert estimate.high[1, 1] == 0
    assert chance.z.tolist() == [[math.inf, 0], [0, 0]]
    assert chance.p.flatten().tolist() == pytest.approx([2**-8, 0.5, 0.5, 0.5], abs=1e-12)


def test_what_one_image_shows_is_not_called_certain() -> None:
    """A concept in a single group: z is at most 1, and the interval spans an order of magnitude."""
    inter, unit = torch.zeros(32, 1, 1, dtype=torch.int64), torch.full((32, 1), 20)
    inter[5] = 20
    concept = inter[:, :, 0] + 1
    estimate = jackknife_iou(inter, unit, concept)
    chance = compare_with_chance(inter, torch.zeros_like(inter), unit, concept)
    assert abs(chance.z.item()) < 1.05
    assert estimate.high.item() / estimate.low.item() > 10


@pytest.mark.wrong_shape
def test_counts_that_do_not_fit_are_refused() -> None:
    good = random_counts()
    inter, unit, concept = good.intersection, good.unit_area, good.concept_area
    with pytest.raises(ValueError, match="contradict"):
        jackknife_iou(inter + 100, unit, concept)
    with pytest.raises(ValueError, match="contradict"):
        compare_with_chance(inter, inter - 100, unit, concept)
    with pytest.raises(ValueError, match=r"\[9, 3, 4\]"):
        jackknife_iou(inter, concept, unit)
    with pytest.raises(ValueError, match="int64"):
        jackknife_iou(inter.double(), unit, concept)
    with pytest.raises(ValueError, match="group_of"):
        jackknife_iou(inter[:1], unit[:1], concept[:1])
    with pytest.raises(ValueError, match="level"):
        jackknife_iou(inter, unit, concept, level=95)


# --- The guarantees, on simulated units and concepts ------------------------------------------------------------------


def waves() -> Tensor:
    """Smooth patterns of an image, with up to one and a half waves along each side, ``[16, pixel]``."""
    place = (torch.arange(SIZE) + 0.5) / SIZE
    rows = torch.stack([torch.cos(math.pi * order * place) for order in range(4)])
    return torch.einsum("iy,jx->ijyx", rows, rows).reshape(16, SIZE * SIZE)


HEIGHT = torch.arange(SIZE - 1, -1, -1).repeat_interleave(SIZE) / (SIZE - 1)
"""Height of each pixel: 0 in the lowest row, 1 in the highest."""


def draw_fields(count: int, rng: torch.Generator) -> Tensor:
    return torch.randn(NUM_SAMPLES, count, 16, generator=rng) @ waves()


def draw_concepts(rng: torch.Generator) -> Tensor:
    """bool ``[sample, concept, pixel]``: one small and one large, one nearly everywhere, one always at the top."""
    field, chance = draw_fields(4, rng), torch.rand(NUM_SAMPLES, 2, generator=rng)
    ground = (chance[:, :1] > 0.06).expand(-1, SIZE * SIZE)
    sky = HEIGHT + 0.4 * chance[:, 1:] > 0.9
    return torch.stack([field[:, 0] > 4, field[:, 1] > 1.2, ground, sky], 1)


def draw_noise_units(rng: torch.Generator) -> Tensor:
    """Activations that are independent of the image; the last kind always prefers the top."""
    smooth, bursty, position = (draw_fields(NUM_EACH, rng) for _ in KINDS)
    size = torch.exp(1.5 * torch.randn(NUM_SAMPLES, NUM_EACH, 1, generator=rng))
    return torch.cat([smooth, bursty * size, position + 12 * HEIGHT.square()], 1)


def draw_followers(concepts: Tensor, rng: torch.Generator) -> Tensor:
    """Activations that follow the first two concepts, each 4 times, with noise."""
    followed = concepts[:, :2].float().repeat_interleave(4, 1)
    return 12 * followed + draw_fields(8, rng)


def count(activation: Tensor, concepts: Tensor, quantile: float = 0.01) -> Counts:
    """Counts by group, one unit at a time, where it is above the value that ``quantile`` of its values exceed."""
    units = activation.permute(1, 0, 2).flatten(1)
    threshold = units.topk(int(quantile * units.shape[1]) + 1).values[:, -1]
    on, there = (activation > threshold[None, :, None]).float(), concepts.float()
    samples = torch.arange(NUM_SAMPLES)
    partner, group = partner_of(samples, NUM_SAMPLES), group_of(samples, NUM_SAMPLES)

    def by_group(per_sample: Tensor) -> Tensor:
        zero = torch.zeros(NUM_GROUPS, *per_sample.shape[1:], dtype=torch.int64)
        return zero.index_add_(0, group, per_sample.long())

    pairs = (torch.bmm(maps, on.mT) for maps in (there, there[partner]))
    return Counts(*(by_group(each) for each in (*pairs, on.sum(2), there.sum(2))))


def compared(counts: Counts) -> Tensor:
    return compare_with_chance(counts.intersection, counts.permuted, counts.unit_area, counts.concept_area).p


@pytest.fixture(scope="module")
def trials() -> Tensor:
    """p-values ``[trial, concept, unit]``: noise units first, then the followers."""
    found = []
    for trial in range(60):
        rng = make_rng(trial, "chance")
        concepts = draw_concepts(rng)
        found.append(compared(count(torch.cat([draw_noise_units(rng), draw_followers(concepts, rng)], 1), concepts)))
    return torch.stack(found)


NOISE = slice(0, NUM_EACH * len(KINDS))


@pytest.mark.parametrize("level", [0.5, 0.05, 0.01, 0.001])
def test_p_values_of_noise_are_uniform_or_on_the_safe_side(trials: Tensor, level: float) -> None:
    """Within three standard errors from trial to trial, for all noise units and for the worst kind and concept."""
    small = (trials[:, :, NOISE] <= level).double()
    each = small.mean((1, 2))
    assert each.mean() <= level + 3 * each.std() / len(each) ** 0.5
    cells = small.unflatten(2, (len(KINDS), NUM_EACH)).mean(3)
    assert bool((cells.mean(0) <= level + 4 * cells.std(0) / len(cells) ** 0.5 + 1e-3).all())


def test_p_values_of_plain_noise_are_not_far_from_uniform(trials: Tensor) -> None:
    """A test that never rejects would satisfy every guarantee above."""
    share = (trials[:, CONCEPTS.index("third"), :NUM_EACH] <= 0.05).double().mean()
    assert 0.02 < share < 0.08


def test_at_most_one_discovery_in_a_hundred_is_false(trials: Tensor) -> None:
    """Noise units among followers: the mean share, over trials, of false discoveries."""
    shares = []
    for p in trials:
        called = benjamini_hochberg(p)
        shares.append(float(called[:, NOISE].sum()) / max(1, int(called.sum())))
    assert np.mean(shares) <= 0.01 + 3 * np.std(shares) / len(shares) ** 0.5
    assert np.mean(shares) <= 0.02


def test_noise_alone_is_hardly_ever_discovered(trials: Tensor) -> None:
    """Trials with any discovery are binomial at 1% or below; more than 4 of 60 have probability 0.0004."""
    assert sum(bool(benjamini_hochberg(p[:, NOISE]).any()) for p in trials) <= 4


def test_units_that_follow_a_concept_are_discovered(trials: Tensor) -> None:
    called = torch.stack([benjamini_hochberg(p) for p in trials])[:, :, NOISE.stop :]
    followed = torch.stack([called[:, unit // 4, unit] for unit in range(8)])
    assert followed.double().mean() > 0.95


def test_a_unit_that_is_always_on_at_the_top_does_not_know_the_sky() -> None:
    rng = make_rng(0, "position")
    concepts = draw_concepts(rng)
    activation = 60 * HEIGHT + draw_fields(6, rng)
    activation[:, 5] = HEIGHT - torch.arange(SIZE * SIZE) / 1e4  # the same in each image
    counts = count(activation, concepts, quantile=0.2)
    estimate = jackknife_iou(counts.intersection, counts.unit_area, counts.concept_area)
    chance = compare_with_chance(counts.intersection, counts.permuted, counts.unit_area, counts.concept_area)
    sky = CONCEPTS.index("sky")
    assert bool((estimate.iou[sky] > 0.5).all())
    assert bool(((estimate.iou - chance.null_iou)[sky].abs() < 0.02).all())
    assert not bool(benjamini_hochberg(chance.p).any())
    assert chance.z[sky, 5] == 0


@pytest.mark.parametrize(("presence", "hit", "stray"), [(0.05, 0.5, 0.5), (0.5, 0.02, 2.0), (0.3, 0.97, 0.2)])
def test_intervals_hold_the_true_iou_about_95_times_in_a_hundred(presence: float, hit: float, stray: float) -> None:
    """A concept covers 20 to 60 pixels of some images, a unit a share of these and, in a tenth of images, others.

    Expected counts an image: 40 presence of the concept, 40 presence hit of both, stray of the unit alone.
    """
    truth = 40 * presence * hit / (40 * presence + stray)
    rng, num_samples, num_trials = make_rng(0, "coverage", str(presence)), 512, 400
    shape = (num_samples, num_trials)
    concept = torch.randint(20, 61, shape, generator=rng) * (torch.rand(shape, generator=rng) < presence)
    both = torch.binomial(concept.double(), torch.full(shape, hit, dtype=torch.float64), generator=rng).long()
    alone = torch.poisson((torch.rand(shape, generator=rng) < 0.1) * (10 * stray), generator=rng).long()
    group = group_of(torch.arange(num_samples), num_samples)
    zero = torch.zeros(NUM_GROUPS, num_trials, dtype=torch.int64)
    concept, both, alone = (zero.index_add(0, group, each) for each in (concept, both, alone))
    low, high = [], []
    for trial in range(num_trials):
        inter, unit, there = both[:, trial, None, None], (both + alone)[:, trial, None], concept[:, trial, None]
        estimate = jackknife_iou(inter, unit, there)
        low.append(estimate.low.item())
        high.append(estimate.high.item())
    below, above = np.mean(np.array(high) < truth), np.mean(np.array(low) > truth)
    assert 0.915 < 1 - below - above < 0.985
    assert max(below, above) < 0.06
