"""``gandissect models``."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any

import generators
import segmenters
from gandissect.cards import Card


@dataclass(frozen=True)
class Options:
    """List the bundled models with their cards.

    Args:
        json: Print every entry of every card as JSON.
    """

    json: bool = False

    def run(self) -> None:
        """Print a line or two a model, or JSON."""
        kinds = {
            "generator": [generators.card(name) for name in generators.names()],
            "segmenter": [segmenters.card(name) for name in segmenters.names()],
        }
        if self.json:
            print(json.dumps([_entry(kind, card) for kind, cards in kinds.items() for card in cards], indent=1))
            return
        for kind, cards in kinds.items():
            for card in cards:
                print(f"{card.name:<18} {kind:<10} {card.summary}\n{'':<30}{_quality(card)}; {card.licence}")


def _entry(kind: str, card: Card) -> dict[str, Any]:
    return {"kind": kind} | asdict(card) | {"path": str(card.path)}


def _quality(card: Card) -> str:
    flat = [f"{name} {value}" for name, value in card.quality.items() if isinstance(value, str | int | float)]
    return ", ".join(flat)
