"""Interpolate between latent vectors, with exact end points.

Straight paths, for w and activations, join two keyframes by ``(1 - t) a + t b``, and more keyframes by a cubic spline
with a continuous second derivative, natural if the path is open and periodic if it is closed.

Curved paths are for z, where a straight line would leave the shell near which normal vectors concentrate. They join two
keyframes by a great circle. For unit vectors ``a, b`` at an angle ``phi``, and the unit vector ``c`` orthogonal to a in
the direction of b::

    slerp(a, b, t) = a cos(t phi) + c sin(t phi)

More keyframes are joined by cubic Bezier curves built of great circles instead of lines, with a continuous first
derivative. Lengths are interpolated separately, so they stay between those of the keyframes.

Source: Shoemake 1985, Sec. 3.3 and 4; lengths: Fritsch and Butland 1984.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import torch
from jaxtyping import Float, Real
from torch import Tensor

from ...core.display import Displayed
from ...storage.saved import detached_copy

TINY = 1e-15
"""Difference below which two unit vectors, up to sign, do not determine a great circle."""


def lerp(
    a: Float[Tensor, "*shape"], b: Float[Tensor, "*shape"], t: float | Float[Tensor, " ..."]
) -> Float[Tensor, " ..."]:
    """Interpolate linearly: return ``(1 - t) a + t b``, exactly a at 0 and exactly b at 1.

    Args:
        a: Floats of any shape.
        b: Floats of the same shape and dtype.
        t: Number, or tensor that broadcasts with a and b, such as ``torch.linspace(0, 1, 9)[:, None]``.

    Raises:
        ValueError: If shapes or dtypes differ, the tensors are not floating-point, or t is not finite.
    """
    _check_pair(a, b)
    return torch.lerp(a, b, _to_positions(t).to(a))


def slerp(
    a: Float[Tensor, "*shape d"], b: Float[Tensor, "*shape d"], t: float | Float[Tensor, " ..."]
) -> Float[Tensor, "... d"]:
    """Interpolate along a great circle, and linearly in length, exactly a at 0 and exactly b at 1.

    Vectors in opposite directions are joined by many great circles of equal length; the choice is deterministic.

    Args:
        a: Latent vectors ``[..., d]`` of any nonzero length; d is at least 2.
        b: Latent vectors of the same shape and dtype.
        t: Number, or tensor that broadcasts with a and b, such as ``torch.linspace(0, 1, 9)[:, None]``.

    Raises:
        ValueError: If shapes or dtypes differ, the tensors are not floating-point, t is not finite, or a vector has
            length 0.

    Examples:
        >>> import torch
        >>> from gandissect import latent
        >>> latent.slerp(torch.tensor([2.0, 0.0]), torch.tensor([0.0, 2.0]), 1 / 3)
        tensor([1.7321, 1.0000])

    Source: Shoemake 1985, Sec. 3.3.
    """
    _check_pair(a, b)
    where = _to_positions(t)
    (start, length_a), (stop, length_b) = _to_polar(a), _to_polar(b)
    points = _slerp(start, stop, where) * torch.lerp(length_a, length_b, where)
    at_start, at_stop = (where == 0).to(a.device), (where == 1).to(a.device)
    return torch.where(at_start, a, torch.where(at_stop, b, points.to(a)))


def corner_grid(
    corners: Float[Tensor, "corner ..."], rows: int, columns: int, *, curved: bool = False
) -> Float[Tensor, "row column ..."]:
    """Interpolate a grid between four corners: along the upper and lower edges, then between the edges.

    Args:
        corners: Upper left, upper right, lower left and lower right corner, ``[4, ...]``; the grid contains them
            exactly.
        rows: Number of rows, at least 2.
        columns: Number of columns, at least 2.
        curved: Interpolate along great circles, for z, instead of straight lines.

    Returns:
        ``[rows, columns, ...]``.

    Raises:
        ValueError: If there are not four corners, or there are too few rows or columns.
    """
    if len(corners) != 4 or rows < 2 or columns < 2:
        raise ValueError(
            f"a grid needs 4 corners and at least 2 rows and 2 columns; got {len(corners)}, {rows} and {columns}"
        )
    join, trailing = slerp if curved else lerp, (1,) * (corners.ndim - 1)
    across = torch.linspace(0, 1, columns, dtype=torch.float64, device="cpu").view(columns, *trailing)
    down = torch.linspace(0, 1, rows, dtype=torch.float64, device="cpu").view(rows, 1, *trailing)
    upper_left, upper_right, lower_left, lower_right = (corner.expand(columns, *corner.shape) for corner in corners)
    upper, lower = join(upper_left, upper_right, across), join(lower_left, lower_right, across)
    return join(upper.expand(rows, *upper.shape), lower.expand(rows, *lower.shape), down)


def mix_keys(
    keys: Float[Tensor, "key d"], positions: Real[Tensor, " n"] | Sequence[float], end: int
) -> Float[Tensor, "n d"]:
    """Return mixtures of keyframes and the next ones, exactly keyframe i at position i.

    Unlike a spline, a mixture of weights that sum to 1 never leaves their range.

    Args:
        keys: Keyframes.
        positions: Positions from 0 to ``end``.
        end: Last position; there the keyframe is the last one, or the first if ``end`` is the number of keyframes.
    """
    where = torch.as_tensor(positions, dtype=torch.float64, device="cpu")
    index = where.long().clamp(max=end - 1)
    before, after = keys[index.to(keys.device)], keys[((index + 1) % len(keys)).to(keys.device)]
    return torch.lerp(before, after, (where - index)[:, None].to(keys))


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class LatentPath(Displayed):
    """A smooth path through keyframes.

    Args:
        keys: Two or more keyframes, ``[key, ...]``, or ``[key, d]`` for a curved path; they are copied.
        closed: Return smoothly from the last keyframe to the first.
        curved: Interpolate along great circles, for z, instead of straight lines.

    Raises:
        ValueError: If there are fewer than two keyframes, or they have the wrong shape or dtype.
    """

    keys: Float[Tensor, "key ..."]
    closed: bool = False
    curved: bool = False
    _parts: tuple[Tensor, ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if len(self.keys) < 2 or not self.keys.is_floating_point():
            raise ValueError(
                f"keys must be floats with at least 2 keyframes; got {self.keys.dtype} {list(self.keys.shape)}"
            )
        if self.curved and self.keys.ndim != 2:
            raise ValueError(f"keys of a curved path must be vectors [key, d]; got {list(self.keys.shape)}")
        object.__setattr__(self, "keys", detached_copy(self.keys))
        with torch.inference_mode(False):
            parts = _circle_parts(self.keys, self.closed) if self.curved else _spline_parts(self.keys, self.closed)
        object.__setattr__(self, "_parts", parts)

    @property
    def end(self) -> int:
        """Last position: that of the last keyframe, or, if the path is closed, of the return to the first."""
        return len(self.keys) - (not self.closed)

    def at(self, positions: Real[Tensor, " n"] | Sequence[float]) -> Float[Tensor, "n ..."]:
        """Return the points at the given positions; keyframe i is at position i, exactly.

        Args:
            positions: Positions on the path, ``[n]``, from 0 to `end`.

        Returns:
            ``[n, ...]``, with the keyframes' dtype and device.

        Raises:
            ValueError: If a position is beyond the path.
        """
        where = torch.as_tensor(positions, dtype=torch.float64, device="cpu")
        if where.ndim != 1 or not bool(((where >= 0) & (where <= self.end)).all()):
            raise ValueError(f"positions must be [n] in [0, {self.end}]; got {where.tolist()}")
        index = where.long().clamp(max=self.end - 1)
        t = (where - index)[:, None]
        points = _points_on_circles(self._parts, index, t) if self.curved else _points_on_lines(self._parts, index, t)
        points = points.reshape(len(where), *self.keys.shape[1:]).to(self.keys)
        is_key = (where == where.floor()).view(-1, *(1,) * (self.keys.ndim - 1)).to(self.keys.device)
        key = (where.long() % len(self.keys)).to(self.keys.device)
        return torch.where(is_key, self.keys[key], points)

    def _summarize(self) -> str:
        kind = ("closed, " if self.closed else "") + ("great circles" if self.curved else "straight")
        return f"{len(self.keys)} keyframes {list(self.keys.shape[1:])}, {kind}"


def _spline_parts(keys: Tensor, closed: bool) -> tuple[Tensor, Tensor]:
    """Return keyframes ``[key, d]`` and the derivatives there of the natural or periodic cubic spline."""
    values = keys.detach().cpu().double().flatten(1)
    count = len(values)
    system = 4 * torch.eye(count, dtype=values.dtype, device="cpu")
    for shift in (1, -1):
        system += torch.eye(count, dtype=values.dtype, device="cpu").roll(shift, 0)
    differences = 3 * (values.roll(-1, 0) - values.roll(1, 0))
    if not closed:
        system[0], system[-1] = 0, 0
        system[0, :2], system[-1, -2:] = values.new_tensor([2.0, 1.0]), values.new_tensor([1.0, 2.0])
        differences[0], differences[-1] = 3 * (values[1] - values[0]), 3 * (values[-1] - values[-2])
    return values, torch.linalg.solve(system, differences)


def _points_on_lines(parts: tuple[Tensor, ...], index: Tensor, t: Tensor) -> Tensor:
    values, slopes = parts
    return _hermite(values, slopes, index, t)


def _hermite(values: Tensor, slopes: Tensor, index: Tensor, t: Tensor) -> Tensor:
    """Evaluate the cubics with the given values and slopes ``[key, d]`` between keyframes ``index`` and the next."""
    after = (index + 1) % len(values)
    square, cube = t**2, t**3
    return (
        (2 * cube - 3 * square + 1) * values[index]
        + (cube - 2 * square + t) * slopes[index]
        + (3 * square - 2 * cube) * values[after]
        + (cube - square) * slopes[after]
    )


def _circle_parts(keys: Tensor, closed: bool) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Return each keyframe's direction, the control points after and before it, its length, and the length's slope."""
    directions, lengths = _to_polar(keys.detach())
    after, before = _steps_toward(directions, directions.roll(-1, 0)), _steps_toward(directions, directions.roll(1, 0))
    rise_before, rise_after = lengths - lengths.roll(1, 0), lengths.roll(-1, 0) - lengths
    if not closed:
        before[0], after[-1] = -after[0], -before[-1]
        rise_before[0], rise_after[-1] = rise_after[0], rise_before[-1]
    velocity, same_sign = (after - before) / 2, rise_before * rise_after > 0
    sums = torch.where(same_sign, rise_before + rise_after, 1)
    slopes = torch.where(same_sign, 2 * rise_before * rise_after / sums, 0)  # harmonic mean: no overshoot
    return directions, _move_along(directions, velocity / 3), _move_along(directions, -velocity / 3), lengths, slopes


