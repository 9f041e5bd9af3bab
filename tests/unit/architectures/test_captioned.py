"""Generators of captions: rows, words, the encoder of captions, and the two stages of a StackGAN."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_generators import make_generator

import generators
from gandissect import latent
from generators import StackGAN
from generators.architectures.stackgan import Conditioning, PairDiscriminator
from generators.architectures.text import MAX_WORDS, TextEncoder

WORDS = ["a", "car", "lane", "on", "red"]


def _make(**changes: object) -> StackGAN:
    torch.manual_seed(0)
    made = StackGAN(**{"size": 16, "width": 4, "latent_dim": 5, "code_dim": 3, "vocabulary": WORDS} | changes)
    return made.eval().requires_grad_(False)


def test_a_row_is_noise_and_the_embedding_of_its_caption() -> None:
    generator = _make(captions=["a car", "a red car"])
    assert (generator.noise_dim, generator.z_dim) == (5 + 3, 5 + 3 + 128)
    z = generator.sample_z(20, seed=4)
    named = {caption: generator.encode([caption])[0] for caption in generator.captions}
    drawn = [next(text for text, vector in named.items() if vector.equal(row[8:])) for row in z]
    assert set(drawn) == {"a car", "a red car"}
    assert torch.equal(generator.sample_z(5, seed=4, start=7), z[7:12])
    red = generator.sample_z(20, seed=4, captions="a red car")
    assert torch.equal(red[:, :8], z[:, :8]), "the noise does not depend on the captions"
    assert torch.equal(red[:, 8:], named["a red car"].expand(20, -1))
    assert not torch.equal(generator(red[:1]), generator(generator.sample_z(1, seed=4, captions="a car")))


def test_an_embedding_does_not_depend_on_the_other_captions() -> None:
    generator = _make()
    texts = ["a red car", "a lane", "a car on a lane", "a lane"]
    together = generator.encode(texts)
    assert all(torch.equal(row, generator.encode([text])[0]) for row, text in zip(together, texts, strict=True))
    assert generator.encode([]).shape == (0, 128)


def test_commas_periods_and_capitals_do_not_matter() -> None:
    generator = _make()
    assert torch.equal(*generator.encode(["A red, red car.", "a red red car"]))


def test_the_encoder_is_the_gated_recurrent_unit_of_the_paper() -> None:
    """Word by word in float64: the mean state, a linear map, and a root mean square of 1."""
    torch.manual_seed(1)
    encoder = TextEncoder(WORDS, 6).double()
    weights = {name: value.detach().numpy() for name, value in encoder.named_parameters()}
    sigmoid = lambda x: 1 / (1 + np.exp(-x))  # noqa: E731
    w, u = weights["recurrent.weight_ih_l0"], weights["recurrent.weight_hh_l0"]
    b, c = weights["recurrent.bias_ih_l0"], weights["recurrent.bias_hh_l0"]
    texts, rows = ["a red car", "lane", "a car on a red lane"], []
    for text in texts:
        state, states = np.zeros(6), []
        for word in text.split():
            x = weights["words.weight"][WORDS.index(word)]
            (r, z, n), (hr, hz, hn) = np.split(w @ x + b, 3), np.split(u @ state + c, 3)
            gate = sigmoid(z + hz)
            state = (1 - gate) * np.tanh(n + sigmoid(r + hr) * hn) + gate * state
            states.append(state)
        row = weights["output.weight"] @ np.mean(states, 0) + weights["output.bias"]
        rows.append(row / np.sqrt(np.mean(row**2)))
    result = encoder([encoder.read(text) for text in texts]).detach().numpy()
    np.testing.assert_allclose(result, np.stack(rows), rtol=1e-9)


def test_a_generator_of_captions_says_which() -> None:
    generator = _make(captions=["a car", "a lane"])
    red = generator.of_captions("a red car")
    assert red.name == "stackgan of 'a red car'"
    assert red.captions == ("a red car",)
    assert generator.captions == ("a car", "a lane")
    assert generator.of_captions("a", "a car", "a lane").name == "stackgan of 'a' and 2 more captions"
    assert generator.of_captions("a", "a car").name == "stackgan of 'a' and 1 more caption"
    assert red.of_captions("a lane").name == "stackgan of 'a lane'"
    assert (red.is_described, generator.is_described) == (True, False)
    assert red.fingerprint != generator.fingerprint
    assert torch.equal(red.sample_z(3, seed=2), generator.sample_z(3, seed=2, captions="a red car"))


def test_captions_are_kept_in_files(tmp_path: Path) -> None:
    generators.save(_make(captions=["a car", "a lane"]), tmp_path / "x.safetensors")
    loaded = generators.load(tmp_path / "x.safetensors", device="cpu")
    assert isinstance(loaded, StackGAN)
    assert loaded.captions == ("a car", "a lane")
    assert loaded.vocabulary == tuple(WORDS)


@pytest.mark.parametrize(
    ("captions", "error", "message"),
    [
        ("a read car", KeyError, "unknown word of captions 'read'; did you mean 'red'.*known: a, car, lane, on, red"),
        ("", ValueError, "1 to 100 words; got 0"),
        ("car " * (MAX_WORDS + 1), ValueError, "got 101"),
        ([], ValueError, "at least one caption"),
        ([3], TypeError, "a caption must be a string"),
    ],
    ids=str,
)
def test_captions_that_cannot_be_read_say_why(captions: object, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        _make().sample_z(2, captions=captions)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"vocabulary": []}, "vocabulary must be words"),
        ({"vocabulary": "abc"}, "vocabulary must be words"),
        ({"vocabulary": ["a", "a"]}, "distinct words"),
        ({"vocabulary": ["two words"]}, "distinct words"),
        ({"vocabulary": ["Car"]}, "lower case"),
        ({"captions": []}, "at least one caption"),
        ({"size": 20}, "size must be one of 16, 32"),
        ({"code_dim": 0}, "code_dim must be at least 1"),
    ],
    ids=str,
)
def test_settings_that_cannot_be_say_what_is_allowed(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        _make(**changes)


def test_paths_and_truncation_move_the_noise_and_may_lead_between_captions() -> None:
    generator = make_generator("stackgan")
    z = generator.sample_z(2, seed=1)
    assert torch.equal(latent.hold_class(generator, z)[1, 8:], z[0, 8:])
    truncated = latent.truncated_z(generator, 4, seed=1, limit=0.5)
    assert truncated[:, :8].abs().max() <= 0.5
    assert torch.equal(truncated[:, 8:], generator.sample_z(4, seed=1)[:, 8:])
    walk = latent.Walk(generator, z)
    assert walk.images(walk.positions(3)).shape == (3, 3, 16, 16)


def test_stage_two_sees_the_sketch_and_its_own_code_only() -> None:
    """With the sketch and eps kept, z makes no difference to stage II; the caption does."""
    generator = _make(captions=["a car", "a red lane"])
    z = generator.sample_z(2, seed=1, captions="a car")
    sketch = generator.head(z, "sketch")
    other = z.clone()
    other[:, :5] = 0
    assert torch.equal(generator.tail(sketch, "sketch", other), generator.tail(sketch, "sketch", z))
    other = generator.sample_z(2, seed=1, captions="a red lane")
    assert not torch.equal(generator.tail(sketch, "sketch", other), generator.tail(sketch, "sketch", z))
    assert generator.layers["sketch"].units == 3
    assert sketch.abs().max() <= 1


def test_codes_may_have_negative_means_and_deviations_below_one() -> None:
    """A ReLU on mean and log variance, as in copies of the code, rules both out."""
    torch.manual_seed(0)
    posterior = Conditioning(128, 16)(torch.randn(8, 128))
    assert posterior.mean.min() < 0 < posterior.mean.max()
    assert posterior.log_variance.min() < 0
    assert torch.allclose(posterior.sample(torch.zeros(8, 16)), posterior.mean)


def test_a_pair_is_judged_by_picture_and_caption() -> None:
    torch.manual_seed(0)
    judge = PairDiscriminator(16, 4, 6, 3).eval()
    images, texts = torch.randn(3, 3, 16, 16), torch.randn(3, 6)
    logits = judge(images, texts)
    assert logits.shape == (3,)
    assert torch.equal(judge.judge(judge.features(images), texts), logits)
    assert not torch.equal(judge(images, texts.roll(1, 0)), logits)
    assert not torch.equal(judge(images.roll(1, 0), texts), logits)
