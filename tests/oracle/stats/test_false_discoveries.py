"""Units that know nothing of the picture are not called interpretable; units that do are, however the concept lies."""

from __future__ import annotations

import pytest
import torch

from gandissect import Concept, LayerInfo, dissect
from gandissect.stats import benjamini_hochberg, q_values

NOISE, GRID, SIZE, SAMPLES = 80, 4, 16, 400
SKY, TREE, GROUND, RARE = range(4)
CONCEPTS = tuple(Concept(i, name, (i, i, i)) for i, name in enumerate(["sky", "tree", "ground", "rare"]))


class Noisy:
    """Pictures of a sky, whose height varies, a ground, a tree anywhere, and sometimes a rare thing in one corner.

    Of the units the first two know where the tree and the rare thing are, but for noise; the third knows how high the sky
    is. All others draw for themselves: some anywhere, some at the top always, some in a few pictures only.
    """

    name, fingerprint, device, image_size = "noisy", "4" * 64, torch.device("cpu"), (SIZE, SIZE)
    z_dim = 8 + NOISE * GRID * GRID

    def __init__(self) -> None:
        self.layers = {"layer1": LayerInfo(3 + NOISE, GRID, GRID)}

    def sample_z(self, num_samples: int, seed: int = 0, start: int = 0) -> torch.Tensor:
        rows = [torch.Generator().manual_seed(10_000 * seed + start + i) for i in range(num_samples)]
        return torch.stack([torch.randn(self.z_dim, generator=row) for row in rows])

    def __call__(self, z: torch.Tensor) -> torch.Tensor:
        labels = torch.full((len(z), SIZE, SIZE), GROUND)
        for row, values in enumerate(z):
            labels[row, : int(8 + 2 * values[0].clamp(-3, 3))] = SKY
            y, x = self._tree(values)
            labels[row, 4 * y : 4 * y + 4, 4 * x : 4 * x + 4] = TREE
            if values[3] > 0.8:
                labels[row, -4:, -4:] = RARE
        return (labels / 4.0)[:, None].expand(-1, 3, -1, -1)

    def head(self, z: torch.Tensor, layer: str) -> torch.Tensor:
        maps = z[:, 8:].reshape(-1, NOISE, GRID, GRID).clone()
        maps[:, ::4, 0] += 2  # likes the top, where the sky is
        maps[:, 1::4] *= (maps[:, 1::4, :1, :1] > 1) * 3 + 0.1  # strong in some pictures, weak in the others
        maps[:, 2::4] = maps[:, 2::4].mean((2, 3), keepdim=True).expand(-1, -1, GRID, GRID)  # all of the picture
        known = torch.zeros(len(z), 3, GRID, GRID)
        for row, values in enumerate(z):
            known[row, 0][self._tree(values)] = 3
            known[row, 1, -1, -1] = 3.0 * (values[3] > 0.8)
            known[row, 2, 1:3] = values[0]
        return torch.cat([known + 0.3 * z[:, 4:7, None, None], maps], 1)

    def tail(self, activation: torch.Tensor, layer: str, z: torch.Tensor) -> torch.Tensor:
        raise NotImplementedError

    @staticmethod
    def _tree(values: torch.Tensor) -> tuple[int, int]:
        y, x = (int((torch.special.ndtr(value) * GRID).clamp(max=GRID - 1)) for value in values[1:3])
        return y, x


class ByValue:
    name, fingerprint, concepts = "by value", "5" * 64, CONCEPTS

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        return (images[:, 0] * 4).round().long()


@pytest.mark.parametrize("quantile", [0.01, 0.1])
def test_the_false_discovery_rate_holds(quantile: float) -> None:
    """Noise units are on in the sky or the ground all the time; a line at an IoU would call many of them real."""
    found, false, above_line = 0, 0, 0
    for seed in range(6):
        layer = dissect(Noisy(), ByValue(), num_samples=SAMPLES, seed=seed, quantile=quantile, progress=False)["layer1"]
        real = layer.beyond_chance()
        assert real[TREE, 0]
        assert real[RARE, 1]
        assert real[SKY, 2] or quantile < 0.1  # the top 1% are in a few samples only
        assert layer.matches[0].is_interpretable()
        found += int(real.sum())
        false += int(real[:, 3:].sum())
        above_line += sum(match.iou >= 0.04 for match in layer.matches[3:])
        noise = [match for match in layer.matches[3:] if match.is_interpretable()]
        assert len(noise) <= 1
    assert found >= 10
    assert false <= 0.01 * found + 2  # none was seen, of 1,920 pairs
    assert quantile < 0.1 or above_line > 100


def test_chance_is_the_agreement_that_position_alone_gives() -> None:
    layer = dissect(Noisy(), ByValue(), num_samples=SAMPLES, quantile=0.1, progress=False)["layer1"]
    top = [match for match in layer.matches[3::4] if match.concept == "sky"]
    assert len(top) > 15
    for match in top:
        assert match.null_iou == pytest.approx(match.iou, rel=0.15)
        low, high = match.iou_ci
        assert low < match.null_iou < high
        assert match.iou > 0.1


def test_too_few_samples_say_nothing() -> None:
    (match, *_) = dissect(Noisy(), ByValue(), num_samples=2, progress=False)["layer1"].matches
    assert (match.null_iou, match.iou_ci, match.beyond_chance) == (None, None, None)
    assert not match.is_interpretable(0.0)


def test_a_q_value_is_the_lowest_rate_at_which_its_p_value_is_a_discovery() -> None:
    rng = torch.Generator().manual_seed(3)
    p = torch.rand(7, 11, generator=rng, dtype=torch.float64) ** 4
    p[2, 3:5] = p[0, 0]  # ties
    q = q_values(p)
    assert q.shape == p.shape
    for rate in [
        0.01,
        0.05,
        0.3,
        *(float(value) * factor for value in q[::3, ::4].flatten() for factor in (0.999, 1.001)),
    ]:
        if rate < 1:
            assert torch.equal(benjamini_hochberg(p, rate), q <= rate)
    assert torch.equal(q_values(torch.ones(3)), torch.ones(3, dtype=torch.float64))


def test_the_q_value_of_a_match_agrees_with_beyond_chance() -> None:
    layer = dissect(Noisy(), ByValue(), num_samples=SAMPLES, progress=False)["layer1"]
    assert [match.q_value <= 0.01 for match in layer.matches] == [match.beyond_chance for match in layer.matches]
    (match, *_) = dissect(Noisy(), ByValue(), num_samples=2, progress=False)["layer1"].matches
    assert match.q_value is None
