"""Rendering of edited pictures from cached activations; independent of Streamlit."""

from __future__ import annotations

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor

from gandissect.interventions.edits import Edit

from ..background.memory import Memory
from ..networks import edit_images, fingerprint_of, run_head, run_tail
from ..visit import Visit


def render(visit: Visit, edits: Sequence[Edit], memory: Memory) -> Float[Tensor, "3 H W"]:
    """Return a visit's picture with edits, float32 ``[3, H, W]``; runs only the layers after the first edited one.

    Args:
        visit: Generator and picture; the generator is not modified.
        edits: Edits to apply, in order.
        memory: The visitor's memory, which keeps the activations before the edits.

    Raises:
        KeyError: If an edited layer does not exist.
        ValueError: If an edit does not fit.
    """
    generator = visit.generator
    layers = {edit.units.layer for edit in edits}
    first = next((layer for layer in generator.layers if layer in layers), visit.layer)
    key = (fingerprint_of(generator), visit.seed, visit.number, first)
    activation = memory.get(key, lambda: run_head(generator, visit.z, first))
    if not edits:
        return run_tail(generator, visit.z, first, activation)[0]
    return edit_images(generator, visit.z, edits, activation)[0]
