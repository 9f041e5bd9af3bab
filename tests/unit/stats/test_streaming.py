"""Order statistics and counts against sorting and counting."""

from __future__ import annotations

from fractions import Fraction

import pytest
import torch

from gandissect.dissection.counting.binned_counts import BinnedCounts, LabelCounts
from gandissect.dissection.counting.top_images import TopSamples
from gandissect.stats.quantiles import (
    Brackets,
    bin_edges,
    bin_of,
    bin_scale,
    from_keys,
    guess_brackets,
    rank_of,
    to_keys,
    values_below,
)

RANKS = [(0.01, 4_096_000), (0.1, 30), (0.29, 100), (0.07, 100), (0.999, 3)]
EXTREMES = [-3.4e38, -1.0, -1e-45, 0.0, 1e-45, 1.0, 1.0000001, 3.4e38]


def test_keys_keep_the_order_and_come_back() -> None:
    values = torch.tensor([-torch.inf, *EXTREMES, torch.inf])
    keys = to_keys(values)
    assert (keys[1:] > keys[:-1]).all()
    assert torch.equal(from_keys(keys), values)
    assert to_keys(torch.tensor([-0.0])).item() == 0


def test_adjacent_floats_have_adjacent_keys() -> None:
    values = torch.tensor(EXTREMES)
    steps = to_keys(torch.nextafter(values, torch.tensor(torch.inf))) - to_keys(values)
    assert steps.tolist() == [1, 1, 2, 1, 1, 1, 1, 1]  # between -1e-45 and 0.0 lies the key of -0.0, never given


@pytest.mark.parametrize(
    ("quantile", "num_values"), [(0.01, 4_096_000), (0.1, 30), (0.29, 100), (0.07, 100), (0.999, 3)]
)
def test_the_rank_lets_at_most_the_quantile_exceed(quantile: float, num_values: int) -> None:
    exceed = rank_of(quantile, num_values) - 1
    wanted = Fraction(str(quantile)) * num_values
    assert exceed <= wanted < exceed + 1


@pytest.mark.parametrize("quantile", [0.0, 1.0, -0.1, 1.5, float("nan"), float("inf")])
def test_quantiles_out_of_range_are_refused(quantile: float) -> None:
    with pytest.raises(ValueError, match=r"must be in \(0, 1\)"):
        rank_of(quantile, 10)


def _data(num_values: int) -> torch.Tensor:
    """Units of all kinds: normal, rectified, constant, tied, huge and tiny, signed zeros."""
    x = torch.randn(9, num_values, generator=torch.Generator().manual_seed(3))
    x[1].relu_()
    x[2] = 0.1
    x[3] = x[3].round()
    x[4] *= 1e30
    x[5] *= 1e-42
    x[6] = torch.where(x[6] > 0, 0.0, -0.0)
    x[7] = (x[7] - 2.5).relu()  # nearly always zero
    x[8] = -x[8].abs()
    return x


