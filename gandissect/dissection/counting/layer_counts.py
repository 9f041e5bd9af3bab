"""Counting where the units of a layer are on, together with which concept, while their thresholds are still sought.

A pilot over the first samples guesses a bracket for each unit's threshold; all samples are counted by bins of these
brackets. Then the threshold is known to be one of the edges, near enough, and the pixels above it are counted already.
Only units whose bracket proves to be wrong, or too wide, must be counted once more, over a narrower one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch
from jaxtyping import Float32, Int32, Int64
from torch import Tensor

from ...core.types import LayerInfo
from ...inference.batches import Activation
from ...inference.upsampling import choose_step, find_pixels_above, frame_maps, sample_pixels
from ...stats.quantiles import Brackets, values_below
from .binned_counts import BinnedCounts, LevelCounts
from .numba_counts import PARTNER, count_bins
from .pilot import CURVE_PIXELS, Target
from .plan import DissectionPlan
from .top_images import TopSamples

NUM_BINS = 64
"""Of each unit's bracket."""


class LayerCount:
    """The counts of one layer, on the way to thresholds.

    Args:
        info: The layer's shape.
        brackets: Where each unit's threshold is sought first.
        plan: What is dissected, and how.
        levels: float32 ``[unit, level]``, above which pixels are counted for curves; None for no curves.
    """

    def __init__(
        self,
        info: LayerInfo,
        brackets: Brackets,
        plan: DissectionPlan,
        levels: Float32[Tensor, "unit level"] | None = None,
    ) -> None:
        device = brackets.low.device
        shape = (plan.num_groups, len(plan.concepts), info.units)
        num_top = min(plan.settings.top_images, plan.settings.num_samples)
        self.top = TopSamples(info.units, (info.height, info.width), num_top, device)
        curve = None if levels is None else LevelCounts(levels, len(plan.concepts), plan.label_channels)
        self.curve = curve
        self.open = torch.ones(info.units, dtype=torch.bool, device=device)
        self.unit_area = torch.zeros(plan.num_groups, info.units, dtype=torch.int64, device=device)
        self.intersection = torch.zeros(shape, dtype=torch.int64, device=device)
        self.exchanged = torch.zeros_like(self.intersection)
        self._brackets, self._plan, self._padding = brackets, plan, plan.settings.padding
        self.begin()

    @property
    def thresholds(self) -> Float32[Tensor, " unit"]:
        """Of each unit, float32 ``[unit]``, once none is open."""
        return values_below(self._brackets.high)

    @property
    def num_bytes(self) -> int:
        """Of the counts, about."""
        counts = [
            *self._binned.counts,
            *([] if self.curve is None else [self.curve.level_own, self.curve.level_exchanged]),
        ]
        return sum(count.nbytes for count in counts)

    def begin(self) -> None:
        """Begin to count over the present brackets."""
        plan = self._plan
        self._binned = BinnedCounts(
            self._brackets, NUM_BINS, plan.num_groups, len(plan.concepts), plan.label_channels, plan.count_type
        )
        self._level = self._binned.level.masked_fill(~self.open, torch.inf)

    def update(
        self, activation: Activation, group: Int64[Tensor, " batch"], marks: Int32[Tensor, "batch channel H W"]
    ) -> None:
        """Count the pixels of a batch.

        Args:
            activation: Of the batch.
            group: int64 ``[batch]``, of each sample.
            marks: int32 ``[batch, channel, H, W]``.
        """
        framed = frame_maps(activation.maps, self._padding)
        lowest, highest = activation.lowest, activation.highest
        if self._padding == "zeros":
            lowest, highest = lowest.clamp(max=0), highest.clamp(min=0)
        self._binned.update_extent(lowest, highest)
        for channel in marks.unbind(1):
            if count_bins(framed, highest, self._level, self._binned.scale, channel, group, self._binned.counts):
                continue
            for pixels in find_pixels_above(framed, self._level, channel):
                label, other = pixels.mark & (PARTNER - 1), pixels.mark // PARTNER
                self._binned.update(group[pixels.sample], pixels.unit, pixels.value, label - 1, other - 1)

    def update_samples(
        self,
        samples: range,
        activation: Activation,
        group: Int64[Tensor, " batch"],
        marks: Int32[Tensor, "batch channel H W"],
    ) -> None:
        """Take in what does not depend on thresholds: the best samples, and curves.

        Args:
            samples: Indices of the batch's samples.
            activation: Theirs.
            group: int64 ``[batch]``, of each sample.
            marks: int32 ``[batch, channel, H, W]``.
        """
        self.top.update(samples, activation.maps, activation.highest)
        if self.curve is None:
            return
        size = (marks.shape[2], marks.shape[3])
        values, place = sample_pixels(
            activation.maps, samples.start, size, choose_step(size, CURVE_PIXELS), self._padding
        )
        mark = marks.transpose(0, 1).flatten(1)[:, place]
        half = group[place // (size[0] * size[1])] % 2
        self.curve.update(half, values, (mark & (PARTNER - 1)) - 1, mark // PARTNER - 1)

    def settle(self, target: Target, final: bool = False) -> None:
        """Keep the counts of the units whose threshold is known now, and narrow the brackets of the others.

        Args:
            target: Which order statistic a threshold is.
            final: Take the nearest edge for the threshold where it is not known well enough.
        """
        narrowed = self._binned.narrow(target.rank, target.num_values)
        done = self.open & (narrowed.exact | (target.rank - 1 - narrowed.above <= target.tolerance))
        if final:
            last = self._binned.edges[:, -1]
            narrowed = replace(narrowed, high=torch.where(narrowed.low >= last, last, narrowed.high))
            done = self.open
        for name, counts in self._binned.above(narrowed.high).items():
            setattr(self, name, torch.where(done, counts, getattr(self, name)))
        self._brackets = narrowed.where(self.open, self._brackets)
        self.open = self.open & ~done

    def check_counts(self, name: str) -> None:
        """Refuse counts that contradict each other.

        Args:
            name: The layer's, for the message.

        Raises:
            ValueError: Naming the layer.
        """
        pairs, brackets = [self._binned.counts], self._brackets
        fits = bool((brackets.low <= brackets.high).all())
        if self.curve is not None:
            pairs.append((self.curve.level_own, self.curve.level_exchanged))
            levels = self.curve.levels
            fits &= bool((levels.diff(dim=1) >= 0).all() & levels.isfinite().all())
        for own, exchanged in pairs:
            fits &= int(own.min()) >= 0 <= int(exchanged.min()) and torch.equal(own.sum(3), exchanged.sum(3))
        if not fits:
            raise ValueError(f"counts of {name!r} contradict each other")

    def merge(self, other: LayerCount) -> None:
        """Add what another one has counted over the same brackets.

        Raises:
            ValueError: If it has others.
        """
        self._binned.merge(other._binned)
        self.top.merge(other.top)
        if self.curve is not None and other.curve is not None:
            self.curve.merge(other.curve)

    def state(self) -> dict[str, Tensor]:
        """Return the brackets and all that was counted over them."""
        brackets = {"low": self._brackets.low.clone(), "high": self._brackets.high.clone()}
        curve = {} if self.curve is None else self.curve.state()
        return brackets | self._binned.state() | self.top.state() | curve

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Replace what was counted over the brackets.

        Raises:
            ValueError: If it does not fit.
        """
        self._binned.load_state(dict(state))
        self.top.load_state(dict(state))
        if self.curve is not None:
            self.curve.load_state(dict(state))
