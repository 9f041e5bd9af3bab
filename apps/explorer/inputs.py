"""The pictures that a translator is on: those that the page offers, or one that the visitor uploads."""

from __future__ import annotations

from collections.abc import Sequence
from colorsys import hsv_to_rgb
from math import prod

import streamlit as st
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from gandissect import UNLABELED, Concept, Generator
from generators import Translator
from segmenters.datasets import Scenes

from .background.resources import escape, load_segmenter, visitor_memory
from .display.images import draw_picture
from .networks import fingerprint_of, label_image
from .state import NUM_INPUTS, input_key
from .uploads import ENDINGS, MAX_MEGABYTES, Upload, decode_upload, receive
from .visit import Visit


def as_translator(generator: Generator) -> Translator | None:
    """Return a translator, or None for a generator of latent vectors."""
    return generator if isinstance(generator, Translator) else None


def choose_own(generator: Translator, segmenter_name: str, device: str) -> Generator | None:
    """Let the visitor upload a picture; return the translator on it, or None.

    A translator of label maps is put on the segmented picture.
    """
    key = input_key(st.session_state.get(NUM_INPUTS, 0))
    with st.sidebar:
        file = st.file_uploader("Translate your picture", ENDINGS, key=key, max_upload_size=MAX_MEGABYTES)
        if file is None:
            return None
        try:
            upload = receive(file.getvalue())
            name = ("own input", fingerprint_of(generator), segmenter_name, upload.digest)
            own: Generator = visitor_memory().get(name, lambda: _put_on(generator, upload, segmenter_name, device))
        except ValueError as error:
            st.error(escape(str(error)))
            return None
    return own


def _put_on(generator: Translator, upload: Upload, segmenter_name: str, device: str) -> Generator:
    """Return a translator on an uploaded picture.

    Raises:
        ValueError: If the picture cannot be read or used.
    """
    image = decode_upload(upload, generator.image_size[0])
    if isinstance(image, str):
        raise ValueError(image)
    if not generator.input_concepts:
        return generator.on(image[None])
    segmenter = load_segmenter(segmenter_name, device)
    labels = rename_labels(label_image(segmenter, image), segmenter.concepts, generator.input_concepts)
    return generator.on(labels[None])


def rename_labels(
    labels: Int64[Tensor, "H W"], concepts: Sequence[Concept], names: Sequence[str]
) -> Int64[Tensor, "H W"]:
    """Return a segmented picture as a label map of other concepts, by name; -1 where these lack the concept."""
    indices = [names.index(concept.name) if concept.name in names else UNLABELED for concept in concepts]
    return torch.tensor([*indices, UNLABELED], dtype=torch.int64, device="cpu")[labels]


def show_input(visit: Visit) -> None:
    """Draw the input of the chosen picture in the sidebar."""
    translator = as_translator(visit.generator)
    if translator is None:
        return
    image = draw_inputs(translator, visit.z)[0]
    st.sidebar.image(draw_picture(image), "Input", "stretch", alt=f"Input of picture {visit.number}")


def draw_inputs(translator: Translator, z: Float[Tensor, "batch z"]) -> Float[Tensor, "batch 3 H W"]:
    """Return the inputs of rows as pictures ``[batch, 3, H, W]`` in [-1, 1]; label maps in colors."""
    maps = z[:, : prod(translator.input_shape)].reshape(len(z), *translator.input_shape)  # a class may follow
    if translator.input_concepts:
        colors = [*_choose_colors(translator.input_concepts), (0, 0, 0)]  # the last one is that of label -1
        scaled = torch.tensor(colors, dtype=torch.float32, device="cpu") / 127.5 - 1
        return scaled[maps[:, 0].long()].permute(0, 3, 1, 2)
    return maps if maps.shape[1] == 3 else maps[:, :1].expand(-1, 3, -1, -1)


def _choose_colors(names: Sequence[str]) -> list[tuple[int, int, int]]:
    """Return a color for each concept: that of the concept of scenes of this name, or one of many hues."""
    known = {concept.name: concept.color for concept in Scenes.concepts}
    return [known.get(name) or _make_hue(index / len(names)) for index, name in enumerate(names)]


def _make_hue(hue: float) -> tuple[int, int, int]:
    red, green, blue = (round(255 * part) for part in hsv_to_rgb(hue, 0.6, 0.9))
    return red, green, blue
