"""StarGAN: the network against a slow forward pass, the path of the domain past instance norm, and rows with a class."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from naive_layers import conv, instance_norm, up
from tiny_generators import draw_pictures
from torch import Tensor, nn

from gandissect import Generator, Translation, latent
from gandissect.core.protocols import ConditionalGenerator, as_conditional, as_translation
from generators.architectures.stargan import StarGAN, StarGANDiscriminator

NAMES = ("noon", "dusk", "mist")


def _make(size: int = 16, width: int = 3, blocks: int = 2, seed: int = 7) -> StarGAN:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return StarGAN(size, width, blocks, NAMES).eval().requires_grad_(False)


def _pictures(count: int, size: int = 16, seed: int = 1) -> Tensor:
    return torch.rand(count, 3, size, size, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def _naive(network: StarGAN, x: np.ndarray, domain: int, blocks: int) -> np.ndarray:
    """Return the images of a domain, from the paper's table, with a scale and an offset per domain after each norm."""
    t = {name: value.double().numpy() for name, value in network.state_dict().items()}

    def norm(x: np.ndarray, name: str) -> np.ndarray:
        scale, offset = t[f"{name}.scale"][domain], t[f"{name}.offset"][domain]
        return instance_norm(x) * scale[:, None, None] + offset[:, None, None]

    x = np.maximum(norm(conv(x, t["encoder1.convolution.weight"], None, 1, 3), "encoder1.norm"), 0)
    for number in (2, 3):
        name = f"encoder{number}"
        x = np.maximum(norm(conv(x, t[f"{name}.convolution.weight"], None, 2, 1), f"{name}.norm"), 0)
    for number in range(1, blocks + 1):
        name = f"block{number}"
        y = np.maximum(norm(conv(x, t[f"{name}.first.convolution.weight"], None, 1, 1), f"{name}.first.norm"), 0)
        x = x + norm(conv(y, t[f"{name}.second.weight"], None, 1, 1), f"{name}.norm")
    for number in (1, 2):
        name = f"decoder{number}"
        x = np.maximum(norm(up(x, t[f"{name}.convolution.weight"], None, 1, 0), f"{name}.norm"), 0)
    return np.tanh(conv(x, t["output.0.weight"], t["output.0.bias"], 1, 3))


def test_it_follows_the_paper_with_conditional_instance_norm() -> None:
    network, pictures = _make(), _pictures(2)
    for domain in range(3):
        images = network(network.join_row(network.to_rows(pictures), torch.tensor([domain, domain])))
        np.testing.assert_allclose(images.numpy(), _naive(network, pictures.double().numpy(), domain, 2), atol=2e-5)
        assert images.std() > 0.05


def test_the_domain_changes_the_middle_of_a_picture_from_the_beginning() -> None:
    """Constant planes beside the picture, as published, would change only what is near the border: see the control."""
    network = _make(size=64, width=4, blocks=1)
    rows = network.to_rows(_pictures(4, 64))
    pairs = [network(network.join_row(rows, torch.full((4,), domain))) for domain in (0, 1)]
    middle = (pairs[0] - pairs[1])[:, :, 24:40, 24:40]
    assert middle.std() > 0.1 * pairs[0].std()

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        convolution, norm = nn.Conv2d(4, 8, 3, padding=1), nn.InstanceNorm2d(8)
    planes = torch.cat([_pictures(1, 64), torch.zeros(1, 1, 64, 64)], 1)
    raised = planes + torch.tensor([0, 0, 0, 1.0])[:, None, None]
    change, raw = (
        (then(convolution(planes)) - then(convolution(raised)))[:, :, 24:40, 24:40].abs().mean((0, 2, 3))
        for then in (norm, nn.Identity())
    )
    spread = convolution(planes).std((0, 2, 3))
    assert (raw / spread).mean() > 0.5 and change.mean() < 0.1, "in spreads of a unit: before the norm, and after it"


