"""Paths against mpmath, rotation matrices and what a spline is; path length against closed forms."""

from __future__ import annotations

import math
from dataclasses import replace

import mpmath
import numpy as np
import pytest
import torch
from hypothesis import given, strategies as st
from torch import Tensor

import generators
from gandissect.latent import LatentPath, PathLength, Walk, as_w, corner_grid, lerp, on_shell, path_length, slerp
from gandissect.latent.interpolation.path_length import clipped_mean
from gandissect.latent.spaces import check_space, truncated_w, truncated_z

ANGLES = [1e-12, 1e-7, 1e-3, 0.5, math.pi / 2, 3.0, math.pi - 1e-3, math.pi - 1e-7]


def _normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def _plane(d: int, seed: int = 0) -> np.ndarray:
    """Two unit vectors at right angles, [2, d]."""
    return np.linalg.qr(_normal(d, 2, seed=seed).numpy())[0].T


def _exact_slerp(a: Tensor, b: Tensor, t: float) -> np.ndarray:
    """The textbook's formula with 60 digits, lengths apart."""
    with mpmath.workdps(60):
        x, y = ([mpmath.mpf(value) for value in each.tolist()] for each in (a, b))
        length_x, length_y = (mpmath.sqrt(sum(value**2 for value in each)) for each in (x, y))
        cosine = sum(p * q for p, q in zip(x, y, strict=True)) / (length_x * length_y)
        angle, t = mpmath.acos(cosine), mpmath.mpf(t)
        length = (1 - t) * length_x + t * length_y
        weights = mpmath.sin((1 - t) * angle) / mpmath.sin(angle), mpmath.sin(t * angle) / mpmath.sin(angle)
        return np.array(
            [float(length * (weights[0] * p / length_x + weights[1] * q / length_y)) for p, q in zip(x, y, strict=True)]
        )


@pytest.mark.parametrize("angle", ANGLES)
@pytest.mark.parametrize("t", [0.0, 1e-9, 0.25, 0.5, 0.9, 1.0])
def test_slerp_is_that_of_sixty_digits_near_0_and_pi_too(angle: float, t: float) -> None:
    u, v = _plane(7)
    a, b = torch.tensor(2.5 * u), torch.tensor(4.0 * (math.cos(angle) * u + math.sin(angle) * v))
    # Near 0 and pi the inputs' own rounding, 1e-16, decides where the plane lies: 1e-16 / sin.
    tolerance = 4e-15 * max(1.0, 1 / math.sin(angle) if angle > 1 else 1.0)
    np.testing.assert_allclose(slerp(a, b, t), _exact_slerp(a, b, t), rtol=0, atol=tolerance)


@pytest.mark.parametrize("t", [0.0, 0.3, 0.5, 1.0])
def test_slerp_turns_by_a_rotation_matrix(t: float) -> None:
    u, v = _plane(5, seed=3)
    angle = 1.1
    turn = np.eye(5) + (math.cos(t * angle) - 1) * (np.outer(u, u) + np.outer(v, v))
    turn += math.sin(t * angle) * (np.outer(v, u) - np.outer(u, v))
    b = math.cos(angle) * u + math.sin(angle) * v
    np.testing.assert_allclose(slerp(torch.tensor(u), torch.tensor(b), t), turn @ u, atol=1e-14)


def test_between_opposite_vectors_slerp_is_half_a_circle_and_between_equal_ones_it_stays() -> None:
    a = _normal(6)
    t = torch.linspace(0, 1, 13, dtype=torch.float64)[:, None]
    points = slerp(a, -a, t)
    torch.testing.assert_close(points.norm(dim=1), a.norm().expand(13))
    torch.testing.assert_close(points @ a / a.norm() ** 2, torch.cos(math.pi * t[:, 0]), atol=1e-14, rtol=0)
    steps = (points[1:] - points[:-1]).norm(dim=1)
    torch.testing.assert_close(steps, steps[:1].expand(12))
    torch.testing.assert_close(slerp(a, a, t), a.expand(13, 6), atol=1e-14, rtol=0)
    torch.testing.assert_close(slerp(a, 3 * a, 0.5), 2 * a, atol=1e-14, rtol=0)


