"""``gandissect models``."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import generators
import segmenters
from gandissect.storage.cards import Card


@dataclass(frozen=True)
class Options:
    """List the bundled models by family, with their quality and license.

    Args:
        json: Print the complete model cards as JSON.
    """

    json: bool = False

    def run(self) -> None:
        """Print a few lines per model, or JSON."""
        kinds = {
            "generator": [generators.card(name) for name in generators.names()],
            "segmenter": [segmenters.card(name) for name in segmenters.names()],
        }
        if self.json:
            print(json.dumps([_entry(kind, card) for kind, cards in kinds.items() for card in cards], indent=1))
            return
        for kind, cards in kinds.items():
            for family in dict.fromkeys(card.family for card in cards):
                print(f"{family} ({kind}s)")
                for card in cards:
                    if card.family == family:
                        print(f"  {card.name}: {card.summary}")
                        print("".join(f"      {line}\n" for line in (*_quality(card), card.license)), end="")


def _entry(kind: str, card: Card) -> dict[str, Any]:
    return {"kind": kind} | asdict(card) | {"path": str(card.path)}


def _quality(card: Card) -> Iterator[str]:
    """Yield the headline figures of a segmenter's or a generator's card, a line each."""
    figures = card.quality
    if "mean_iou" in figures:
        yield f"mean IoU {figures['mean_iou']:.3f} on {figures['num_images']:,} held-out pictures"
    if "class_accuracy" in figures:
        accuracy, ceiling = figures["class_accuracy"], figures["class_accuracy_real"]
        yield (
            f"class accuracy of samples {accuracy['mean']:.3f} ({accuracy['low']:.3f} to {accuracy['high']:.3f}); of "
            f"real pictures {ceiling['mean']:.3f}, by chance {figures['chance']:.3f}; "
            f"{accuracy['num_images']:,} samples"
        )
    if "fcn_mean_iou" in figures:
        iou, error = figures["fcn_mean_iou"], figures["paired_error"]
        yield (
            f"mean IoU of segmented translations with the true labels {iou['mean']:.3f} ({iou['low']:.3f} to "
            f"{iou['high']:.3f}); of real pictures {iou['real']:.3f}, of other pictures {iou['other']:.3f}"
        )
        yield (
            f"error from the true pictures {error['mean']:.1f} of 255 levels, from other pictures "
            f"{error['other']:.1f}; n = {figures['num_images']:,}"
        )
    if "frechet_distance" in figures:
        precision, recall = figures["precision"], figures["recall"]
        yield (
            f"Fréchet distance {figures['frechet_distance']:.2f}, precision {precision['mean']:.2f}, "
            f"recall {recall['mean']:.2f}; real against real {figures['real_against_real']:.2f}, "
            f"{precision['real']:.2f}, {recall['real']:.2f}; {figures['num_images']:,} held-out pictures"
        )