def test_a_row_is_a_picture_and_a_class() -> None:
    T, pictures = _make(), draw_pictures(12)
    G = T.on(pictures)
    assert isinstance(G, Generator) and isinstance(G, Translation) and isinstance(G, ConditionalGenerator)
    assert as_translation(G) is G and as_conditional(G) is G
    assert (T.z_dim, G.z_dim, G.noise_dim, len(G.pictures)) == (771, 771, 0, 12)
    z = G.sample_z(7, seed=5, start=2)
    assert torch.equal(z[:, :768], T.to_rows(pictures[2:9]))
    assert torch.equal(z, G.sample_z(12, seed=5)[2:9])
    assert torch.equal(z[:, :768], G.sample_z(7, seed=6, start=2)[:, :768])
    assert not torch.equal(z, G.sample_z(7, seed=6, start=2)), "the seed draws the classes"
    assert set(G.classes_of(G.sample_z(12))) == set(NAMES)
    given = torch.tensor([2, 0, 1])
    assert G.classes_of(G.sample_z(3, classes=given)) == ("mist", "noon", "dusk")
    assert set(G.classes_of(G.sample_z(12, classes=["mist", "noon"]))) == {"mist", "noon"}
    with pytest.raises(KeyError, match="unknown class of stargan on 12 pictures 'duks'; did you mean 'dusk'"):
        G.sample_z(1, classes="duks")
    with pytest.raises(ValueError, match="stargan translates pictures; put it on some"):
        T.sample_z(1)
    with pytest.raises(ValueError, match="translates pictures without noise"):
        latent.Walk(G, z[:2])


def test_pictures_and_classes_are_chosen_in_any_order() -> None:
    T, pictures = _make(), draw_pictures(5)
    first, second = T.of_classes("dusk").on(pictures), T.on(pictures).of_classes("dusk")
    assert (first.name, second.name) == ("stargan of dusk on 5 pictures", "stargan on 5 pictures of dusk")
    assert first.fingerprint == second.fingerprint != T.on(pictures).fingerprint
    assert torch.equal(first(first.sample_z(5)), second(second.sample_z(5)))
    assert set(first.classes_of(first.sample_z(5))) == {"dusk"}
    assert second.of_classes("mist").name == "stargan on 5 pictures of mist"
    assert second.of_classes(*NAMES).name == "stargan on 5 pictures"
    larger = first.on(draw_pictures(2, 32))
    assert (larger.name, larger.z_dim, larger.image_size) == ("stargan of dusk on 2 pictures", 3075, (32, 32))
    assert larger(larger.sample_z(2)).shape == (2, 3, 32, 32)
    again = StarGAN(**first.settings)
    assert again.drawn == ("dusk",) and again.settings == first.settings


def test_the_discriminator_has_the_layers_of_the_paper() -> None:
    D = StarGANDiscriminator(128, 64, 5)
    convolutions = [part for part in D.modules() if isinstance(part, nn.Conv2d)]
    assert [part.out_channels for part in convolutions] == [64, 128, 256, 512, 1024, 1024, 1, 5]
    assert [part.kernel_size[0] for part in convolutions] == [4] * 6 + [3, 2]
    assert not any(isinstance(part, nn.InstanceNorm2d | nn.BatchNorm2d) for part in D.modules()), "WGAN-GP is per image"
    for size in (8, 16, 64):
        judgment = StarGANDiscriminator(size, 2, 5)(_pictures(3, size))
        assert judgment.patches.shape == (3, 1, 2, 2) and judgment.domains.shape == (3, 5)
        torch.testing.assert_close(judgment.logits, judgment.patches.sum((1, 2, 3)) / 4)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: StarGAN(16, 0), "width and blocks must be at least 1; got 0 and 6"),
        (lambda: StarGAN(18), "multiples of 4, at least 8; got 18 x 18"),
        (lambda: StarGAN(16, classes=["noon", "noon"]), "classes must have distinct names; got noon, noon"),
        (lambda: StarGAN(16, classes=["noon"], drawn=["dusk"]), "unknown class of stargan 'dusk'"),
        (lambda: StarGANDiscriminator(48), "size must be a power of two from 8 on"),
        (lambda: StarGANDiscriminator(64, 8, 0), "num_domains at least 1; got 64, 8 and 0"),
    ],
)
def test_numbers_and_names_that_cannot_be_are_refused(make, message: str) -> None:
    with pytest.raises((ValueError, KeyError), match=message):
        make()