@given(st.integers(2, 40), st.integers(0, 10_000), st.floats(0, 1), st.sampled_from([torch.float32, torch.float64]))
def test_ends_are_exact_and_lengths_lie_between(d: int, seed: int, t: float, dtype: torch.dtype) -> None:
    a, b = (_normal(2, d, seed=seed) * torch.tensor([[1.0], [7.0]])).to(dtype)
    for join in (lerp, slerp):
        assert torch.equal(join(a, b, 0.0), a)
        assert torch.equal(join(a, b, 1), b)
    wanted = (1 - t) * float(a.norm()) + t * float(b.norm())
    assert math.isclose(float(slerp(a, b, t).norm()), wanted, rel_tol=1e-6)
    back = slerp(b, a, 1 - t)
    torch.testing.assert_close(slerp(a, b, t), back, atol=2e-5 * wanted, rtol=0)


@pytest.mark.wrong_shape
def test_slerp_refuses_what_has_no_direction() -> None:
    for bad in (torch.zeros(3), torch.tensor([1.0, math.inf, 0]), torch.ones(1)):
        with pytest.raises(ValueError, match="use lerp for others"):
            slerp(bad, bad, 0.5)
    for join in (lerp, slerp):
        for t in (math.nan, torch.tensor([0.5, math.inf])[:, None]):
            with pytest.raises(ValueError, match="t must be finite"):
                join(torch.eye(2), torch.eye(2).flip(0), t)
    with pytest.raises(ValueError, match="floats of the same shape"):
        slerp(torch.ones(3), torch.ones(4), 0.5)
    with pytest.raises(ValueError, match="floats of the same shape"):
        lerp(torch.ones(3).long(), torch.ones(3).long(), 0.5)


@pytest.mark.parametrize("closed", [False, True])
@pytest.mark.parametrize("curved", [False, True])
@pytest.mark.parametrize("count", [2, 3, 6])
def test_a_path_is_exact_at_its_keyframes_and_has_one_derivative(count: int, curved: bool, closed: bool) -> None:
    keys = _normal(count, 5, seed=count)
    path = LatentPath(keys, closed, curved)
    assert path.end == (count if closed else count - 1)
    found = path.at(torch.arange(path.end + 1))
    assert torch.equal(found[:count], keys)
    if closed:
        assert torch.equal(found[-1], keys[0])
    step = 1e-5
    inner = list(range(1, path.end)) + ([0] if closed else [])
    for key in inner:
        here = keys[key]
        ahead = (path.at([key + step])[0] - here) / step
        behind = (here - path.at([(key or path.end) - step])[0]) / step
        torch.testing.assert_close(ahead, behind, atol=2e-3, rtol=0)


def test_a_straight_path_is_the_spline_whose_second_derivative_is_continuous_and_ends_at_zero() -> None:
    keys = _normal(5, 3, seed=8)
    for closed in (False, True):
        path = LatentPath(keys, closed)
        cubics = []
        for index in range(path.end):  # four points give the cubic of each stretch
            t = np.array([0.1, 0.4, 0.7, 0.9])
            cubics.append(np.polyfit(t, path.at((index + t).tolist()).numpy(), 3))
        second = [(2 * cubic[1], 6 * cubic[0] + 2 * cubic[1]) for cubic in cubics]
        for before, after in zip(second, second[1:] + second[:1] * closed, strict=False):
            np.testing.assert_allclose(before[1], after[0], atol=1e-8)
        if not closed:
            np.testing.assert_allclose([second[0][0], second[-1][1]], 0, atol=1e-8)


def test_two_keyframes_give_lerp_or_slerp() -> None:
    keys, t = _normal(2, 9, seed=2), torch.linspace(0, 1, 7, dtype=torch.float64)
    torch.testing.assert_close(LatentPath(keys).at(t), lerp(keys[0], keys[1], t[:, None]))
    torch.testing.assert_close(LatentPath(keys, curved=True).at(t), slerp(keys[0], keys[1], t[:, None]))
    opposite = torch.stack([keys[0], -keys[0]])
    torch.testing.assert_close(LatentPath(opposite, curved=True).at(t), slerp(keys[0], -keys[0], t[:, None]))


@given(st.lists(st.floats(0.01, 100), min_size=2, max_size=6), st.booleans(), st.integers(0, 1000))
def test_lengths_on_a_curved_path_stay_between_those_of_the_keyframes(
    lengths: list[float], closed: bool, seed: int
) -> None:
    keys = _normal(len(lengths), 4, seed=seed)
    keys = keys / keys.norm(dim=1, keepdim=True) * torch.tensor(lengths, dtype=torch.float64)[:, None]
    path = LatentPath(keys, closed, curved=True)
    for index in range(path.end):
        pair = sorted([lengths[index], lengths[(index + 1) % len(lengths)]])
        found = path.at(index + torch.linspace(0, 1, 9, dtype=torch.float64)).norm(dim=1)
        assert pair[0] * (1 - 1e-9) <= float(found.min())
        assert float(found.max()) <= pair[1] * (1 + 1e-9)


