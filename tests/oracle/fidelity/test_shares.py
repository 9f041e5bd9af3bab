"""Shares of concepts against loops over pixels, exact fractions and the closed form of planted images."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

import generators
from apps.cli import main
from gandissect import ConceptShares, draw_shares, measure_concept_shares
from gandissect.core.types import Concept
from gandissect.fidelity.distances import frechet_distance, frechet_distance_of_moments
from gandissect.fidelity.shares import NUM_GROUPS, segmentation_distance
from gandissect.inference.areas import concept_areas
from gandissect.stats.streaming import AreaMoments
from generators import PlantedGenerator
from segmenters import PaletteSegmenter
from segmenters.datasets.open import NUM_HELD_OUT_SCENES
from segmenters.palette import BASIC_CONCEPTS

CONCEPTS = PlantedGenerator.concepts
NAMES = [concept.name for concept in CONCEPTS]


class _Pictures:
    """Pictures of a planted generator in place of real ones; records which were read."""

    name = "planted pictures"

    def __init__(self, cells: int, count: int = 200, size: int = 16) -> None:
        self.z = PlantedGenerator(size, cells).sample_z(count, seed=77)
        self.images = ((PlantedGenerator(size, cells)(self.z) + 1) * 127.5).round().to(torch.uint8)
        self.size, self.asked = size, list[int]()

    def __len__(self) -> int:
        return len(self.images)

    def batch(self, indices: Sequence[int]) -> SimpleNamespace:
        self.asked += indices
        return SimpleNamespace(images=self.images[list(indices)])


def _palette() -> PaletteSegmenter:
    return PaletteSegmenter(CONCEPTS)


def _compare(cells: int = 8, real_cells: int = 4, num_samples: int = 60, **options: int) -> ConceptShares:
    return measure_concept_shares(
        PlantedGenerator(16, cells), _palette(), _Pictures(real_cells), num_samples, **options
    )


def _planted_shares(z: torch.Tensor, cells: int) -> np.ndarray:
    """The shares of the planted generator: a cell of concept k where ``z[2k] > 0``, ground elsewhere."""
    there = (z[:, 0::2].double().numpy() > 0) / cells**2
    return np.concatenate([1 - there.sum(1, keepdims=True), there], axis=1)


def test_areas_are_counted_pixel_by_pixel() -> None:
    labels = torch.randint(-1, 5, (7, 6, 9), generator=torch.Generator().manual_seed(3))
    wanted = [[0] * 5 for _ in range(7)]
    for image in range(7):
        for label in labels[image].flatten().tolist():
            if label >= 0:
                wanted[image][label] += 1
    assert concept_areas(labels, 5).tolist() == wanted


def test_moments_are_the_fractions_rounded_once() -> None:
    """Even if the sums of products have more digits than float64."""
    rng, pixels = np.random.default_rng(0), 3_000_000
    areas = rng.integers(pixels // 3 - 50, pixels // 3, (11, 3))
    moments = AreaMoments(3, pixels)
    moments.update(torch.from_numpy(areas))
    shares = [[Fraction(int(area), pixels) for area in row] for row in areas]
    mean = [sum(column) / 11 for column in zip(*shares, strict=True)]
    found = moments.compute()
    assert found["mean"].tolist() == [float(each) for each in mean]
    for c in range(3):
        for d in range(3):
            wanted = sum((row[c] - mean[c]) * (row[d] - mean[d]) for row in shares) / 10
            assert found["covariance"][c, d].item() == float(wanted)


def test_moments_refuse_what_they_cannot_sum_up() -> None:
    moments = AreaMoments(2, 2**31)
    moments.update(torch.ones(1, 2, dtype=torch.int64))
    with pytest.raises(ValueError, match="a covariance needs at least 2 images; got 1"):
        moments.compute()
    with pytest.raises(ValueError, match="2 images of 2147483648 pixels overflow the 64-bit sums"):
        moments.update(torch.ones(1, 2, dtype=torch.int64))
    assert int(moments.num_images) == 1, "what is refused is not half taken in"
    with pytest.raises(ValueError, match="cannot be merged"):
        moments.merge(AreaMoments(2, 16))
    with pytest.raises(ValueError, match="cannot be merged"):
        moments.merge(AreaMoments(3, 2**31))


def test_shares_of_planted_images_are_those_they_are_planted_with() -> None:
    """Sample by sample, from z alone: mean, covariance and standard error by numpy."""
    pictures = _Pictures(4)
    found = measure_concept_shares(PlantedGenerator(16, 8), _palette(), pictures, 60, seed=5)
    sides = (
        (found.generated, _planted_shares(PlantedGenerator(16, 8).sample_z(60, seed=5), 8)),
        (found.real, _planted_shares(pictures.z[pictures.asked], 4)),
    )
    for moments, shares in sides:
        assert moments.num_images == len(shares)
        np.testing.assert_allclose(moments.mean, shares.mean(0), rtol=1e-12)
        np.testing.assert_allclose(moments.covariance, np.cov(shares.T), rtol=1e-12, atol=1e-18)
        np.testing.assert_allclose(moments.stderr, shares.std(0, ddof=1) / math.sqrt(len(shares)), rtol=1e-12)


def test_what_is_said_of_a_concept_follows_from_its_shares() -> None:
    found = _compare()
    fake, real = _planted_shares(PlantedGenerator(16, 8).sample_z(60), 8), found.real
    assert [share.concept for share in found] == NAMES
    for index, share in enumerate(found):
        difference = fake[:, index].mean() - float(real.mean[index])
        stderr = math.sqrt(fake[:, index].var(ddof=1) / 60 + float(real.covariance[index, index]) / 120)
        assert math.isclose(share.difference, difference, rel_tol=1e-9)
        assert math.isclose(share.interval[0], difference - 1.959964 * stderr, rel_tol=1e-6)
        assert math.isclose(share.interval[1], difference + 1.959964 * stderr, rel_tol=1e-6)
        assert math.isclose(share.z_score, difference / stderr, rel_tol=1e-9)
        assert math.isclose(share.log2_ratio, math.log2(fake[:, index].mean() / float(real.mean[index])), rel_tol=1e-9)
    assert found["red"] == list(found)[1]
    assert found["red"].z_score < -5, "cells of half the side cover a quarter"
    assert -2.6 < found["red"].log2_ratio < -1.4
    with pytest.raises(KeyError, match="did you mean 'green'"):
        found["gren"]


def test_the_distance_is_that_of_the_shares_in_per_cent() -> None:
    """By the feature distance, which has a separate oracle, over the shares that follow from z."""
    pictures = _Pictures(4)
    found = measure_concept_shares(PlantedGenerator(16, 8), _palette(), pictures, 60)
    fake = 100 * _planted_shares(PlantedGenerator(16, 8).sample_z(60), 8)
    first, second = (100 * _planted_shares(pictures.z[half], 4) for half in (pictures.asked[:60], pictures.asked[60:]))
    for distance, x in ((found.distance, fake), (found.floor, second)):
        wanted = frechet_distance(torch.from_numpy(x), torch.from_numpy(first))
        assert math.isclose(distance.value, wanted, rel_tol=1e-6)


def test_the_distance_comes_to_its_closed_form() -> None:
    """Shares are ``(1 - b1 - b2 - b3 - b4, b1, .. b4) / cells^2`` with fair coins b, so that with
    ``delta = 1 / (2 cells^2) - 1 / (2 cells'^2)`` the means add ``(4^2 + 4) delta^2`` and the proportional covariances
    ``(4 + 4) delta^2``.
    """
    delta = 1 / (2 * 8**2) - 1 / (2 * 4**2)
    found = measure_concept_shares(PlantedGenerator(16, 8), _palette(), _Pictures(4, 1000), 500)
    assert abs(found.distance.value - 28 * (100 * delta) ** 2) < 3 * found.distance.stderr
    assert found.distance.stderr < 0.2 * found.distance.value
    assert found.floor.value < 0.05 * found.distance.value


def _random_groups(rng: np.random.Generator, high: int, count: int = 120) -> list[AreaMoments]:
    areas = torch.from_numpy(rng.integers(0, high, (count, 3)))
    groups = [AreaMoments(3, 1000) for _ in range(NUM_GROUPS)]
    for number, group in enumerate(groups):
        group.update(areas[number::NUM_GROUPS])
    return groups


def test_the_standard_error_is_how_far_the_distance_scatters() -> None:
    """The jackknife over 60 draws of both sets against the standard deviation of the 60 distances."""
    rng = np.random.default_rng(1)
    found = [segmentation_distance(_random_groups(rng, 100), _random_groups(rng, 250)) for _ in range(60)]
    scatter = np.std([each.value for each in found], ddof=1)
    claimed = math.sqrt(np.mean([each.stderr**2 for each in found]))
    assert 0.75 < claimed / scatter < 1.35


def test_both_sets_add_to_the_standard_error() -> None:
    rng = np.random.default_rng(2)
    steady, varied = _random_groups(rng, 2), _random_groups(rng, 300)
    one, other = segmentation_distance(steady, varied), segmentation_distance(varied, steady)
    assert math.isclose(one.value, other.value, rel_tol=1e-9)
    assert math.isclose(one.stderr, other.stderr, rel_tol=1e-6)
    assert one.stderr > 0


def test_the_floor_knows_nothing_of_the_generator() -> None:
    same, other = _compare(cells=4), _compare(cells=8)
    assert same.floor == other.floor
    assert same.distance.value < other.distance.value / 5
    assert abs(same.distance.value - same.floor.value) < 3 * (same.distance.stderr + same.floor.stderr)


def test_real_pictures_are_drawn_once_each_and_by_the_seed() -> None:
    asked = []
    for seed in (0, 0, 1):
        pictures = _Pictures(4)
        measure_concept_shares(PlantedGenerator(16, 8), _palette(), pictures, 50, seed)
        asked.append(pictures.asked)
    assert asked[0] == asked[1] != asked[2]
    assert len(set(asked[0])) == 100
    assert asked[0] != sorted(asked[0]), "folders are sorted; halves must not be"


def test_the_batch_size_makes_no_difference() -> None:
    one, other = _compare(batch_size=7), _compare(batch_size=64)
    assert one.records() == other.records()
    assert (one.distance, one.floor) == (other.distance, other.floor)
    assert torch.equal(one.generated.covariance, other.generated.covariance)


class _Relabeled(PaletteSegmenter):
    """The planted concepts, with label maps changed by a function."""

    def __init__(self, alter) -> None:
        super().__init__(CONCEPTS)
        self.alter = alter

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        return self.alter(super().__call__(images))


class _Altered(PlantedGenerator):
    """Planted images changed by a function."""

    def __init__(self, alter) -> None:
        super().__init__(16, 8)
        self.alter = alter

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        return self.alter(super().forward(z))


def test_generated_images_are_labeled_as_they_are_seen() -> None:
    """Brighter than bright red is bright red, which is nearer to red than to orange; unclamped it would not be."""
    loud = _Altered(lambda images: images * 0 + torch.tensor([9.0, -1.0, -1.0]).view(3, 1, 1))
    colors = PaletteSegmenter([Concept(0, "red", (200, 0, 0)), Concept(1, "orange", (255, 100, 0))])
    assert colors(loud(loud.sample_z(1))).unique().item() == 1
    assert measure_concept_shares(loud, colors, _Pictures(4), 20)["red"].generated == 1


def test_a_concept_that_is_nowhere_has_no_score() -> None:
    found = measure_concept_shares(PlantedGenerator(16, 8), PaletteSegmenter(BASIC_CONCEPTS), _Pictures(8), 20)
    white = found["white"]
    assert (white.generated, white.real, white.difference, white.interval) == (0, 0, 0, (0, 0))
    assert white.z_score is None
    assert white.log2_ratio is None
    left_out = replace(found["red"], generated=0.0)
    assert left_out.z_score < 0
    assert left_out.log2_ratio is None


def test_unlabeled_pixels_belong_to_no_concept_but_to_the_image() -> None:
    blind = _Relabeled(lambda labels: torch.where(labels == 0, -1, labels))
    found = measure_concept_shares(PlantedGenerator(16, 8), blind, _Pictures(4), 20)
    assert found["ground"].generated == found["ground"].real == 0
    assert found["red"] == measure_concept_shares(PlantedGenerator(16, 8), _palette(), _Pictures(4), 20)["red"]


def _nan(images: torch.Tensor) -> torch.Tensor:
    return torch.where(torch.arange(len(images))[:, None, None, None] == 3, torch.nan, images)


BAD = {
    "few samples": ({"num_samples": 19}, "num_samples must be an integer of at least 20; got 19"),
    "few real": (
        {"num_samples": 101},
        "101 samples require 202 real images.*got 200; lower num_samples to at most 100",
    ),
    "batch size": ({"batch_size": 0}, "batch_size must be an integer of at least 1; got 0"),
    "other size": (
        {"real": _Pictures(8, size=32)},
        r"uint8 images \[20, 3, 16, 16\].*got torch.uint8 \[20, 3, 32, 32\]",
    ),
    "not finite": ({"generator": _Altered(_nan)}, "NaN or infinite pixel in sample 3"),
    "label": ({"segmenter": _Relabeled(lambda labels: labels + 5)}, "5 concepts must be -1 to 4; got [5-9]"),
    "no generator": ({"generator": torch.nn.ReLU()}, "ReLU is not a Generator"),
    "training": ({"generator": _Altered(torch.nn.BatchNorm2d(3))}, "in training mode"),
}


@pytest.mark.parametrize(("options", "message"), BAD.values(), ids=BAD.keys())
def test_bad_input_is_refused(options: dict, message: str) -> None:
    given = {"generator": PlantedGenerator(16, 8), "segmenter": _palette(), "real": _Pictures(4), "num_samples": 20}
    with pytest.raises((ValueError, TypeError), match=message):
        measure_concept_shares(**{**given, **options})


@pytest.mark.wrong_shape
def test_moments_that_do_not_fit_have_no_distance() -> None:
    mean, covariance = torch.zeros(3).double(), torch.eye(3).double()
    assert frechet_distance_of_moments(mean, covariance, mean + 1, 4 * covariance) == 3 + 3
    with pytest.raises(ValueError, match="the same d"):
        frechet_distance_of_moments(mean, covariance, mean[:2], covariance)


def test_shares_come_back_from_their_file(tmp_path: Path) -> None:
    found = _compare()
    path = found.save(tmp_path / "run")
    assert path == tmp_path / "run" / "shares.safetensors"
    named = found.save(tmp_path / "mine.safetensors")
    assert named == tmp_path / "mine.safetensors"
    for place in (path, tmp_path / "run", named):
        again = ConceptShares.load(place)
        assert again.records() == found.records()
        assert (again.distance, again.floor, again.provenance) == (found.distance, found.floor, found.provenance)
        assert torch.equal(again.real.covariance, found.real.covariance)
        assert str(again) == str(found)
    assert json.loads(json.dumps(found.records(), allow_nan=False)) == found.records()
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(ValueError, match=r"shares\.safetensors"):
        ConceptShares.load(path)


@pytest.mark.wrong_shape
def test_figures_that_cannot_be_are_no_result(tmp_path: Path) -> None:
    found = _compare(num_samples=20)
    generated, about = found.generated, found.provenance
    for part, wrong in (
        (generated, {"mean": generated.mean + 1}),
        (generated, {"mean": -generated.mean}),
        (generated, {"covariance": generated.covariance * torch.nan}),
        (generated, {"covariance": -generated.covariance}),
        (generated, {"covariance": generated.covariance[:2]}),
        (generated, {"num_images": 1}),
        (found.distance, {"value": -1.0}),
        (found.distance, {"stderr": math.inf}),
        (about, {"num_samples": 0}),
        (about, {"num_real": 39}),
        (found, {"concepts": found.concepts[:3]}),
    ):
        with pytest.raises(ValueError, match=r"."):
            replace(part, **wrong)


@pytest.fixture
def shares_command(capsys: pytest.CaptureFixture[str], tmp_path: Path):
    generator = tmp_path / "planted.safetensors"
    generators.save(PlantedGenerator(32, 8), generator)

    def run(*options: object) -> tuple[int, str, str]:
        named = ["--generator", generator, "--segmenter", "palette", "--num-samples", 20, *options]
        with pytest.raises(SystemExit) as stop:
            main(["shares", *map(str, named)])
        said = capsys.readouterr()
        return stop.value.code, said.out, said.err

    return run


def test_the_command_prints_what_is_left_out_first_and_keeps_it(shares_command, tmp_path: Path) -> None:
    status, output, error = shares_command("--data", "scenes:50", "--out", tmp_path / "run")
    assert status == 0, error
    kept = ConceptShares.load(tmp_path / "run")
    assert (kept.provenance.num_samples, kept.provenance.num_real) == (20, 50)
    lines = output.splitlines()
    order = [share.concept for share in sorted(kept, key=lambda share: share.difference)]
    assert [line.split()[0] for line in lines[1 : 1 + len(kept)]] == order
    assert str(kept) in lines
    black = next(line.split() for line in lines if line.startswith("black"))
    assert [float(each) for each in black[1:4]] == pytest.approx(
        [100 * kept["black"].generated, 100 * kept["black"].real, 100 * kept["black"].difference], abs=0.006
    )
    assert lines[-2:] == [str(tmp_path / "run/shares.safetensors"), str(tmp_path / "run/shares.png")]
    assert (tmp_path / "run/shares.png").read_bytes().startswith(b"\x89PNG")


def test_the_command_answers_in_json_and_can_look_at_held_out_pictures(shares_command) -> None:
    status, output, error = shares_command("--data", "scenes:50", "--json", "--hold-out", 0.1, "--seed", 3)
    assert status == 0, error
    answer = json.loads(output)
    assert (answer["num_samples"], answer["num_real"], answer["seed"]) == (20, 40, 3)
    assert answer["drawn_from"] == NUM_HELD_OUT_SCENES
    assert answer["concepts"][0].keys() >= {"concept", "generated", "real", "difference_low", "z_score", "log2_ratio"}
    assert answer["written"] == []
    assert answer["floor"]["value"] < answer["distance"]["value"]


@pytest.mark.parametrize(
    ("options", "hint"),
    [
        (("--data", "scenes:30"), "for the floor; got 30; at least 40 are required"),
        (("--data", "absent"), "absent"),
        (("--data", "scenes:50", "--out", "TAKEN"), "taken"),
    ],
)
def test_the_command_refuses_in_one_line(shares_command, tmp_path: Path, options: tuple[str, ...], hint: str) -> None:
    (tmp_path / "taken").write_text("mine")
    status, output, error = shares_command(*[str(tmp_path / "taken") if each == "TAKEN" else each for each in options])
    assert (status, output, error.count("\n")) == (2, "", 1)
    assert hint in error
    assert (tmp_path / "taken").read_text() == "mine"


def test_a_figure_is_drawn_even_of_nothing(tmp_path: Path) -> None:
    blind = _Relabeled(lambda labels: labels * 0 - 1)
    found = measure_concept_shares(PlantedGenerator(16, 8), blind, _Pictures(4), 20)
    assert found.distance.value == found.floor.value == 0
    draw_shares(found).savefig(tmp_path / "none.png")
    assert (tmp_path / "none.png").read_bytes().startswith(b"\x89PNG")
