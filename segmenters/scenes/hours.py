"""Hours of the day: an ordered condition, from the morning at 0 to dusk at 1, that changes the light alone.

Between the moods of `HOURS`, at equal distances, all colors and strengths of the light change linearly.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np

from gandissect.core.sampling import derive_seed

from .light import MOODS, Dice, Mood

HOURS = ("morning", "noon", "golden", "sunset", "dusk")
"""Moods in the order of the day; they name its five groups of hours, which are equally long."""


def group_of(hour: float) -> int:
    """Return the index in `HOURS` of an hour's group: the fifth of [0, 1] that it is in."""
    return min(int(hour * len(HOURS)), len(HOURS) - 1)


def draw_hour(seed: int) -> float:
    """Return the hour of a scene, uniform in [0, 1), from its own stream of the scene's seed."""
    return Dice(derive_seed(seed, "hour")).uniform()


def mood_at(hour: float) -> Mood:
    """Return the mood of an hour in [0, 1], interpolated linearly between its two neighbors in `HOURS`."""
    before = min(int(hour * (len(HOURS) - 1)), len(HOURS) - 2)
    share = hour * (len(HOURS) - 1) - before
    earlier, later = (asdict(MOODS[name][1]) for name in HOURS[before : before + 2])
    del earlier["num_clouds"]  # clouds are things, which stay
    return replace(MOODS[HOURS[before]][1], **{key: _mix(value, later[key], share) for key, value in earlier.items()})


def _mix(earlier: float | Sequence[float], later: float | Sequence[float], share: float) -> Any:
    """Interpolate a number, or each number of a tuple."""
    mixed = (1 - share) * np.array(earlier, np.float64) + share * np.array(later, np.float64)
    return tuple(mixed.tolist()) if mixed.ndim else float(mixed)