def _points_on_circles(parts: tuple[Tensor, ...], index: Tensor, t: Tensor) -> Tensor:
    """Evaluate the Bezier curves built of great circles (de Casteljau's construction)."""
    directions, leaving, arriving, lengths, slopes = parts
    after = (index + 1) % len(directions)
    points = [directions[index], leaving[index], arriving[after], directions[after]]
    while len(points) > 1:
        points = [_slerp(a, b, t) for a, b in pairwise(points)]
    return points[0] * _hermite(lengths, slopes, index, t)


def _slerp(a: Tensor, b: Tensor, t: Tensor) -> Tensor:
    """Interpolate unit vectors along great circles, float64."""
    return _move_along(a, t * _steps_toward(a, b))


def _move_along(a: Tensor, step: Tensor) -> Tensor:
    """Move unit vectors along great circles by steps orthogonal to them."""
    angle = _length(step)
    return a * angle.cos() + step * torch.sinc(angle / torch.pi)


def _steps_toward(a: Tensor, b: Tensor) -> Tensor:
    """Return the steps with which `_move_along` moves unit vectors a to b; their length is the angle between them."""
    angle = 2 * torch.atan2(_length(a - b), _length(a + b))  # accurate near 0 and pi, which acos is not
    side = _orthogonal_part(a, b)
    length = _length(side)
    side = torch.where(length > TINY, side / length.clamp(min=TINY), _any_orthogonal(a))
    side = _orthogonal_part(a, side)  # remove the rounding error along a
    return angle * side / _length(side)


