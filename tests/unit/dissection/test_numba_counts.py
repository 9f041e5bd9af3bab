"""The compiled counts equal those of plain torch exactly."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings, strategies as st

from gandissect import Concept, LayerInfo
from gandissect.core import NetworkId
from gandissect.dissection.counting import layer_counts, numba_counts
from gandissect.dissection.counting.layer_counts import LayerCount
from gandissect.dissection.counting.plan import DissectionPlan, DissectSettings
from gandissect.inference.batches import Activation
from gandissect.stats.quantiles import guess_brackets, to_keys, values_below

pytest.importorskip("numba", reason="the compiled count is there with the extra 'fast' only")

SIZES = st.tuples(st.integers(1, 9), st.integers(1, 9))


def _counts(
    activation: torch.Tensor, marks: torch.Tensor, group: torch.Tensor, open_: torch.Tensor, padding: str
) -> dict[str, Any]:
    units = activation.shape[1]
    falling = activation.transpose(0, 1).flatten(1).sort(dim=1, descending=True).values
    low = torch.full((units,), min(3, falling.shape[1]))
    brackets = guess_brackets(falling, low, torch.ones_like(low))
    info = LayerInfo(*activation.shape[1:])
    plan = DissectionPlan(
        generator=NetworkId("drawn", ""),
        image_size=(8, 8),
        segmenter=NetworkId("drawn", ""),
        concepts=tuple(Concept(index, str(index), (0, 0, 0)) for index in range(4)),
        layers={"only": info},
        label_size=(int(marks.shape[2]), int(marks.shape[3])),
        label_channels=marks.shape[1],
        settings=DissectSettings(
            seed=0, num_samples=6, quantile=0.01, batch_size=2, top_images=0, padding=padding, curves=False
        ),
    )
    layer = LayerCount(info, brackets, plan)
    layer.open = open_
    layer.begin()
    maps = activation.flatten(2)
    layer.update(Activation(activation, maps.amin(2), maps.amax(2)), group, marks)
    return layer._binned.state()


@settings(deadline=None, max_examples=150)
@given(
    SIZES,
    st.tuples(st.integers(1, 2), st.integers(1, 17), st.integers(1, 17)),
    st.integers(1, 4),
    st.integers(0, 2**32),
    st.booleans(),
    st.sampled_from(["edge", "zeros"]),
)
def test_compiled_and_plain_counts_are_the_same(
    grid: tuple[int, int], size: tuple[int, int, int], threads: int, seed: int, tied: bool, padding: str
) -> None:
    rng = torch.Generator().manual_seed(seed)
    activation = torch.randn(3, 5, *grid, generator=rng)
    if tied:
        activation = (activation * 2).round() / 2 * torch.tensor([1.0, 0.0, -0.0, 1e30, 1e-40])[:, None, None]
    labels = torch.randint(0, 5, (2, 3, *size), generator=rng)
    marks = (labels[0] + labels[1] * numba_counts.PARTNER).int()
    group = torch.randint(0, 3, (3,), generator=rng)
    open_ = torch.rand(5, generator=rng) > 0.2
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(threads)
        fast = _counts(activation, marks, group, open_, padding)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(layer_counts, "count_bins", lambda *_: False)
            plain = _counts(activation, marks, group, open_, padding)
    finally:
        torch.set_num_threads(before)
    assert fast["own"][:, ~open_].sum() == 0
    for name, counts in plain.items():
        assert torch.equal(fast[name], counts), name


def test_without_numba_nothing_is_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(numba_counts, "_compile_kernel", lambda: None)
    nothing = torch.empty(0)
    pair = (nothing, nothing)
    assert not numba_counts.count_bins(torch.zeros(1, 1, 1, 1), nothing, nothing, pair, nothing, nothing, pair)


def test_edges_tell_apart_what_keys_do() -> None:
    keys = torch.tensor([-2, -1, 0, 1, to_keys(torch.tensor(1.5)).item()])
    values = torch.tensor([-1e-45, -0.0, 0.0, 1e-45, 1.5, torch.nextafter(torch.tensor(1.5), torch.tensor(2.0))])
    above = to_keys(values) > keys[:, None]
    assert torch.equal(values > values_below(keys)[:, None], above)
