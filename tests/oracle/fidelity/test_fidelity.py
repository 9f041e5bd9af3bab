from __future__ import annotations

import math
from dataclasses import fields, replace

import numpy as np
import pytest
import torch
from hypothesis import given, strategies as st

from gandissect.core.sampling import make_rng, sample_z
from gandissect.fidelity.distances import frechet_distance, kernel_distance
from gandissect.fidelity.neighbors import density_coverage, nearest_ratio, precision_recall
from gandissect.fidelity.results import INCEPTION, INCEPTION_DIMS, Scores, SetScores
from gandissect.fidelity.yardstick import Yardstick
from gandissect.stats.intervals import Estimate
from generators import PlantedGenerator


def _naive(x: np.ndarray, y: np.ndarray) -> float:
    """The formula with the general matrix square root, by diagonalizing the product."""
    sx, sy = np.cov(x.T), np.cov(y.T)
    values = np.linalg.eigvals(sx @ sy)
    trace = np.trace(sx) + np.trace(sy) - 2 * np.sqrt(values.astype(complex)).sum().real
    return float(((x.mean(0) - y.mean(0)) ** 2).sum() + trace)


@given(st.integers(0, 10**6))
def test_the_distance_is_the_formula(seed: int) -> None:
    rng = np.random.default_rng(seed)
    d = int(rng.integers(2, 6))
    x = rng.normal(size=(40, d)) @ rng.normal(size=(d, d)) + rng.normal(size=d)
    y = rng.normal(size=(30, d)) @ rng.normal(size=(d, d))
    found = frechet_distance(torch.from_numpy(x), torch.from_numpy(y))
    assert math.isclose(found, _naive(x, y), rel_tol=1e-6, abs_tol=1e-8)
    assert math.isclose(found, frechet_distance(torch.from_numpy(y), torch.from_numpy(x)), rel_tol=1e-6, abs_tol=1e-8)


def test_in_one_dimension_it_is_the_textbook_formula() -> None:
    """``(mu_x - mu_y)^2 + (sigma_x - sigma_y)^2``."""
    x, y = torch.tensor([[0.0], [2.0], [4.0]]), torch.tensor([[10.0], [11.0], [12.0]])
    assert math.isclose(frechet_distance(x, y), (2 - 11) ** 2 + (2 - 1) ** 2)


def test_a_shift_costs_its_square_and_nothing_costs_nothing() -> None:
    x = torch.randn(50, 4, generator=make_rng(0, "x"))
    assert frechet_distance(x, x) < 1e-9
    assert math.isclose(frechet_distance(x, x + 3), 4 * 9, rel_tol=1e-5)
    degenerate = torch.cat([x, x[:, :1]], dim=1)
    assert frechet_distance(degenerate, degenerate) < 1e-9


@pytest.mark.parametrize("x", [torch.zeros(1, 3), torch.zeros(5), torch.full((4, 3), float("nan")), torch.zeros(4, 2)])
@pytest.mark.wrong_shape
def test_features_that_have_no_distance_are_refused(x: torch.Tensor) -> None:
    with pytest.raises(ValueError, match="features"):
        frechet_distance(x, torch.zeros(5, 3))


