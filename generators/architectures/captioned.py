"""Base class of generators whose images are described by captions.

A row of `CaptionedGenerator.sample_z` is noise followed by the embedding of a caption:
``[noise_dim + embedding_dim]``. Whatever takes latent vectors thus works for these generators unchanged, and a row
makes one image.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import copy, deepcopy
from typing import Any, Self

import torch
from jaxtyping import Float, Float32
from torch import Tensor

from gandissect.core.display import name_captions
from gandissect.core.sampling import make_rng, sample_z

from .base import LayeredGenerator
from .text import TextEncoder


class CaptionedGenerator(LayeredGenerator):
    """A generator whose rows are noise and the embedding of a caption.

    Args:
        noise_dim: Length of the noise, at least 1.
        vocabulary: The words of captions.
        embedding_dim: Length of the embedding of a caption.
        captions: Captions that `sample_z` draws from; by default each word of the vocabulary is one.
        settings: Keyword arguments that reproduce the architecture apart from these, JSON values.

    Raises:
        KeyError: If a caption has a word that is not in the vocabulary.
        ValueError: If a number is out of range, or the words are not distinct.
    """

    beside = frozenset({"text"})
    is_described = False
    """Whether `of_captions` chose the captions."""

    def __init__(
        self,
        noise_dim: int,
        vocabulary: Sequence[str],
        embedding_dim: int,
        captions: Sequence[str] | None,
        settings: Mapping[str, Any],
    ) -> None:
        if noise_dim < 1:
            raise ValueError(f"noise_dim must be at least 1; got {noise_dim}")
        named = {"vocabulary": list(vocabulary), "embedding_dim": embedding_dim}
        super().__init__(noise_dim + embedding_dim, {**settings, **named})
        self.text = TextEncoder(vocabulary, embedding_dim)
        self.draw_from(self.text.vocabulary if captions is None else captions)

    @property
    def noise_dim(self) -> int:
        """Length of the noise in a row of `sample_z`; the rest of a row is the embedding of its caption."""
        return self.z_dim - self.text.embedding_dim

    @property
    def captions(self) -> tuple[str, ...]:
        """Captions that `sample_z` draws from."""
        return tuple(self.settings["captions"])

    @property
    def vocabulary(self) -> tuple[str, ...]:
        """The words of captions."""
        return self.text.vocabulary

    def draw_from(self, captions: Sequence[str]) -> None:
        """Set the captions that `sample_z` draws from.

        Raises:
            KeyError: If a caption has a word that is not in the vocabulary.
            TypeError: If a caption is not a string.
            ValueError: If there are no captions, or one has no words.
        """
        if isinstance(captions, str) or not captions:
            raise ValueError(f"captions must be a sequence of at least one caption; got {captions!r}")
        for caption in captions:
            self.text.read(caption)
        self.settings["captions"] = list(captions)

    def of_captions(self, *captions: str) -> Self:
        """Return a generator with the same weights, whose `sample_z` draws from some captions only.

        Its name and its fingerprint state the captions: a dissection of one caption is not one of another.

        Args:
            captions: Captions, in words of the vocabulary.

        Raises:
            KeyError: If a caption has a word that is not in the vocabulary.
            ValueError: If there are no captions, or one has no words.
        """
        chosen = copy(self)  # shares the weights
        chosen.settings = dict(self.settings)
        chosen.draw_from(captions)
        base = self.name.removesuffix(f" {name_captions(self.captions)}") if self.is_described else self.name
        chosen.name, chosen.is_described = f"{base} {name_captions(captions)}", True
        return chosen

    @torch.no_grad()
    def encode(self, captions: Sequence[str]) -> Float32[Tensor, "batch embedding"]:
        """Return the embeddings of captions, float32 ``[batch, embedding_dim]`` on CPU.

        Each is computed alone, on the CPU, so that it does not depend on the others nor on the device.

        Args:
            captions: Captions, in words of the vocabulary.

        Raises:
            KeyError: If a caption has a word that is not in the vocabulary.
            ValueError: If a caption has no words.
        """
        words = [self.text.read(caption) for caption in captions]
        is_ready = self.device.type == "cpu" and self.text.output.weight.dtype == torch.float32
        encoder = self.text if is_ready else deepcopy(self.text).cpu().float()
        embeddings = {caption: encoder([caption])[0] for caption in dict.fromkeys(words)}
        empty = torch.zeros(0, self.text.embedding_dim, dtype=torch.float32, device="cpu")
        return torch.stack([embeddings[caption] for caption in words]) if words else empty

    def sample_z(
        self, num_samples: int, seed: int = 0, start: int = 0, captions: str | Sequence[str] | None = None
    ) -> Float32[Tensor, "batch z"]:
        """Draw rows of standard normal noise and a caption.

        The noise does not depend on the captions: rows of the same seed and index differ in their caption only.

        Args:
            num_samples: Number of rows, at least 0.
            seed: Seed of the rows.
            start: Index of the first row; row ``i`` depends only on ``(seed, start + i)`` and the captions.
            captions: A caption or several, each as likely as the others. By default `captions`.

        Returns:
            float32 ``[num_samples, z_dim]`` on CPU.

        Raises:
            KeyError: If a caption has a word that is not in the vocabulary.
            ValueError: If a number is out of range, or there are no captions.
        """
        noise = sample_z(num_samples, self.noise_dim, seed, start)
        choices = (captions,) if isinstance(captions, str) else self.captions if captions is None else tuple(captions)
        if not choices:
            raise ValueError("captions must be at least one caption; got none")
        rngs = [make_rng(seed, "caption", start + row) for row in range(num_samples)]
        drawn = [choices[int(torch.randint(len(choices), (), generator=rng, device="cpu"))] for rng in rngs]
        return self.join_embedding(noise, self.encode(drawn))

    def draw_rows(self, num_rows: int, rng: torch.Generator) -> Float[Tensor, "batch z"]:
        """Draw rows: standard normal noise, and captions drawn uniformly.

        Args:
            num_rows: Number of rows.
            rng: Source of randomness, on the CPU.
        """
        noise = torch.randn((num_rows, self.noise_dim), generator=rng, dtype=torch.float32, device="cpu")
        drawn = torch.randint(len(self.captions), (num_rows,), generator=rng, device="cpu").tolist()
        return self.join_embedding(noise, self.encode([self.captions[index] for index in drawn]))

    @staticmethod
    def join_embedding(
        noise: Float[Tensor, "batch noise"], embeddings: Float[Tensor, "batch embedding"]
    ) -> Float[Tensor, "batch z"]:
        """Return rows of noise and embeddings, ``[batch, z_dim]``.

        Args:
            noise: float32 ``[batch, noise_dim]``.
            embeddings: float32 ``[batch, embedding_dim]``, from `encode`.
        """
        return torch.cat([noise, embeddings], dim=1)
