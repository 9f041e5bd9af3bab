"""A value's bin from the edges alone is the one that the float64 formula gives."""

from __future__ import annotations

import torch
from hypothesis import given, strategies as st

from gandissect.stats import Brackets, bin_edges, bin_of, bin_scale, find_bins, to_keys

MAX_KEY = int(to_keys(torch.tensor([torch.finfo(torch.float32).max])))
KEYS = st.integers(-MAX_KEY - 1, MAX_KEY)


@given(
    ends=st.lists(st.tuples(KEYS, KEYS).filter(lambda pair: pair[0] < pair[1]), min_size=1, max_size=4),
    num_bins=st.sampled_from([3, 7, 64]),
    guessed=st.booleans(),
    seed=st.integers(0, 100),
)
def test_bins_are_those_of_the_formula(ends: list[tuple[int, int]], num_bins: int, guessed: bool, seed: int) -> None:
    low, high = torch.tensor(ends).T
    brackets = Brackets(low, high, torch.zeros_like(low), torch.zeros_like(low), guessed)
    scale, edges = bin_scale(brackets, num_bins), bin_edges(brackets, num_bins)
    rng = torch.Generator().manual_seed(seed)
    unit = torch.randint(len(ends), (400,), generator=rng)
    share = torch.rand(400, generator=rng, dtype=torch.float64) * 1.3  # some above the bracket
    inside = low[unit] + 1 + (share * (high - low)[unit]).long()
    at_edges = edges[unit, torch.randint(num_bins + 1, (400,), generator=rng)]
    for key in (inside, at_edges, at_edges + 1):
        key = torch.minimum(torch.maximum(key, low[unit] + 1), torch.tensor(MAX_KEY))
        assert torch.equal(find_bins(edges, unit, key), bin_of(scale, num_bins, unit, key))
