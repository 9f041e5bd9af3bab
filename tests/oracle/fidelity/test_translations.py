"""FCN-score, paired error and cycle error against loops over pixels, and planted translators whose figures are known."""

from __future__ import annotations

import random
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from gandissect.core import from_uint8
from gandissect.core.types import Concept
from gandissect.fidelity import LabelScore, measure_cycle_errors, measure_fcn_score, measure_paired_errors
from generators import ResNetTranslator, UNetTranslator

NAMES = ("dark", "middle", "light")
COUNT, SIDE = 7, 16
QUIET = {"progress": False, "batch_size": 3}


class _Levels(nn.Module):
    """Labels a pixel by its red: dark, middle or light, or nothing where it is nearly black."""

    name, fingerprint = "levels", "0" * 64
    concepts = tuple(Concept(index, name, (0, 0, 0)) for index, name in enumerate(NAMES))

    def forward(self, images: Tensor) -> Tensor:
        red = images[:, 0]
        return (red > -0.9).long() + (red > -0.3).long() + (red > 0.3).long() - 1


class _Pictures:
    """Pictures whose labels are a segmenter's, up to some that are wrong."""

    name, size = "levels", SIDE
    concepts = _Levels.concepts

    def __init__(self, seed: int, wrong: float = 0.0) -> None:
        rng = torch.Generator().manual_seed(seed)
        self.images = torch.randint(0, 256, (COUNT, 3, SIDE, SIDE), generator=rng).to(torch.uint8)
        labels = _Levels()(from_uint8(self.images))
        flipped = torch.rand(labels.shape, generator=rng) < wrong
        self.labels = torch.where(flipped, torch.randint(-1, 3, labels.shape, generator=rng), labels)

    def __len__(self) -> int:
        return COUNT

    def batch(self, indices: Any, rng: Any = None) -> SimpleNamespace:
        return SimpleNamespace(images=self.images[list(indices)], labels=self.labels[list(indices)])


class _Shift(ResNetTranslator):
    """Adds a constant to each pixel."""

    def __init__(self, amount: float = 0.0, **settings: Any) -> None:
        super().__init__(size=SIDE, width=2, blocks=1)
        self.amount = amount

    def forward(self, z: Tensor) -> Tensor:
        return self.input(z) + self.amount


def _scores(truth: Tensor, predicted: Tensor) -> tuple[float, float, float]:
    """Return the three scores, pixel by pixel, from their definitions in Long et al. 2015, Sec. 5."""
    n = [[0] * 4 for _ in range(3)]
    for t, p in zip(truth.flatten().tolist(), predicted.flatten().tolist(), strict=True):
        if t >= 0:
            n[t][p if p >= 0 else 3] += 1
    total = [sum(row) for row in n]
    seen = [i for i in range(3) if total[i]]
    unions = {i: total[i] + sum(n[j][i] for j in range(3)) - n[i][i] for i in range(3)}
    ious = [n[i][i] / union for i, union in unions.items() if union]
    return (
        sum(n[i][i] for i in range(3)) / sum(total),
        sum(n[i][i] / total[i] for i in seen) / len(seen),
        (sum(ious) / len(ious)),
    )


def test_the_fcn_score_is_that_of_the_definitions_pixel_by_pixel() -> None:
    pictures, segmenter = _Pictures(1, wrong=0.3), _Levels()
    G = _Shift(0.25).eval().on(pictures)
    found = measure_fcn_score(G, segmenter, pictures, **QUIET)
    moved = segmenter(from_uint8(pictures.images) + 0.25)
    plain = segmenter(from_uint8(pictures.images))
    for score, truth, predicted in (
        (found.translated, pictures.labels, moved),
        (found.others, pictures.labels.roll(-1, 0), moved),
        (found.real, pictures.labels, plain),
    ):
        wanted = _scores(truth, predicted)
        assert (score.pixel_accuracy, score.class_accuracy, score.mean_iou) == pytest.approx(wanted)
    assert found.real.mean_iou > found.translated.mean_iou > found.others.mean_iou