@pytest.mark.parametrize("num_bins", [3, 64, 4096])
@pytest.mark.parametrize("rank", [1, 2, 40, 3999, 4000])
@pytest.mark.parametrize("guess", ["pilot", "far too high", "far too low", "everything"])
def test_narrowing_ends_at_the_sorted_value(num_bins: int, rank: int, guess: str) -> None:
    data = _data(4000)
    expected = data.sort(dim=1, descending=True).values[:, rank - 1]
    pilot = data[:, ::7].sort(dim=1, descending=True).values
    low, high = {"pilot": (min(3 * rank // 7 + 1, 500), rank // 70 + 1), "everything": (0, 1)}.get(guess, (50, 10))
    pilot = pilot + {"far too high": 1e3, "far too low": -1e3}.get(guess, 0.0)
    brackets = guess_brackets(pilot, torch.full((9,), low), torch.full((9,), high))
    passes = 0
    while not passes or not brackets.exact.all():  # a guess of one key is still a guess
        passes += 1
        assert passes < 80
        level = values_below(brackets.low)[:, None]
        counts = BinnedCounts(brackets, num_bins, num_groups=1, num_concepts=1)
        counts.update_extent(data.T, data.T)
        unit, position = (data > level).nonzero().unbind(1)
        zeros = torch.zeros_like(unit)
        counts.update(zeros, unit, data[unit, position], zeros, zeros)
        brackets = counts.narrow(rank, data.shape[1])
        values = from_keys(brackets.high)[:, None]
        assert torch.equal(brackets.above, (data > values).sum(1))
        assert torch.equal(brackets.inside, ((to_keys(data) > brackets.low[:, None]) & (data <= values)).sum(1))
        if num_bins < 4096 or passes == 1:
            seen = brackets.high >= counts.brackets.low  # where the threshold is not below all that was counted
            assert torch.equal(counts.above(brackets.high)["unit_area"][0][seen], brackets.above[seen])
    assert torch.equal(from_keys(brackets.high), expected + 0.0)
    assert num_bins < 4096 or passes <= 4


def _found_at_edges(brackets: Brackets, num_bins: int) -> None:
    """Check the bins of every bin's first and last key, and of the first key beyond."""
    edges, scale = bin_edges(brackets, num_bins), bin_scale(brackets, num_bins)
    assert torch.equal(edges[:, 0], brackets.low)
    assert (edges[:, 1:] > edges[:, :-1]).all()
    wanted = [place for place in range(num_bins) for _ in range(2)] + [num_bins]
    for unit, row in enumerate(edges.tolist()):
        keys = [key for edge in row for key in (edge, edge + 1)][1:]
        assert bin_of(scale, num_bins, torch.full((len(keys),), unit), torch.tensor(keys)).tolist() == wanted


@pytest.mark.parametrize("num_bins", [3, 16, 64])
def test_bins_cover_the_bracket_with_one_key_first(num_bins: int) -> None:
    low, high = torch.tensor([-5, 10, 7, -(2**30)]), torch.tensor([10**9, 11, 9, 2**30])
    brackets = Brackets(low, high, torch.zeros_like(low), torch.zeros_like(low))
    edges = bin_edges(brackets, num_bins)
    assert torch.equal(edges[:, 1], low + 1)
    assert (edges[:, -1] >= high).all()
    steps = edges[:, 1:].diff(dim=1)
    assert (steps == steps[:, :1]).all()
    _found_at_edges(brackets, num_bins)


@pytest.mark.parametrize("num_bins", [3, 16, 64])
def test_bins_of_a_wide_guess_are_as_wide_as_each_other_in_value(num_bins: int) -> None:
    ends = torch.tensor([[2.0, 1e-9], [5.0, -3.0], [1e38, 0.0], [-1e-9, -7.0], [9.0, 1.0]])
    brackets = guess_brackets(ends, torch.full((5,), 2), torch.full((5,), 1))
    edges = bin_edges(brackets, num_bins)
    assert (edges[:, -1] >= brackets.high).all()
    assert torch.equal(edges[:, 1], brackets.low + 1)
    _found_at_edges(brackets, num_bins)
    steps = from_keys(edges[:, 1:]).double().diff(dim=1)
    wanted = (ends[:, 0] - ends[:, 1]).double()[:, None] / (num_bins - 1)
    assert torch.allclose(steps[:4], wanted[:4].expand_as(steps[:4]), rtol=1e-5)
    assert not torch.allclose(steps[4], wanted[4], rtol=0.1)  # 3 octaves: as many keys as each other


def test_label_counts_count() -> None:
    counts = LabelCounts(num_groups=2, num_concepts=2)
    counts.update(torch.tensor([1, 0]), torch.tensor([[[[-1, 0], [1, 1]]], [[[0, 0], [0, -1]]]]))
    found = counts.compute()
    assert found["concept_area"].tolist() == [[3, 0], [1, 2]]
    assert int(found["num_pixels"]) == 8


def test_binned_counts_count_by_group_and_concept() -> None:
    brackets = guess_brackets(torch.tensor([[3.0, 2.0, 1.0]]), torch.tensor([3]), torch.tensor([1]))
    counts = BinnedCounts(brackets, num_bins=4, num_groups=2, num_concepts=2)
    value = torch.tensor([1.0, 2.5, 9.0, 9.0])
    label, other = torch.tensor([0, 1, 1, -1]), torch.tensor([1, 1, -1, 0])
    counts.update(torch.tensor([0, 0, 1, 1]), torch.zeros(4, dtype=torch.int64), value, label, other)
    found = counts.above(brackets.low)  # all of them
    assert found["unit_area"].tolist() == [[2], [2]]
    assert found["intersection"].tolist() == [[[1], [1]], [[0], [1]]]
    assert found["exchanged"].tolist() == [[[0], [2]], [[1], [0]]]
    found = counts.above(brackets.high)
    assert found["unit_area"].tolist() == [[0], [2]]
    assert found["intersection"].tolist() == [[[0], [0]], [[0], [1]]]


def test_top_samples_are_the_sorted_ones_and_ties_go_to_the_earlier() -> None:
    activation = torch.randint(0, 4, (20, 6, 2, 3), generator=torch.Generator().manual_seed(0)).float()
    top = TopSamples(6, (2, 3), 4)
    for start in (10, 0, 15, 5):  # in any order
        part = activation[start : start + 5]
        top.update(range(100 + start, 105 + start), part, part.amax((2, 3)))
    found = top.compute()
    for unit in range(6):
        ranking = sorted(range(20), key=lambda i: (-activation[i, unit].max().item(), i))[:4]
        assert found["samples"][unit].tolist() == [100 + i for i in ranking]
        assert torch.equal(found["maps"][unit], activation[ranking, unit])
        assert torch.equal(found["peaks"][unit], activation[ranking, unit].amax((1, 2)))


def test_fewer_samples_than_places_leave_no_gaps() -> None:
    top = TopSamples(2, (1, 1), 5)
    activation = torch.tensor([1.0, 2.0, 3.0, 0.0]).view(2, 2, 1, 1)
    top.update(range(2), activation, activation[:, :, 0, 0])
    assert top.compute()["samples"].tolist() == [[1, 0], [0, 1]]


def test_statistics_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="cannot be merged"):
        LabelCounts(3, 2).merge(LabelCounts(4, 2))
    with pytest.raises(ValueError, match="state 'labels' must be"):
        LabelCounts(3, 2).load_state(LabelCounts(4, 2).state())
    one, two = (_brackets(high) for high in (1.0, 2.0))
    with pytest.raises(ValueError, match="different brackets"):
        BinnedCounts(one, 8, 1, 1).merge(BinnedCounts(two, 8, 1, 1))


def _brackets(high: float) -> Brackets:
    return guess_brackets(torch.tensor([[high, 0.0]]), torch.tensor([2]), torch.tensor([1]))
