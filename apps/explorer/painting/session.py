"""A visitor's strokes, kept in the session: one history per picture."""

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
        fingerprint: Fingerprint of the generator.
        seed: Seed of the picture.
        number: Index of the picture among those of the seed.
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
        """History of the strokes."""
        return _paintings().get(self, History())

    def change(self, strokes: Strokes) -> None:
        """Replace the strokes, if they differ."""
        if strokes != self.history.now:
            self._keep(self.history.then(strokes))

    def add(self, name: str, edit: Edit, levels: tuple[float, ...] | None = None) -> None:
        """Append a stroke."""
        history = self.history
        self._keep(history.then((*history.now, Stroke(history.next_number, name, edit, levels))))

    def undo(self) -> None:
        """Undo the last change."""
        self._keep(self.history.undo())

    def redo(self) -> None:
        """Redo the last undone change."""
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
