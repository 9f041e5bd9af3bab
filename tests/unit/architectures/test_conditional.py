"""The row law of class-conditional generators: a row is noise and a class, and depends on its index only."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from torch.nn import functional

import generators
from gandissect.core import UnitSet, sample_z
from gandissect.core.protocols import Generator
from generators.architectures.cgan import ConditionalDCGAN, ConditionalDCGANDiscriminator

NAMES = ["cat", "dog", "owl", "10"]


def make(**options: object) -> ConditionalDCGAN:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        generator = ConditionalDCGAN(**{"size": 16, "width": 4, "noise_dim": 6, "classes": NAMES} | options)
    for name, weight in generator.named_parameters():
        if name.endswith("0.weight"):
            weight.data.mul_(8)
    return generator.eval().requires_grad_(False)


def classes_in(z: torch.Tensor) -> list[int]:
    """Return the class of each row, after checking that its end is one-hot."""
    ends = z[:, 6:]
    assert torch.equal(ends.sum(1), torch.ones(len(z)))
    assert set(ends.unique().tolist()) <= {0.0, 1.0}
    return ends.argmax(1).tolist()


def test_a_row_is_the_noise_of_its_index_and_a_class() -> None:
    G = make()
    z = G.sample_z(9, seed=3, start=2)
    assert (G.noise_dim, G.z_dim, G.classes) == (6, 10, tuple(NAMES))
    assert z.shape == (9, 10)
    assert torch.equal(z[:, :6], sample_z(9, 6, 3, 2))
    assert G.classes_of(z) == tuple(NAMES[index] for index in classes_in(z))


@pytest.mark.parametrize("classes", [None, "dog", ["owl", "cat"], (0, "10")], ids=str)
def test_a_row_depends_on_its_seed_its_index_and_the_classes_only(classes: object) -> None:
    G = make()
    z = G.sample_z(40, seed=5, classes=classes)
    rows = [G.sample_z(1, seed=5, start=index, classes=classes) for index in range(40)]
    assert torch.equal(torch.cat(rows), z)
    assert torch.equal(z[:, :6], G.sample_z(40, seed=5)[:, :6]), "the noise does not depend on the class"
    assert not torch.equal(z, G.sample_z(40, seed=6, classes=classes))


@pytest.mark.parametrize("classes", [None, ["owl", "cat"]], ids=str)
def test_classes_are_drawn_evenly(classes: object) -> None:
    """Each count of a multinomial draw is within four standard deviations of its mean."""
    G, count = make(), 4000
    counts = torch.bincount(torch.tensor(classes_in(G.sample_z(count, seed=1, classes=classes))), minlength=4)
    chosen = [0, 1, 2, 3] if classes is None else [0, 2]
    share = 1 / len(chosen)
    assert counts.nonzero().flatten().tolist() == chosen
    assert all(abs(int(counts[i]) - count * share) < 4 * math.sqrt(count * share * (1 - share)) for i in chosen)


def test_classes_are_given_by_name_by_index_in_any_order_or_one_per_row() -> None:
    G = make()
    z = G.sample_z(20, seed=1, classes=["owl", "cat"])
    for same in (["cat", "owl"], [0, 2], ("owl", 0, "cat")):
        assert torch.equal(G.sample_z(20, seed=1, classes=same), z)
    assert set(classes_in(G.sample_z(5, classes="10"))) == set(classes_in(G.sample_z(5, classes=3))) == {3}
    each = torch.tensor([3, 0, 1, 1])
    assert classes_in(G.sample_z(4, seed=1, classes=each)) == each.tolist()
    assert G.sample_z(0, classes=torch.zeros(0, dtype=torch.int64)).shape == (0, 10)


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        ("dgo", r"unknown class of cgan 'dgo'; did you mean 'dog'\? known: cat, dog, owl, 10"),
        (["cat", 4], r"unknown class of cgan 4; known: cat, dog"),
        ([True], "unknown class of cgan True"),
        ([], "classes must name at least one of cat, dog, owl, 10; got none"),
        (torch.tensor([1, 4, 0]), "indices from 0 to 3; got 0 to 4"),
        (torch.tensor([1, 2]), r"int64 tensor \[3\], one index per row; got torch.int64 \[2\]"),
        (torch.ones(3), r"int64 tensor \[3\].*got torch.float32"),
    ],
    ids=str,
)
def test_unknown_classes_are_refused_with_those_that_there_are(classes: object, message: str) -> None:
    with pytest.raises((KeyError, ValueError), match=message):
        make().sample_z(3, classes=classes)


def test_a_list_of_classes_is_unpacked() -> None:
    with pytest.raises(TypeError, match=r"each class must be a name or an index; got \['cat', 'dog'\]: unpack it"):
        make().of_classes(["cat", "dog"])


def test_a_generator_of_some_classes_shares_the_weights_and_draws_from_these() -> None:
    G = make()
    state = {name: value.clone() for name, value in G.state_dict().items()}
    chosen = G.of_classes("owl", "cat")
    assert isinstance(chosen, Generator)
    assert (chosen.name, chosen.drawn, chosen.classes) == ("cgan of cat, owl", ("cat", "owl"), G.classes)
    assert (G.name, G.drawn) == ("cgan", G.classes)
    z = chosen.sample_z(8, seed=2)
    assert torch.equal(z, G.sample_z(8, seed=2, classes=["cat", "owl"]))
    assert torch.equal(chosen(z), G(z))
    assert all(torch.equal(value, state[name]) for name, value in G.state_dict().items())
    shared = zip(G.parameters(), chosen.parameters(), strict=True)
    assert all(one is other for one, other in shared)


def test_the_fingerprint_states_the_classes_and_nothing_of_how_they_were_chosen() -> None:
    G = make()
    prints = {classes: G.of_classes(*classes).fingerprint for classes in (("cat",), ("dog",), ("cat", "dog"))}
    assert len({G.fingerprint, *prints.values()}) == 4
    assert G.of_classes("dog", "cat").fingerprint == G.of_classes(0, 1).fingerprint == prints["cat", "dog"]
    again = G.of_classes("owl").of_classes("dog")
    assert (again.name, again.fingerprint) == ("cgan of dog", prints["dog",])
    everything = again.of_classes(*NAMES)
    assert (everything.name, everything.fingerprint) == (G.name, G.fingerprint)


def test_forcing_units_of_some_classes_leaves_the_others_generator_alone() -> None:
    G = make()
    chosen = G.of_classes("dog")
    z = chosen.sample_z(3, seed=1)
    before = G(z)
    forced = chosen.forcing(UnitSet("layer1", range(8)), [3.0] * 8)
    assert not torch.equal(forced(z), before)
    assert torch.equal(G(z), before)
    assert torch.equal(forced.sample_z(3, seed=1), z)
    assert list(G.state_dict()) == list(chosen.state_dict()) != list(forced.state_dict())


def test_the_classes_drawn_are_saved(tmp_path: Path) -> None:
    G = make(gray=True)
    for number, generator in enumerate((G, G.of_classes("dog", "10"))):
        path = tmp_path / f"{number}.safetensors"
        generators.save(generator, path, half=False)
        loaded = generators.load(path, device="cpu")
        assert (loaded.drawn, loaded.fingerprint) == (generator.drawn, generator.fingerprint)
        z = generator.sample_z(4, seed=1)
        assert torch.equal(loaded.sample_z(4, seed=1), z)
        assert torch.equal(loaded(z), generator(z))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"classes": []}, "classes must be names"),
        ({"classes": "cats"}, "classes must be names"),
        ({"classes": ["a", 1]}, "classes must be names"),
        ({"classes": ["a", "b", "a"]}, "distinct names; got a, b, a"),
        ({"noise_dim": 0}, "noise_dim must be at least 1; got 0"),
        ({"drawn": ["cow"]}, "unknown class of cgan 'cow'"),
    ],
    ids=str,
)
def test_what_cannot_be_a_conditional_generator_is_refused(options: dict, message: str) -> None:
    with pytest.raises((KeyError, ValueError), match=message):
        make(**options)


def test_the_image_depends_on_the_class_and_gray_ones_have_equal_channels() -> None:
    G = make(gray=True)
    images = torch.stack([G(G.sample_z(4, seed=1, classes=name)) for name in NAMES])
    assert torch.equal(images[:, :, 0], images[:, :, 1])
    assert torch.equal(images[:, :, 0], images[:, :, 2])
    assert float((images[0] - images[1]).abs().max()) > 0.01


def test_the_first_layer_is_that_of_a_dcgan_plus_an_offset_per_class() -> None:
    """A transposed convolution of a 1 x 1 grid is linear: the class adds its own row of the weights."""
    G = make()
    weight = G.layer1[0].weight
    z = G.sample_z(5, seed=2)
    noise = functional.conv_transpose2d(z[:, :6, None, None], weight[:6])
    offset = weight[6:][torch.tensor(classes_in(z))]
    torch.testing.assert_close(G.layer1[0](G.input(z)), noise + offset)


@pytest.mark.parametrize("gray", [False, True])
def test_the_discriminator_sees_one_constant_plane_per_class_beside_the_image(gray: bool) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        judge = ConditionalDCGANDiscriminator(16, 4, num_classes=3, norm="none", gray=gray).eval()
        images = torch.randn(4, 3, 16, 16)
    classes = torch.tensor([2, 0, 1, 2])
    channels = 1 if gray else 3
    whole = torch.zeros(4, channels + 3, 16, 16)
    whole[:, :channels] = images[:, :channels]
    for row, index in enumerate(classes.tolist()):
        whole[row, channels + index] = 1
    logits = judge(images, classes)
    torch.testing.assert_close(logits, judge.judge(whole))
    assert not torch.allclose(judge(images, classes.flip(0)), logits), "the class matters"
