"""Count where the units of a layer are on, by concept, before their thresholds are known.

A pilot over the first samples predicts a bracket for each unit's threshold, and all samples are counted by bins of
these brackets. One of the edges is then close enough to the threshold to be used as such, and the pixels above it have
already been counted. Only units whose bracket turns out to be wrong or too wide are counted again, over a narrower one.
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
"""Number of bins of each unit's bracket."""


class LayerCount:
    """The counts of one layer, from which its thresholds are determined.

    Args:
        info: Shape of the layer's output.
        brackets: Initial bracket of each unit's threshold.
        plan: Plan of the dissection.
        levels: Levels of the curves, float32 ``[unit, level]``; None for no curves.
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
        """Threshold of each unit, float32 ``[unit]``, final once no unit is open."""
        return values_below(self._brackets.high)

    @property
    def num_bytes(self) -> int:
        """Approximate number of bytes of the counts."""
        counts = [
            *self._binned.counts,
            *([] if self.curve is None else [self.curve.level_own, self.curve.level_exchanged]),
        ]
        return sum(count.nbytes for count in counts)

    def begin(self) -> None:
        """Start to count over the current brackets."""
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
            activation: Activations of the batch.
            group: Group of each sample, int64 ``[batch]``.
            marks: Marks of the pixels (`mark_pixels`), int32 ``[batch, channel, H, W]``.
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
        """Update the counts that do not depend on thresholds: the top samples and the curves.

        Args:
            samples: Indices of the batch's samples.
            activation: Activations of the batch.
            group: Group of each sample, int64 ``[batch]``.
            marks: Marks of the pixels (`mark_pixels`), int32 ``[batch, channel, H, W]``.
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
        """Keep the counts of the units whose threshold is now known, and narrow the brackets of the others.

        Args:
            target: Order statistic that a threshold is.
            final: Use the nearest edge as the threshold of every unit that is still open.
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
        """Check that the counts do not contradict each other.

        Args:
            name: Name of the layer, for the message.

        Raises:
            ValueError: If the counts contradict each other.
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
        """Add counts of other samples over the same brackets.

        Raises:
            ValueError: If the brackets differ.
        """
        self._binned.merge(other._binned)
        self.top.merge(other.top)
        if self.curve is not None and other.curve is not None:
            self.curve.merge(other.curve)

    def state(self) -> dict[str, Tensor]:
        """Return the brackets and the counts over them."""
        brackets = {"low": self._brackets.low.clone(), "high": self._brackets.high.clone()}
        curve = {} if self.curve is None else self.curve.state()
        return brackets | self._binned.state() | self.top.state() | curve

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Replace the counts over the brackets.

        Raises:
            ValueError: If the state does not fit the brackets.
        """
        self._binned.load_state(dict(state))
        self.top.load_state(dict(state))
        if self.curve is not None:
            self.curve.load_state(dict(state))
