"""What a visitor has painted, in his session: for each picture its strokes, and what was worked out lately."""

from __future__ import annotations

from dataclasses import dataclass

import streamlit as st

from gandissect.interventions.edits import Edit

from ..networks import fingerprint_of
from ..state import PAINTINGS
from ..visit import Visit
from .strokes import History, Stroke, Strokes

MAX_PICTURES = 32


@dataclass(frozen=True, slots=True)
class Painting:
    """The strokes on one picture.

    Args:
        fingerprint: The generator's.
        seed: Of the picture.
        number: Which picture of the seed.
    """

    fingerprint: str
    seed: int
    number: int

    @staticmethod
    def of(visit: Visit) -> Painting:
        """Return the painting on a visit's picture."""
        return Painting(fingerprint_of(visit.generator), visit.seed, visit.number)

    @property
    def history(self) -> History:
        """The strokes, and how they came about."""
        return _paintings().get(self, History())

    def change(self, strokes: Strokes) -> None:
        """Take other strokes from now on, if they are others."""
        if strokes != self.history.now:
            self._keep(self.history.then(strokes))

    def add(self, name: str, edit: Edit, levels: tuple[float, ...] | None = None) -> None:
        """Add a stroke after the others."""
        history = self.history
        self._keep(history.then((*history.now, Stroke(history.next_number, name, edit, levels))))

    def undo(self) -> None:
        """Take the last change back."""
        self._keep(self.history.undo())

    def redo(self) -> None:
        """Make the change again that was taken back last."""
        self._keep(self.history.redo())

    def _keep(self, history: History) -> None:
        paintings = _paintings()
        paintings.pop(self, None)
        paintings[self] = history
        while len(paintings) > MAX_PICTURES:
            del paintings[next(iter(paintings))]


def _paintings() -> dict[Painting, History]:
    paintings: dict[Painting, History] = st.session_state.setdefault(PAINTINGS, {})
    return paintings