def test_a_translator_of_label_maps_is_judged_by_the_maps_that_it_is_on() -> None:
    maps = torch.randint(-1, 3, (COUNT, SIDE, SIDE), generator=torch.Generator().manual_seed(3))

    class Paints(UNetTranslator):
        def forward(self, z: Tensor) -> Tensor:
            return (z.reshape(-1, 1, SIDE, SIDE) * 0.6 - 0.6).expand(-1, 3, -1, -1)

    G = Paints(size=SIDE, width=2, input_concepts=NAMES).eval().on(maps)
    score = measure_fcn_score(G, _Levels(), **QUIET)
    assert (score.translated.pixel_accuracy, score.translated.mean_iou, score.real) == (1, 1, None)
    assert score.others.mean_iou < 0.4


def test_the_intervals_are_percentiles_of_scores_of_redrawn_images() -> None:
    rng = torch.Generator().manual_seed(5)
    confusion = torch.randint(0, 50, (30, 2, 3), generator=rng)
    found, draw = LabelScore(confusion).intervals, random.Random(1)
    pixel = []
    for _ in range(4000):
        total = sum(confusion[draw.randrange(30)] for _ in range(30)).tolist()
        pixel.append((total[0][0] + total[1][1]) / sum(map(sum, total)))
    pixel.sort()
    low, high = found["pixel_accuracy"]
    assert low == pytest.approx(pixel[100], abs=0.003)
    assert high == pytest.approx(pixel[3899], abs=0.003)


def test_paired_errors_are_mean_distances_in_levels() -> None:
    given, wanted = _Pictures(1), _Pictures(2)
    errors = measure_paired_errors(_Shift(0.5).eval().on(given), wanted, **QUIET)
    x, y = given.images.double(), wanted.images.double()
    for found, ours, theirs in (
        (errors.translated, x + 0.5 * 127.5, y),
        (errors.untranslated, x, y),
        (errors.others, x + 0.5 * 127.5, y.roll(-1, 0)),
    ):
        torch.testing.assert_close(found.values, (ours - theirs).abs().mean((1, 2, 3)), rtol=1e-5, atol=1e-4)
        low, high = found.interval
        assert low < found.mean < high


def test_cycle_errors_tell_a_faint_code_from_what_can_be_seen() -> None:
    """A way back that multiplies what is faint multiplies noise and rounding; one that does not, does not."""
    given = _Pictures(1)
    G = _Shift(0.0).eval().on(given)
    plain = measure_cycle_errors(G, lambda images: images, noise=2.0, **QUIET)
    assert plain.clean.mean == pytest.approx(0, abs=1e-4)
    assert plain.rounded.mean == pytest.approx(0, abs=1e-4)
    assert plain.noisy.mean == pytest.approx(2 * (2 / torch.pi) ** 0.5, rel=0.03)

    class Hides(_Shift):
        def forward(self, z: Tensor) -> Tensor:
            return self.input(z) / 1000

    hidden = measure_cycle_errors(Hides().eval().on(given), lambda images: 1000 * images, noise=2.0, **QUIET)
    assert hidden.clean.mean < 0.1
    assert hidden.noisy.mean == pytest.approx(2000 * (2 / torch.pi) ** 0.5, rel=0.03)
    assert hidden.rounded.mean > 30


def test_noise_depends_on_the_seed_and_the_picture_only() -> None:
    G = _Shift().eval().on(_Pictures(1))
    one, other = (measure_cycle_errors(G, lambda images: images, progress=False, batch_size=size) for size in (1, 5))
    assert torch.equal(one.noisy.values, other.noisy.values)
    third = measure_cycle_errors(G, lambda images: images, seed=1, progress=False)
    assert not torch.equal(one.noisy.values, third.noisy.values)


def test_what_cannot_be_measured_is_explained() -> None:
    pictures, T = _Pictures(1), _Shift().eval()
    with pytest.raises(ValueError, match=r"must be a translator on pictures, T\.on\(pictures\)"):
        measure_paired_errors(T, pictures)
    with pytest.raises(ValueError, match="must have the labels of levels; got no labels"):
        measure_fcn_score(T.on(pictures.images), _Levels(), **QUIET)
    with pytest.raises(ValueError, match="must be a target for each of 9 pictures; got 7 of levels"):
        measure_paired_errors(T.on(pictures.images[[0, 1, 2] * 3]), pictures, **QUIET)