def test_a_path_refuses_what_is_none() -> None:
    with pytest.raises(ValueError, match="at least 2 keyframes"):
        LatentPath(torch.ones(1, 3))
    with pytest.raises(ValueError, match=r"vectors \[key, d\]"):
        LatentPath(torch.ones(2, 3, 3), curved=True)
    with pytest.raises(ValueError, match=r"in \[0, 1\]; got \[1.5\]"):
        LatentPath(torch.eye(2)).at([1.5])


@pytest.mark.parametrize("curved", [False, True])
def test_a_path_is_its_own_and_may_meet_autograd(curved: bool) -> None:
    with torch.inference_mode():
        keys = _normal(3, 4)
        path = LatentPath(keys, curved=curved)
        before = path.at([0.0, 0.5, 1.0]).clone()
        keys.mul_(10)
    found = path.at([0.0, 0.5, 1.0])
    assert torch.equal(found, before)
    assert (found * torch.ones((), dtype=torch.float64, requires_grad=True)).sum().requires_grad


def test_a_grid_has_its_corners_and_its_edges() -> None:
    corners = _normal(4, 6, seed=4)
    for curved, join in ((False, lerp), (True, slerp)):
        grid = corner_grid(corners, 3, 5, curved=curved)
        assert torch.equal(grid[[0, 0, 2, 2], [0, 4, 0, 4]], corners)
        torch.testing.assert_close(grid[0, 1], join(corners[0], corners[1], 0.25))
        torch.testing.assert_close(grid[1, 4], join(corners[1], corners[3], 0.5))
    with pytest.raises(ValueError, match="a grid needs 4 corners"):
        corner_grid(corners[:3], 3, 3)


class Linear:
    """A generator whose image is ``A z`` (or of ``w = B z``), 3 x 1 x 2 pixels."""

    layers: dict[str, object] = {}  # noqa: RUF012
    name, fingerprint, z_dim, image_size, device = "linear", "0" * 64, 4, (1, 2), torch.device("cpu")

    def __init__(self, has_w: bool = False, normalizes_z: bool = False) -> None:
        self.has_w, self.normalizes_z = has_w, normalizes_z
        self.matrix, self.to_w = _normal(6, 4, seed=1), _normal(4, 4, seed=2)
        self.mapping = _Mapping(self.to_w)

    def sample_z(self, num_samples: int, seed: int = 0, start: int = 0) -> Tensor:
        return generators.PlantedGenerator(size=4, cells=4).sample_z(num_samples, seed, start)[:, :4].double()

    def __call__(self, z: Tensor) -> Tensor:
        if self.has_w:
            z = z[:, 0] if z.ndim == 3 else z @ self.to_w.T
        return (z.double() @ self.matrix.T).view(-1, 3, 1, 2)


class _Mapping:
    num_ws, w_avg = 2, torch.zeros(4)

    def __init__(self, matrix: Tensor) -> None:
        self.matrix = matrix

    def __call__(self, z: Tensor, psi: float = 1, cutoff: int | None = None) -> Tensor:
        return (psi * (z @ self.matrix.T))[:, None].expand(-1, 2, -1)


def test_path_length_in_w_of_a_linear_generator_is_the_squared_distance() -> None:
    """``|A B (z_b - z_a)|^2``, value by value; its expectation is ``2 |A B|^2``."""
    generator = Linear(has_w=True)
    whole = generator.matrix @ generator.to_w
    z = generator.sample_z(80, 5)
    values = ((z[1::2] - z[0::2]) @ whole.T).square().sum(dim=1)
    found = path_length(generator, "pixels", lambda x: x.flatten(1), "w", 40, 5, clip=0, progress=False)
    assert math.isclose(found.mean, float(values.mean()), rel_tol=1e-6)
    assert math.isclose(found.stderr, float(values.std()) / math.sqrt(40), rel_tol=1e-6)
    assert found.low < 2 * float(whole.square().sum()) < found.high


