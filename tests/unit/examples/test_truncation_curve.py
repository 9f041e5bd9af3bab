"""The example that measures truncation: what it draws, how it splits, and that a perfect judge is right at every limit."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor

from gandissect.fidelity import Yardstick
from generators import ConditionalDCGAN

EXAMPLES = Path(__file__).parents[3] / "examples"


@pytest.fixture(scope="module")
def script():
    sys.path.insert(0, str(EXAMPLES))  # it imports another example
    try:
        spec = importlib.util.spec_from_file_location("truncation_curve", EXAMPLES / "truncation_curve.py")
        module = importlib.util.module_from_spec(spec)
        sys.modules["truncation_curve"] = module
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(EXAMPLES))
    return module


class Planted(ConditionalDCGAN):
    """Images whose red is their class and whose green is their first number of noise, over 4."""

    def forward(self, z: Tensor) -> Tensor:
        red, green = z[:, self.noise_dim :].argmax(1) - 1.0, (z[:, 0] / 4).clamp(-1, 1)
        planes = torch.stack([red, green, torch.zeros_like(red)], dim=1)
        return planes[:, :, None, None].expand(-1, 3, 16, 16)


@pytest.fixture
def G() -> Planted:
    return Planted(size=16, width=4, noise_dim=5, classes=["a", "b", "c"]).eval()


def test_samples_have_the_classes_and_the_limit(script, G: Planted) -> None:
    classes = torch.arange(90) % 3
    for limit in (0.25, 2.0, float("inf")):
        examples = script.draw_truncated(G, classes, seed=3, limit=limit)
        assert torch.equal(examples.classes, classes)
        assert torch.equal(examples.images[:, 0, 0, 0], classes - 1.0)
        assert float(examples.images[:, 1].abs().max()) <= min(limit / 4, 1)
    whole = script.draw_truncated(G, classes, seed=3, limit=float("inf")).images[:, 1, 0, 0]
    torch.testing.assert_close(whole, (G.sample_z(90, seed=3)[:, 0] / 4).clamp(-1, 1))


def test_held_out_examples_are_spread_and_not_trained_on(script) -> None:
    examples = script.Examples(torch.arange(10.0), torch.arange(10))
    chosen, rest = script._split(examples, 3)
    assert chosen.classes.tolist() == [0, 3, 6, 9]
    assert sorted([*chosen.classes.tolist(), *rest.classes.tolist()]) == list(range(10))
    assert script._split(examples, 9)[0].classes.tolist() == [0, 2, 4, 6, 8]


def test_a_low_limit_covers_less_and_the_figure_is_written(script, G: Planted, tmp_path: Path) -> None:
    def features(images: Tensor) -> Tensor:
        return images.mean((2, 3))

    classes = torch.arange(150) % 3
    real = [
        ((script.draw_truncated(G, torch.arange(n) % 3, seed, float("inf")).images + 1) * 127.5).byte()
        for seed, n in ((1, 300), (2, 150))
    ]
    yardstick = Yardstick("colors", features, *real)
    points = [
        script.measure_point(
            str(limit),
            script.draw_truncated(G, classes, 5, limit),
            lambda images: -(images[:, 0].mean((1, 2))[:, None] - torch.tensor([-1.0, 0.0, 1.0])).abs(),
            yardstick,
            G.classes,
        )
        for limit in (0.1, 2.0, float("inf"))
    ]
    assert [point.accuracy for point in points] == [1, 1, 1]
    assert points[0].coverage < points[1].coverage - 0.2
    assert points[0].distance > 2 * points[1].distance
    script.draw_curve([*points, points[-1]], (0.1, 2.0), tmp_path / "curve.png")
    assert (tmp_path / "curve.png").read_bytes().startswith(b"\x89PNG")
