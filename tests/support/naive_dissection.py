"""Network dissection as the paper tells it, slowly: loops over pixels, a sort for the quantile, sets for the IoU.

    "Let r_u(P) be the activation of unit u, upsampled to the image; the binary mask r_u > t_u is compared with
    the segmentation s_c by IoU_{u,c} = E_z |(r_u > t_u) and s_c| / E_z |(r_u > t_u) or s_c|,
    with t_u chosen so that the unit is on at 1% of all pixels."

Shares no code with the package; numpy and the standard library only.

Source: Bau et al. 2019, Sec. 3.1.
"""

from __future__ import annotations

from fractions import Fraction

import numpy as np


def bilinear(grid: np.ndarray, height: int, width: int) -> np.ndarray:
    """Stretch one map, pixel by pixel, in double precision; pixel centers at half-integers, border clamped."""
    out = np.zeros((height, width))
    for y in range(height):
        for x in range(width):
            out[y, x] = _at(grid, (y + 0.5) * grid.shape[0] / height - 0.5, (x + 0.5) * grid.shape[1] / width - 0.5)
    return out


def _at(grid: np.ndarray, y: float, x: float) -> float:
    """Weigh every grid point by its tent function around (y, x)."""
    y, x = min(max(y, 0), grid.shape[0] - 1), min(max(x, 0), grid.shape[1] - 1)
    total = 0.0
    for row in range(grid.shape[0]):
        for column in range(grid.shape[1]):
            tent = max(0.0, 1 - abs(y - row)) * max(0.0, 1 - abs(x - column))
            total += tent * float(grid[row, column])
    return total


def threshold(values: list[float], quantile: str) -> float:
    """Return the largest level of a sorted list that at most the given share of values exceeds."""
    ordered = sorted(values, reverse=True)
    allowed = int(Fraction(quantile) * len(ordered))
    return ordered[allowed]


def rank_is_right(values: list[float], level: float, quantile: str, margin: float = 0.0) -> bool:
    """Say whether at most the given share of values exceeds a level, and no fewer by 0.1% of them or by a tenth.

    Fewer may, if the level is the largest that so few exceed.

    Args:
        values: All of them.
        level: The level.
        quantile: As a decimal.
        margin: Values so near to the level may lie on either side.
    """
    allowed = int(Fraction(quantile) * len(values))
    if sum(value > level + margin for value in values) > allowed:
        return False
    missing = allowed - sum(value > level - margin for value in values)
    enough = missing <= min(Fraction(1, 1000) * len(values), Fraction(allowed + 1, 10))
    return enough or abs(level - threshold(values, quantile)) <= margin


def dissect_unit(maps: np.ndarray, labels: np.ndarray, others: np.ndarray, num_concepts: int, level: float) -> dict:
    """Compare one unit with every concept.

    Args:
        maps: ``[sample, h, w]``, its activations.
        labels: ``[sample, H, W]``, integers, -1 for none.
        others: ``[sample, H, W]``, the labels of other samples.
        num_concepts: Concepts.
        level: Above which it is on.
    """
    stretched = [bilinear(each, *labels.shape[1:]) for each in maps]
    pixels = [(s, y, x) for s, y, x in np.ndindex(labels.shape)]
    on = {pixel for pixel in pixels if stretched[pixel[0]][pixel[1:]] > level}
    near = {pixel for pixel in pixels if abs(stretched[pixel[0]][pixel[1:]] - level) <= 1e-5 * max(1, abs(level))}
    areas, common, exchanged, iou = [], [], [], []
    for concept in range(num_concepts):
        there = {pixel for pixel in pixels if labels[pixel] == concept}
        areas.append(len(there))
        common.append(len(on & there))
        exchanged.append(len({pixel for pixel in on if others[pixel] == concept}))
        iou.append(len(on & there) / len(on | there) if on | there else 0.0)
    best = max(iou)
    return {
        "values": [value for each in stretched for value in each.ravel().tolist()],
        "unit_area": len(on),
        "num_near": len(near),
        "concept_area": areas,
        "intersection": common,
        "exchanged": exchanged,
        "iou": iou,
        "concept": iou.index(best) if best > 0 else None,
        "masks": [np.array(each) > level for each in stretched],
    }