@pytest.mark.parametrize("normalizes_z", [False, True])
def test_path_length_in_z_is_the_squared_speed_of_slerp(normalizes_z: bool) -> None:
    generator = Linear(normalizes_z=normalizes_z)
    generator.matrix = torch.eye(4, dtype=torch.float64)[[0, 1, 2, 3, 0, 0]] * torch.tensor([[1.0]] * 4 + [[0.0]] * 2)
    z = generator.sample_z(60, 5)
    a, b = z[0::2], z[1::2]
    angle = torch.acos((a * b).sum(1) / a.norm(dim=1) / b.norm(dim=1))
    speed = (a.norm(dim=1) * angle) ** 2 + (b.norm(dim=1) - a.norm(dim=1)) ** 2  # at t = 0
    wanted = 4 * angle**2 if normalizes_z else speed
    found = path_length(generator, "z", lambda x: x.flatten(1), "z", 30, 5, clip=0, at_ends=True, progress=False)
    assert math.isclose(found.mean, float(wanted.mean()), rel_tol=1e-3)


def test_a_clipped_mean_has_the_error_of_tukey_and_mclaughlin() -> None:
    values = _normal(50).exp()
    mean, stderr = clipped_mean(values[torch.randperm(50)], 5)
    ordered = sorted(values.tolist())
    assert math.isclose(mean, sum(ordered[5:45]) / 40)
    winsorised = [ordered[5]] * 5 + ordered[5:45] + [ordered[44]] * 5
    assert math.isclose(stderr, np.std(winsorised, ddof=1) / ((1 - 2 * 0.1) * math.sqrt(50)))


def test_path_length_is_kept_and_refuses_what_cannot_be(tmp_path) -> None:
    generator, flat = Linear(), lambda x: x.flatten(1)
    found = path_length(generator, "pixels", flat, num_samples=10, clip=0.1, progress=False)
    assert PathLength.load(found.save(tmp_path)) == found
    assert (found.num_clipped, "pixels, n=10" in str(found)) == (2, True)
    for wrong in (
        {"num_samples": 3},
        {"num_clipped": -1},
        {"epsilon": -3.0},
        {"clip": 9.0},
        {"space": "moon"},
        {"mean": math.nan},
        {"stderr": -1.0},
    ):
        with pytest.raises(ValueError, match=r"2 values must be kept|epsilon must be|at least 0"):
            replace(found, **wrong)
    for bad, said in (
        ({"space": "w"}, "no w, only z"),
        ({"space": "v"}, "unknown latent space 'v'"),
        ({"epsilon": 0}, "epsilon"),
        ({"epsilon": 9e-7}, "float32 resolves no"),
        ({"epsilon": math.nan}, "epsilon must be"),
        ({"clip": 0.5}, "clip"),
        ({"num_samples": 1}, "2 values"),
    ):
        with pytest.raises(ValueError, match=said):
            path_length(generator, "pixels", flat, progress=False, **bad)
    with pytest.raises(ValueError, match=r"not finite for pair 0 of linear"):
        path_length(generator, "pixels", lambda x: x.flatten(1) / 0, num_samples=3, progress=False)


class Curve(Linear):
    """Every pixel is the square of z's angle in its first plane: not even in t."""

    def __call__(self, z: Tensor) -> Tensor:
        angle = torch.atan2(z[:, 1], z[:, 0])
        return (angle**2)[:, None, None, None].expand(-1, 3, 1, 2)


def test_even_frames_are_at_equal_distances() -> None:
    """The pixels are ``(t pi / 2)^2``, so that frames at equal distances are at ``t = sqrt(k / n)``."""
    keys = torch.tensor([[1.0, 0, 0, 0], [0, 1.0, 0, 0]], dtype=torch.float64)
    walk = Walk(Curve(), keys)
    found = walk.even_positions(5, fineness=64)
    torch.testing.assert_close(found, torch.linspace(0, 1, 5, dtype=torch.float64).sqrt(), atol=2e-3, rtol=0)
    pixels = walk.images(found)[:, 0, 0, 0]
    torch.testing.assert_close(
        pixels, torch.linspace(0, 1, 5, dtype=torch.float64) * (math.pi / 2) ** 2, atol=1e-2, rtol=0
    )
    loop = Walk(Curve(), keys, closed=True)
    assert loop.positions(4).tolist() == [0, 0.5, 1, 1.5]
    torch.testing.assert_close(loop.even_positions(4)[2], torch.tensor(1.0, dtype=torch.float64), atol=1e-2, rtol=0)
    assert Walk(_Still(), keys).even_positions(3).tolist() == [0, 0.5, 1]
    with pytest.raises(ValueError, match="num_frames must be at least 2"):
        walk.positions(1)
    with pytest.raises(ValueError, match="fineness"):
        walk.even_positions(3, fineness=0)


