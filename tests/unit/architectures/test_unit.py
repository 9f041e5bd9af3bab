"""UNIT: what the domains share, the network against a slow forward pass, and directions as classes."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from naive_layers import conv, instance_norm, reflect, up
from tiny_generators import draw_pictures
from torch import Tensor, nn

from gandissect import Ablation, UnitSet, generate
from generators.architectures.cogan import PerDomain
from generators.architectures.unit import UNIT, UNITDiscriminator

DOMAINS = ("noon", "dusk")


def _make(blocks: int = 1, domains: tuple[str, ...] = DOMAINS) -> UNIT:
    """Return a network whose domains differ."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        network = UNIT(16, 3, blocks, domains)
        for value in network.parameters():
            nn.init.normal_(value, std=0.2)
    return network.eval().requires_grad_(False)


def _pictures(count: int, seed: int = 1) -> Tensor:
    return torch.rand(count, 3, 16, 16, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def _naive(network: UNIT, x: np.ndarray, source: int, target: int) -> np.ndarray:
    """Return the images of a direction: one block of a domain's own on either side."""
    t = {name: value.double().numpy() for name, value in network.state_dict().items()}

    def leaky(x: np.ndarray) -> np.ndarray:
        return np.where(x > 0, x, 0.2 * x)

    def block(x: np.ndarray, name: str) -> np.ndarray:
        y = np.maximum(instance_norm(conv(reflect(x, 1), t[f"{name}.change.1.weight"], None, 1, 0)), 0)
        return x + instance_norm(conv(reflect(y, 1), t[f"{name}.change.5.weight"], None, 1, 0))

    for number, (pad, stride) in enumerate([(3, 1), (1, 2), (1, 2)], start=1):
        name = f"encoder{number}.domains.{source}.1"
        x = leaky(conv(reflect(x, pad), t[f"{name}.weight"], t[f"{name}.bias"], stride, 0))
    x = block(block(x, f"block1.domains.{source}"), "shared1")
    x = block(block(x, "shared2"), f"block2.domains.{target}")
    for number in (1, 2):
        name = f"decoder{number}.domains.{target}.0"
        x = leaky(up(x, t[f"{name}.weight"], t[f"{name}.bias"], 1, 0))
    name = f"output.domains.{target}.1"
    return np.tanh(conv(reflect(x, 3), t[f"{name}.weight"], t[f"{name}.bias"], 1, 0))


def test_every_direction_follows_the_paper() -> None:
    network, pictures = _make(), _pictures(2)
    seen = []
    for index, (source, target) in enumerate([(0, 0), (0, 1), (1, 0), (1, 1)]):
        images = network(network.join_row(network.to_rows(pictures), torch.tensor([index, index])))
        wanted = _naive(network, pictures.double().numpy(), source, target)
        np.testing.assert_allclose(images.numpy(), wanted, atol=2e-5)
        coded = network.encode(pictures, torch.tensor([source, source]))
        assert torch.equal(network.decode(coded, torch.tensor([target, target])), images)
        seen.append(images)
    assert all((one - other).abs().max() > 0.01 for one, other in pairwise(seen))


def test_the_last_block_of_the_encoders_and_the_first_of_the_decoders_are_one() -> None:
    """One storage each: what is written into a shared weight changes all domains, into another one only its own."""
    network, pictures = _make(), _pictures(1)
    own = {name for name, part in network.named_children() if isinstance(part, PerDomain)}
    assert set(dict(network.named_children())) - own == {"shared1", "shared2"}
    assert list(network.layers)[3:7] == ["block1", "shared1", "shared2", "block2"]

    def images(domain: int) -> Tensor:
        both = torch.tensor([domain])
        return network.decode(network.encode(pictures, both), both)

    before = [images(0), images(1)]
    for shared in (network.shared1, network.shared2):
        weight = shared.change[5].weight
        kept = weight.clone()
        weight.mul_(-1)
        assert all((images(domain) - before[domain]).abs().max() > 1e-3 for domain in (0, 1))
        weight.copy_(kept)
    network.encoder2.domains[1][1].weight.mul_(-1)
    assert torch.equal(images(0), before[0]) and not torch.allclose(images(1), before[1], atol=1e-3)
    storages = {value.untyped_storage().data_ptr() for value in network.parameters()}
    assert len(storages) == len(list(network.parameters()))


def test_rows_of_several_directions_do_not_meet() -> None:
    network = _make(domains=("noon", "dusk", "mist"))
    assert network.classes[:4] == ("noon to noon", "noon to dusk", "noon to mist", "dusk to noon")
    rows, index = network.to_rows(_pictures(9)), torch.tensor([4, 0, 8, 1, 5, 3, 2, 7, 6])
    together = network(network.join_row(rows, index))
    for row, direction in enumerate(index.tolist()):
        alone = network(network.join_row(rows, torch.full((9,), direction)))[row]
        torch.testing.assert_close(alone, together[row], atol=1e-5, rtol=0)


def test_a_direction_is_chosen_by_name_and_edited() -> None:
    G = _make().of_classes("noon to dusk").on(draw_pictures(4))
    assert G.name == "unit of noon to dusk on 4 pictures"
    z = G.sample_z(4)
    assert set(G.classes_of(z)) == {"noon to dusk"}
    for layer in ("block1", "shared1", "decoder1"):
        edited = generate(G, z, [Ablation(UnitSet(layer, (0,)))])
        assert not torch.equal(edited, G(z))
        assert torch.equal(G.tail(G.head(z, layer), layer, z), G(z))
    with pytest.raises(KeyError, match="did you mean 'noon to dusk'"):
        G.of_classes("noon to duks")


def test_the_discriminators_are_one_for_each_domain_and_the_classifier_is_an_option() -> None:
    D = UNITDiscriminator(4, 2).eval()
    pictures = _pictures(2).repeat(1, 1, 2, 2)
    logits = D(pictures, torch.tensor([0, 1]))
    assert torch.equal(logits[:1], D.pictures.domains[0](pictures[:1]))
    assert torch.equal(logits[1:], D.pictures.domains[1](pictures[1:]))
    assert D.codes is None
    codes = torch.randn(3, 12, 4, 4, generator=torch.Generator().manual_seed(0))
    assert UNITDiscriminator(4, 2, 12).codes(codes).shape == (3, 2)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: UNIT(16, 0), "width must be at least 1, blocks at least 0, and domains at least two; got 0, 3"),
        (lambda: UNIT(16, 4, 1, ["noon"]), "domains at least two; got 4, 1 and noon"),
        (lambda: UNIT(16, 4, 1, ["noon", "noon"]), "distinct names; got noon, noon"),
        (lambda: UNIT(18), "multiples of 4, at least 8; got 18 x 18"),
    ],
)
def test_numbers_and_names_that_cannot_be_are_refused(make, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()
