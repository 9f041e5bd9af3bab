"""StackGAN: from a caption to a small picture, and from the small picture and the caption to one of twice the size.

``row [z ; eps ; embedding of the caption]``

Stage I: ``[z ; code] -> first1 [c, 4, 4] -> ... -> sketch [3, size/2, size/2]``

Stage II: ``sketch -> second1 [w, size/2, size/2] -> second2 [2 w, size/4, size/4] -> second3, with the code ->
second4, second5, residual -> second6 [2 w, size/2, size/2] -> second7 [w, size, size] -> output [3, size, size]``

Each stage has a *code*, a sample of the normal distribution ``N(mean, variance)`` that a linear map makes of the
embedding: ``code = mean + deviation eps``. Group norm in place of batch norm lets each picture depend on its row only,
in training as later.

Source: Zhang et al. 2017, arXiv 1612.03242, Sec. 3; Wu and He 2018, arXiv 1803.08494 (group norm).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from gandissect.core.defaults import float32_factories

from .captioned import CaptionedGenerator
from .dcgan import initialize
from .encoder import Posterior
from .text import SLOPE, make_downs

SIZES = (16, 32, 64, 128, 256)
GROUP = 16
"""Units per group, which are normalized together."""
SKETCH = "sketch"
"""Layer that is the picture of stage I."""


class StackGAN(CaptionedGenerator):
    """Both stages of a StackGAN as one generator.

    Args:
        size: Height and width of an image: 16, 32, 64, 128 or 256; stage I makes half of it.
        width: Number of units in each stage's last layer.
        latent_dim: Length of z.
        code_dim: Length of a code, and of eps.
        vocabulary: The words of captions.
        embedding_dim: Length of the embedding of a caption.
        captions: Captions that `sample_z` draws from; by default each word of the vocabulary is one.

    Raises:
        KeyError: If a caption has a word that is not in the vocabulary.
        ValueError: If a number is out of range, or the words are not distinct.

    Examples:
        >>> from generators.architectures.stackgan import StackGAN
        >>> G = StackGAN(size=16, width=4, vocabulary=["a", "lane", "street", "summer"])
        >>> G(G.sample_z(2, captions="a summer street")).shape
        torch.Size([2, 3, 16, 16])

    Source: Zhang et al. 2017, Sec. 3.
    """

    architecture = "stackgan"
    beside = CaptionedGenerator.beside | {"first_code", "second_code"}

    def __init__(
        self,
        size: int = 64,
        width: int = 32,
        latent_dim: int = 64,
        code_dim: int = 32,
        vocabulary: Sequence[str] = ("a", "scene"),
        embedding_dim: int = 128,
        captions: Sequence[str] | None = None,
    ) -> None:
        if size not in SIZES:
            raise ValueError(f"size must be one of {', '.join(map(str, SIZES))}; got {size}")
        if min(width, latent_dim, code_dim) < 1:
            raise ValueError(
                f"width, latent_dim and code_dim must be at least 1; got {width}, {latent_dim} and {code_dim}"
            )
        settings = {"size": size, "width": width, "latent_dim": latent_dim, "code_dim": code_dim}
        super().__init__(latent_dim + code_dim, vocabulary, embedding_dim, captions, settings)
        self.latent_dim = latent_dim
        self.first_code, self.second_code = (Conditioning(embedding_dim, code_dim) for _ in range(2))
        depth = size.bit_length() - 3
        units = [width * 2 ** (depth - 1 - index) for index in range(depth)]
        self.first1 = _up(latent_dim + code_dim, units[0], stride=1, padding=0)
        for index in range(1, depth):
            self.add_module(f"first{index + 1}", _up(units[index - 1], units[index]))
        self.sketch = _render(width)
        self.second1 = nn.Sequential(nn.Conv2d(3, width, 3, 1, 1), nn.ReLU())
        self.second2 = nn.Sequential(nn.Conv2d(width, 2 * width, 4, 2, 1, bias=False), _norm(2 * width), nn.ReLU())
        self.second3 = Joining(2 * width, code_dim)
        self.second4, self.second5 = Residual(2 * width), Residual(2 * width)
        self.second6, self.second7 = _up(2 * width, 2 * width), _up(2 * width, width)
        self.output = _render(width)
        self.apply(initialize)

    def input(self, z: Float[Tensor, "batch z"]) -> Float[Tensor, "batch _ 1 1"]:
        """Return z and the code of stage I for rows ``[batch, z_dim]``."""
        return torch.cat([z[:, : self.latent_dim], self._sample(self.first_code, z)], dim=1)[:, :, None, None]

    def context(self, z: Float[Tensor, "batch z"]) -> Float[Tensor, "batch code"]:
        """Return the code of stage II."""
        return self._sample(self.second_code, z)

    def stage(
        self, index: int, x: Float[Tensor, "batch before _ _"], context: Float[Tensor, "batch code"]
    ) -> Float[Tensor, "batch unit h w"]:
        """Return the output of a stage for the output of the previous one."""
        name, module = self._stages[index]
        output: Tensor = module(x, context) if name == "second3" else module(x)
        return output

    def latent_maps(self) -> tuple[Float[Tensor, "output z"]]:
        """Return the matrix of the first linear map of a row, ``[units * 4 * 4, z_dim]``, as far as it acts on z."""
        weight = self.find_part("first1", "0", nn.ConvTranspose2d).weight.detach().flatten(1).T
        return (functional.pad(weight[:, : self.latent_dim], (0, self.z_dim - self.latent_dim)),)

    def _sample(self, conditioning: Conditioning, z: Float[Tensor, "batch z"]) -> Float[Tensor, "batch code"]:
        eps, embeddings = z[:, self.latent_dim : self.noise_dim], z[:, self.noise_dim :]
        posterior: Posterior = conditioning(embeddings)
        return posterior.sample(eps)


class Conditioning(nn.Module):
    """Conditioning augmentation: a normal distribution of codes for the embedding of a caption.

    The mean and the log variance are linear, so that every code and every deviation can be reached.

    Args:
        embedding_dim: Length of the embedding.
        code_dim: Length of a code.

    Source: Zhang et al. 2017, Sec. 3.2.
    """

    def __init__(self, embedding_dim: int, code_dim: int) -> None:
        super().__init__()
        self.linear = nn.Linear(embedding_dim, 2 * code_dim)

    def forward(self, embeddings: Float[Tensor, "batch embedding"]) -> Posterior:
        """Return the distribution of the codes of each caption."""
        return Posterior(*self.linear(embeddings).float().chunk(2, dim=1))


class Joining(nn.Module):
    """A convolution over units and the code, which is repeated at each place.

    Args:
        units: Number of units.
        code_dim: Length of a code.
    """

    def __init__(self, units: int, code_dim: int) -> None:
        super().__init__()
        self.stages = nn.Sequential(nn.Conv2d(units + code_dim, units, 3, 1, 1, bias=False), _norm(units), nn.ReLU())

    def forward(
        self, x: Float[Tensor, "batch unit h w"], code: Float[Tensor, "batch code"]
    ) -> Float[Tensor, "batch unit h w"]:
        """Return the activations."""
        repeated = code.to(x.dtype)[:, :, None, None].expand(-1, -1, *x.shape[2:])
        activations: Tensor = self.stages(torch.cat([x, repeated], dim=1))
        return activations


class Residual(nn.Module):
    """Two convolutions whose output is added to their input.

    Args:
        units: Number of units.

    Source: Zhang et al. 2017, Sec. 3.4.
    """

    def __init__(self, units: int) -> None:
        super().__init__()
        self.stages = nn.Sequential(
            nn.Conv2d(units, units, 3, 1, 1, bias=False),
            _norm(units),
            nn.ReLU(),
            nn.Conv2d(units, units, 3, 1, 1, bias=False),
            _norm(units),
        )

    def forward(self, x: Float[Tensor, "batch unit h w"]) -> Float[Tensor, "batch unit h w"]:
        """Return the activations."""
        return functional.relu(x + self.stages(x))


class PairDiscriminator(nn.Module):
    """One logit per pair of a picture and a caption: whether the picture is real and the caption is true of it.

    Args:
        size: Height and width of a picture, a power of two from 8.
        width: Number of units in the first layer, doubled from layer to layer.
        embedding_dim: Length of the embedding of a caption.
        text_dim: Length to which the embedding is compressed before it is repeated at each place.

    Source: Zhang et al. 2017, Sec. 3.3.
    """

    @float32_factories()
    def __init__(self, size: int, width: int, embedding_dim: int, text_dim: int) -> None:
        super().__init__()
        stages, units = make_downs(size, width, norm=True)
        self.picture = nn.Sequential(*stages)
        self.text = nn.Sequential(nn.Linear(embedding_dim, text_dim), nn.LeakyReLU(SLOPE))
        self.pair = nn.Sequential(
            nn.Conv2d(units + text_dim, units, 1, bias=False),
            nn.BatchNorm2d(units),
            nn.LeakyReLU(SLOPE),
            nn.Conv2d(units, 1, 4),
        )
        self.apply(initialize)

    def features(self, images: Float[Tensor, "batch 3 H W"]) -> Float[Tensor, "batch unit 4 4"]:
        """Return what is seen of pictures before captions are."""
        activations: Tensor = self.picture(images)
        return activations

    def judge(
        self, features: Float[Tensor, "batch unit 4 4"], embeddings: Float[Tensor, "batch embedding"]
    ) -> Float[Tensor, " batch"]:
        """Return logits of the features of pictures with captions, float ``[batch]``."""
        text = self.text(embeddings).to(features.dtype)[:, :, None, None].expand(-1, -1, 4, 4)
        logits: Tensor = self.pair(torch.cat([features, text], dim=1))
        return logits.flatten(1).squeeze(1)

    def forward(
        self, images: Float[Tensor, "batch 3 H W"], embeddings: Float[Tensor, "batch embedding"]
    ) -> Float[Tensor, " batch"]:
        """Return logits of pictures with captions, float ``[batch]``."""
        return self.judge(self.features(images), embeddings)


def _up(before: int, after: int, stride: int = 2, padding: int = 1) -> nn.Sequential:
    return nn.Sequential(nn.ConvTranspose2d(before, after, 4, stride, padding, bias=False), _norm(after), nn.ReLU())


def _render(units: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(units, 3, 3, 1, 1), nn.Tanh())


def _norm(units: int) -> nn.GroupNorm:
    return nn.GroupNorm(units // GROUP if units % GROUP == 0 else 1, units)