class _Still(Linear):
    def __call__(self, z: Tensor) -> Tensor:
        return torch.zeros(len(z), 3, 1, 2)


@pytest.mark.parametrize("architecture", ["DCGAN", "ProGAN", "StyleGAN", "StyleGAN2"])
def test_walks_begin_and_end_with_the_pictures_of_their_latents_in_every_space(architecture: str) -> None:
    generator = getattr(generators, architecture)(size=16, width=4, z_dim=6).eval()
    z = generator.sample_z(3, seed=2)
    wanted = generator(z)
    for space in ("z", *(("w",) if generator.has_w else ()), "layer2"):
        walk = Walk(generator, z, space)
        found = walk.images(torch.arange(3))
        torch.testing.assert_close(found, wanted, atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(walk.images(walk.positions(5))[[0, 2, 4]], wanted, atol=1e-4, rtol=1e-4)
    if generator.normalizes_z:
        lengths = Walk(generator, z).path.at(torch.linspace(0, 2, 9)).norm(dim=1)
        torch.testing.assert_close(lengths, torch.full((9,), math.sqrt(6)))
    with pytest.raises(KeyError, match="unknown latent space or layer 'layer99'"):
        Walk(generator, z, "layer99")
    with pytest.raises(ValueError, match=r"z of .* must be float"):
        Walk(generator, z[:, :5])
    if not generator.has_w:
        with pytest.raises(ValueError, match="has no w, only z"):
            Walk(generator, z, "w")


def test_truncated_z_is_a_truncated_normal_and_a_seed_stays_a_picture() -> None:
    generator = generators.DCGAN(size=16, width=2, z_dim=200)
    z = truncated_z(generator, 100, seed=3, limit=0.5)
    assert float(z.abs().max()) <= 0.5
    density = math.exp(-0.125) / math.sqrt(2 * math.pi)
    std = math.sqrt(1 - 2 * 0.5 * density / math.erf(0.5 / math.sqrt(2)))  # of the truncated normal; 0.284
    assert abs(float(z.std()) - std) < 0.01 * std
    assert torch.equal(truncated_z(generator, 2, seed=3, limit=0.5, start=7), z[7:9])
    torch.testing.assert_close(truncated_z(generator, 5, seed=3, limit=math.inf), generator.sample_z(5, seed=3))
    assert torch.equal(z[0].argsort(), generator.sample_z(1, seed=3)[0].argsort())


def test_truncation_is_refused_where_it_does_nothing_or_there_is_no_w() -> None:
    progan, dcgan, style = (
        getattr(generators, name)(size=16, width=2, z_dim=6).eval() for name in ("ProGAN", "DCGAN", "StyleGAN")
    )
    with pytest.raises(ValueError, match=r"progan divides z by its length.*omit truncation"):
        truncated_z(progan, 1)
    with pytest.raises(ValueError, match=r"truncate w \(truncated_w"):
        truncated_z(style, 1)
    for limit in (0, -1, math.nan):
        with pytest.raises(ValueError, match="limit must be above 0"):
            truncated_z(dcgan, 1, limit=limit)
    z = style.sample_z(2, seed=0)
    with pytest.raises(ValueError, match="dcgan has no w"):
        truncated_w(dcgan, z)
    with pytest.raises(ValueError, match="truncation_psi must be finite"):
        truncated_w(style, z, math.nan)
    with pytest.raises(ValueError, match="truncation_cutoff must be in"):
        truncated_w(style, z, 0.5, 7)
    with pytest.raises(ValueError, match=r"w of .* must be float"):
        as_w(style, torch.zeros(1, 5, 512))
    with pytest.raises(ValueError, match="did you mean"):
        check_space(style, "zw")
    with pytest.raises(ValueError, match=r"known: z$"):
        check_space(dcgan, "layer1")
    assert torch.equal(truncated_w(style, z, 0.0)[0, 0], style.mapping.w_avg)
    torch.testing.assert_close(on_shell(z).norm(dim=1), torch.full((2,), math.sqrt(6)))
    with pytest.raises(ValueError, match="must be finite and nonzero"):
        on_shell(torch.zeros(1, 6))