def _orthogonal_part(a: Tensor, b: Tensor) -> Tensor:
    """Return the component of b orthogonal to unit vectors a."""
    return b - (a * b).sum(dim=-1, keepdim=True) * a


def _any_orthogonal(a: Tensor) -> Tensor:
    """Return a unit vector orthogonal to each unit vector, from the coordinate axis farthest from it."""
    axis = torch.zeros_like(a).scatter(-1, a.abs().argmin(dim=-1, keepdim=True), 1.0)
    side = _orthogonal_part(a, axis)
    return side / _length(side)


def _length(vectors: Tensor) -> Tensor:
    lengths: Tensor = torch.linalg.vector_norm(vectors, dim=-1, keepdim=True)
    return lengths


def _to_polar(vectors: Tensor) -> tuple[Tensor, Tensor]:
    """Return directions and lengths, float64 on CPU.

    Raises:
        ValueError: If a vector has length 0, or is not finite.
    """
    exact = vectors.cpu().double()
    length = _length(exact)
    if vectors.shape[-1] < 2 or not bool((length.isfinite() & (length > 0)).all()):
        raise ValueError(
            "vectors on great circles must be finite and nonzero, with at least 2 entries; "
            f"got {list(vectors.shape)} with lengths from {float(length.min()):g}; use lerp for others"
        )
    return exact / length, length


def _to_positions(t: float | Tensor) -> Tensor:
    """Return positions between 2 points as float64 on CPU.

    Raises:
        ValueError: If one is not finite.
    """
    where = torch.as_tensor(t, dtype=torch.float64, device="cpu")
    if not bool(where.isfinite().all()):
        raise ValueError(f"t must be finite, usually in [0, 1]; got {where.tolist()}")
    return where


def _check_pair(a: Tensor, b: Tensor) -> None:
    if a.shape != b.shape or a.dtype != b.dtype or not a.is_floating_point():
        raise ValueError(
            f"a and b must be floats of the same shape and dtype; got {a.dtype} {list(a.shape)} and {b.dtype} "
            f"{list(b.shape)}"
        )
