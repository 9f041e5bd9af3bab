"""Encoders of captions and of pictures into one space, in which a picture is near the captions that are true of it.

A caption is embedded word by word; the embedding is a linear map of the mean state of a gated recurrent unit (GRU).

Source: Cho et al. 2014, arXiv 1406.1078, Sec. 2.3 (GRU); Reed et al. 2016, arXiv 1605.05395 (one space for both).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence, pad_sequence

from gandissect.core.defaults import float32_factories
from gandissect.core.lookup import unknown_name_message

from .blocks import draw_normal

Words: TypeAlias = tuple[int, ...]
"""A caption as indices of its words in the vocabulary."""

MAX_WORDS = 100
"""Largest number of words of a caption."""
MAX_KNOWN = 500
"""Largest number of words that an error lists."""
WORD_DIM = 64
"""Length of the embedding of a word."""
SLOPE = 0.2


class TextEncoder(nn.Module):
    """An encoder of captions; commas, periods and capitals do not matter.

    Args:
        vocabulary: The words that it knows, distinct.
        embedding_dim: Length of the embedding of a caption.

    Raises:
        ValueError: If the words are not distinct strings without spaces, or a number is out of range.
    """

    @float32_factories()
    def __init__(self, vocabulary: Sequence[str], embedding_dim: int) -> None:
        super().__init__()
        words = tuple(vocabulary)
        if isinstance(vocabulary, str) or not words or any(not isinstance(word, str) or not word for word in words):
            raise ValueError(f"vocabulary must be words, such as ['a', 'street']; got {vocabulary!r}")
        if len(set(words)) < len(words) or any(split_words(word) != [word] for word in words):
            raise ValueError(f"vocabulary must be distinct words in lower case; got {', '.join(words)}")
        if embedding_dim < 1:
            raise ValueError(f"embedding_dim must be at least 1; got {embedding_dim}")
        self.vocabulary, self.embedding_dim = words, embedding_dim
        self._order = {word: index for index, word in enumerate(words)}
        self.words = nn.Embedding(len(words), WORD_DIM, _weight=draw_normal(len(words), WORD_DIM))
        self.recurrent = nn.GRU(WORD_DIM, embedding_dim, batch_first=True)
        self.output = nn.Linear(embedding_dim, embedding_dim)

    def read(self, text: str) -> Words:
        """Return the indices of a caption's words.

        Raises:
            KeyError: If a word is not in the vocabulary; the message suggests the nearest one and lists all of them.
            TypeError: If the caption is not a string.
            ValueError: If there are no words, or more than `MAX_WORDS`.
        """
        if not isinstance(text, str):
            raise TypeError(f"a caption must be a string, such as 'a {self.vocabulary[-1]}'; got {text!r}")
        words = split_words(text)
        if not 1 <= len(words) <= MAX_WORDS:
            raise ValueError(f"a caption must have 1 to {MAX_WORDS} words; got {len(words)}: {text[:80]!r}")
        for word in words:
            if word not in self._order:
                raise KeyError(unknown_name_message("word of captions", word, self.vocabulary, limit=MAX_KNOWN))
        return tuple(self._order[word] for word in words)

    def forward(self, captions: Sequence[Words]) -> Float[Tensor, "batch embedding"]:
        """Return the embeddings of captions, float32 ``[batch, embedding_dim]``, of root mean square 1.

        Args:
            captions: Captions, as `read` returns them.
        """
        device = self.words.weight.device
        indices = [torch.tensor(caption, dtype=torch.int64, device=device) for caption in captions]
        lengths = torch.tensor([len(caption) for caption in captions], dtype=torch.int64, device="cpu")
        words = self.words(pad_sequence(indices, batch_first=True))
        states, _ = self.recurrent(pack_padded_sequence(words, lengths, batch_first=True, enforce_sorted=False))
        padded, _ = pad_packed_sequence(states, batch_first=True)  # zeros after the end
        mean = padded.sum(1) / lengths.to(device)[:, None]
        return normalize(self.output(mean))


class PictureEncoder(nn.Module):
    """An encoder of pictures into the space of captions: strided convolutions and a linear map.

    Args:
        size: Height and width of a picture, a power of two from 16.
        width: Number of units in the first layer, doubled from layer to layer.
        embedding_dim: Length of the embedding.
    """

    @float32_factories()
    def __init__(self, size: int, width: int, embedding_dim: int) -> None:
        super().__init__()
        stages, units = make_downs(size, width, norm=True)
        self.stages = nn.Sequential(*stages, nn.Flatten(), nn.Linear(units * 4 * 4, embedding_dim))

    def forward(self, images: Float[Tensor, "batch 3 H W"]) -> Float[Tensor, "batch embedding"]:
        """Return the embeddings of pictures, float32 ``[batch, embedding_dim]``, of root mean square 1."""
        embeddings: Tensor = self.stages(images)
        return normalize(embeddings.float())


def split_words(text: str) -> list[str]:
    """Return the words of a text in lower case, without commas and periods."""
    return text.lower().replace(",", " ").replace(".", " ").split()


def normalize(vectors: Float[Tensor, "batch embedding"]) -> Float[Tensor, "batch embedding"]:
    """Return vectors scaled to a root mean square of 1."""
    scale: float = vectors.shape[1] ** 0.5
    return functional.normalize(vectors, dim=1) * scale


def make_downs(size: int, width: int, *, norm: bool) -> tuple[list[nn.Module], int]:
    """Return strided convolutions from a picture to a 4 x 4 grid, and the number of units there.

    Args:
        size: Height and width of a picture, a power of two from 8.
        width: Number of units in the first layer, doubled from layer to layer.
        norm: Normalize by batch after each convolution but the first.

    Source: Radford et al. 2016, Sec. 3.
    """
    stages: list[nn.Module] = []
    before, after = 3, width
    for index in range(size.bit_length() - 3):
        normalized = norm and index > 0
        stages.append(nn.Conv2d(before, after, 4, 2, 1, bias=not normalized))
        stages += [*([nn.BatchNorm2d(after)] if normalized else []), nn.LeakyReLU(SLOPE)]
        before, after = after, 2 * after
    return stages, before