def test_a_yardstick_tells_a_generator_of_the_same_pictures_from_another() -> None:
    generator, other = PlantedGenerator(size=16, cells=8), PlantedGenerator(size=16, cells=4)

    def pictures(seed: int, count: int) -> torch.Tensor:
        return ((generator(generator.sample_z(count, seed)) + 1) * 127.5).round().to(torch.uint8)

    def features(images: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.adaptive_avg_pool2d(images, 4).flatten(1)

    yardstick = Yardstick("thumbnail", features, pictures(1, 300), pictures(2, 80))
    same, different = yardstick.measure(generator, seed=5), yardstick.measure(other, seed=5)
    assert same.num_images == 80
    assert same.num_dims == 20
    assert abs(same.distance - same.floor) < 4 * (same.distance_std + same.floor_std)
    assert different.distance > 10 * different.floor
    assert same == yardstick.measure(generator, seed=5)
    assert "thumbnail" in str(same)


def _planted(cells: int, seed: int, count: int) -> torch.Tensor:
    generator = PlantedGenerator(size=16, cells=cells)
    return ((generator(generator.sample_z(count, seed)) + 1) * 127.5).round().to(torch.uint8)


def _blocks(images: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.adaptive_avg_pool2d(images, 4).flatten(1)


def test_the_floor_is_that_of_training_pictures_from_held_out_ones() -> None:
    """Training pictures of another kind are far from the held-out pictures; generated pictures of the same kind are not."""
    found = Yardstick("x", _blocks, _planted(4, 1, 150), _planted(8, 2, 80)).measure(PlantedGenerator(16, 8))
    assert found.floor > 10 * found.distance
    assert found.distance_std > 0, "every set is of other samples"
    assert found.floor_std > 0, "every set is of other training pictures"
    assert not math.isclose(found.floor_std, found.distance_std)


def test_the_unit_of_the_features_does_not_matter() -> None:
    train, held_out, generator = _planted(8, 1, 120), _planted(8, 2, 60), PlantedGenerator(16, 4)
    plain = Yardstick("x", _blocks, train, held_out).measure(generator)
    scaled = Yardstick("x", lambda images: 1000 * _blocks(images), train, held_out).measure(generator)
    assert math.isclose(plain.distance, scaled.distance, rel_tol=1e-4)
    dead = Yardstick("x", lambda images: torch.zeros(len(images), 5), train, held_out).measure(generator)
    assert (dead.distance, dead.floor) == (0, 0)
    assert dead.generated == dead.real, "what the network does not see is no difference"
    assert dead.generated.nearest_ratio == Estimate(1, 0)


def test_too_few_pictures_or_sets_are_refused() -> None:
    pictures = _planted(8, 1, 20)
    for train, held_out, message in (
        (pictures, pictures[:7], "there must be at least 8 held-out pictures; got 7"),
        (pictures[:9], pictures[:10], "there must be more training pictures than held-out pictures; got 9 and 10"),
        (pictures[:9], pictures[:9], "there must be more training pictures than held-out pictures; got 9 and 9"),
    ):
        with pytest.raises(ValueError, match=message):
            Yardstick("x", _blocks, train, held_out)
    with pytest.raises(ValueError, match="num_sets must be at least 2; got 1"):
        Yardstick("x", _blocks, pictures, pictures[:10]).measure(PlantedGenerator(16, 8), num_sets=1)


class _Clouds:
    """Smooth pictures, no two alike: each z is a map of 2 x 2 colors."""

    device = torch.device("cpu")

    def sample_z(self, num_samples: int, seed: int = 0, start: int = 0) -> torch.Tensor:
        return sample_z(num_samples, 12, seed, start)

    def __call__(self, z: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.interpolate(torch.tanh(z.reshape(-1, 3, 2, 2)), 16, mode="bilinear")

    def pictures(self, seed: int, count: int) -> torch.Tensor:
        return ((self(self.sample_z(count, seed)) + 1) * 127.5).round().to(torch.uint8)


class _Copier(_Clouds):
    """Its samples cycle through the 400 pictures of seed 1 with a stride of 7."""

    def sample_z(self, num_samples: int, seed: int = 0, start: int = 0) -> torch.Tensor:
        return _Clouds().sample_z(400, 1)[(torch.arange(start, start + num_samples) * 7 + seed) % 400]


class _Bright(_Clouds):
    """It generates only pictures in which every color is bright."""

    def __call__(self, z: torch.Tensor) -> torch.Tensor:
        return super().__call__(z.abs())


def test_copying_shows_in_the_nearest_ratio_and_in_nothing_else() -> None:
    """Even though far fewer pictures are held out than were trained on, so most copies are of other pictures."""
    yardstick = Yardstick("x", _blocks, _Clouds().pictures(1, 400), _Clouds().pictures(2, 80))
    honest, copier = yardstick.measure(_Clouds(), seed=5), yardstick.measure(_Copier(), seed=5)
    assert copier.num_train == 320, "those that stand for generated pictures are not among them"
    assert copier.generated.nearest_ratio.mean < 0.1
    assert honest.real == copier.real
    assert 0.7 < honest.real.nearest_ratio.mean < 0.9, "320 are nearer than 80"
    assert abs(honest.generated.nearest_ratio.mean - honest.real.nearest_ratio.mean) < 0.05
    for name in ("distance", "kernel_distance", "precision", "recall", "density", "coverage"):
        copied, real = getattr(copier.generated, name), getattr(copier.real, name)
        assert abs(copied.mean - real.mean) < 3 * (copied.std + real.std), name


def test_pictures_that_are_missing_cost_recall_and_coverage_but_neither_precision_nor_density() -> None:
    yardstick = Yardstick("x", _blocks, _Clouds().pictures(1, 200), _Clouds().pictures(2, 80))
    found = yardstick.measure(_Bright())
    generated, real = found.generated, found.real
    assert abs(generated.precision.mean - real.precision.mean) < generated.precision.std + real.precision.std
    assert abs(generated.density.mean - real.density.mean) < generated.density.std + real.density.std
    assert generated.recall.mean < 0.1 < 0.8 < real.recall.mean
    assert generated.coverage.mean < 0.5 < 0.9 < real.coverage.mean


def test_an_estimate_is_mean_and_standard_deviation() -> None:
    """Of 1, 2, 6: mean 3, variance (4 + 1 + 9) / 2."""
    found = Estimate.of([1.0, 2.0, 6.0])
    assert found.mean == 3
    assert math.isclose(found.std, math.sqrt(7))
    assert str(found) == "3.00 ± 2.65"


def test_a_small_estimate_is_printed_with_two_digits_that_tell() -> None:
    assert str(Estimate(0.5, 0.001)) == "0.50 ± 0.00"
    assert str(Estimate(0.00443, 0.0133)) == "0.004 ± 0.013"
    assert str(Estimate(-0.00021, 0.00004)) == "-0.00021 ± 0.00004"
    assert str(Estimate(2.13e-14, 1e-15)) == "2.1e-14 ± 1.0e-15"
    assert str(Estimate(0, 0)) == "0.00 ± 0.00"


def test_every_figure_is_printed_beside_its_real_one() -> None:
    found = Yardstick("thumbnail", _blocks, _planted(8, 1, 60), _planted(8, 2, 40)).measure(PlantedGenerator(16, 4))
    assert (found.distance, found.distance_std) == (found.generated.distance.mean, found.generated.distance.std)
    assert (found.floor, found.floor_std) == (found.real.distance.mean, found.real.distance.std)
    lines = str(found).splitlines()
    names = ("distance", "kernel_distance", "precision", "recall", "density", "coverage", "nearest_ratio")
    assert len(lines) == len(names)
    for line, name in zip(lines, names, strict=True):
        assert line.endswith(f"{getattr(found.generated, name)}; real against real {getattr(found.real, name)}")


def _sets(generator: _Clouds, seed: int, count: int, num_sets: int) -> list[torch.Tensor]:
    return [generator(generator.sample_z(count, seed, index * count)) for index in range(num_sets)]


def test_a_measure_is_that_of_its_sets_one_by_one() -> None:
    """The yardstick without a generator: each score is that of the features that it returns."""
    yardstick = Yardstick("x", _blocks, _Clouds().pictures(1, 200), _Clouds().pictures(2, 64))
    found = yardstick.measure(_Bright(), seed=3, num_sets=2)
    orders = [torch.randperm(200, generator=make_rng(3, "fidelity", index)) for index in range(2)]
    sets = [yardstick.extract_features(images) for images in _sets(_Bright(), 3, 64, 2)]
    each = [yardstick.compare(y, yardstick.train[order[64:]]) for y, order in zip(sets, orders, strict=True)]
    assert Scores.of(each) == found.generated
    real = [yardstick.compare(yardstick.train[order[:64]], yardstick.train[order[64:]]) for order in orders]
    assert Scores.of(real) == found.real
    for name in ("distance", "recall"):
        values = [getattr(scores, name) for scores in each]
        assert getattr(found.generated, name).mean == pytest.approx(np.mean(values))
        assert getattr(found.generated, name).std == pytest.approx(np.std(values, ddof=1))


def test_a_set_has_the_figures_of_the_functions() -> None:
    yardstick = Yardstick("x", _blocks, _Clouds().pictures(1, 200), _Clouds().pictures(2, 60))
    (images,) = _sets(_Bright(), 4, 30, 1)
    y, held_out, train = yardstick.extract_features(images), yardstick.held_out, yardstick.train
    found = yardstick.compare(y)
    center = held_out.mean(dim=0)
    kernel = kernel_distance(y - center, held_out - center)
    shares, balls = precision_recall(held_out, y), density_coverage(held_out, y)
    assert found == SetScores(
        distance=frechet_distance(y, held_out),
        kernel_distance=kernel.value,
        kernel_stderr=kernel.stderr,
        precision=shares.precision,
        recall=shares.recall,
        density=balls.density,
        coverage=balls.coverage,
        nearest_ratio=nearest_ratio(y, train, held_out),
    )
    assert yardstick.compare(y, y).nearest_ratio == 0
    assert found.kernel_distance > 5 * found.kernel_stderr
    (images,) = _sets(_Clouds(), 4, 30, 1)
    honest = yardstick.compare(yardstick.extract_features(images))
    assert abs(honest.kernel_distance) < 3 * honest.kernel_stderr


def test_features_are_scaled_by_the_held_out_pictures_and_do_not_depend_on_the_batch() -> None:
    pictures = _Clouds().pictures(2, 100)
    yardstick = Yardstick("x", _blocks, _Clouds().pictures(1, 130), pictures)
    images = pictures.float() / 127.5 - 1
    found = yardstick.extract_features(images)
    assert torch.equal(found, yardstick.held_out)
    assert yardstick.train.shape == (130, found.shape[1])
    assert torch.allclose(found.std(dim=0), torch.ones(25, dtype=torch.float64))
    assert torch.allclose(yardstick.extract_features(images[70:73]), found[70:73], rtol=1e-5)
    assert torch.equal(yardstick.extract_features(images * 9), yardstick.extract_features((images * 9).clamp(-1, 1)))
    found += 1  # the caller may modify returned features
    assert not torch.equal(found, yardstick.held_out)


def test_features_left_as_they_are_give_the_distances_of_the_definitions() -> None:
    train, held_out = _Clouds().pictures(1, 60), _Clouds().pictures(2, 20)
    raw = Yardstick("x", _blocks, train, held_out, num_dims=None)
    (images,) = _sets(_Bright(), 4, 30, 1)
    x, y = (_blocks(each).double() for each in (held_out.float() / 127.5 - 1, images))
    assert torch.equal(raw.held_out, x)
    assert torch.equal(raw.extract_features(images), y)
    found = raw.compare(raw.extract_features(images))
    assert (found.distance, found.kernel_distance) == (frechet_distance(y, x), kernel_distance(y, x).value)
    assert raw.measure(_Bright(), num_sets=2).num_dims == 48


def test_only_all_features_of_inception_are_called_fid_and_kid() -> None:
    found = Yardstick("x", _blocks, _planted(8, 1, 60), _planted(8, 2, 40)).measure(PlantedGenerator(16, 4))
    assert str(found).startswith("FD(x, 10 dims, n=40) ")
    assert "\nKD(x, 10 dims, n=40) " in str(found)
    for network, num_dims in (
        (INCEPTION, 64),
        ("unet-scenes", INCEPTION_DIMS),
        (f"{INCEPTION} with weights abc", 2048),
    ):
        text = str(replace(found, network=network, num_dims=num_dims))
        assert "FID" not in text
        assert "KID" not in text
    text = str(replace(found, network=INCEPTION, num_dims=INCEPTION_DIMS))
    assert text.startswith("FID(inception-v3, 2048 dims, n=40) ")
    assert "\nKID(inception-v3, 2048 dims, n=40) " in text


@pytest.mark.parametrize("images", [torch.zeros(2, 3, 16), torch.zeros(2, 1, 16, 16), torch.zeros(2, 3, 16, 16).byte()])
@pytest.mark.wrong_shape
def test_what_is_no_image_has_no_features(images: torch.Tensor) -> None:
    yardstick = Yardstick("x", _blocks, _planted(8, 1, 20), _planted(8, 2, 10))
    with pytest.raises(ValueError, match=r"images must be float .* got torch"):
        yardstick.extract_features(images)


def test_scores_of_sets_have_every_figure_of_a_set() -> None:
    """Both classes have the same scores; the spread over sets includes the error of a single set."""
    assert {each.name for each in fields(SetScores)} - {each.name for each in fields(Scores)} == {"kernel_stderr"}
