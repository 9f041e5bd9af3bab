"""Pixels and images, identities of networks, choices and concepts by name."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Literal

import pytest
import torch

from gandissect.core import Concept, NetworkId, check_choice, concept_index, from_uint8, to_uint8
from gandissect.core.network_id import join_fingerprint

Fruit = Literal["apple", "pear"]


def test_every_pixel_comes_back_from_an_image() -> None:
    pixels = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16)
    images = from_uint8(pixels)
    assert (float(images.min()), float(images.max())) == (-1.0, 1.0)
    assert torch.equal(to_uint8(images), pixels)
    assert torch.equal(to_uint8(images.double()), pixels)


def test_what_is_outside_is_clamped_and_between_pixels_is_rounded() -> None:
    assert to_uint8(torch.tensor([[-7.0, 7.0, 0.0, 0.6 / 127.5 - 1]])).tolist() == [[0, 255, 128, 1]]


def test_an_identity_knows_its_network_by_the_fingerprint() -> None:
    network = SimpleNamespace(name="mine", fingerprint="a" * 64)
    identity = NetworkId.of(network)
    assert (str(identity), identity) == ("mine", NetworkId("mine", "a" * 64))
    identity.check(SimpleNamespace(name="renamed", fingerprint="a" * 64), "the recipe")
    message = "the recipe belongs to mine with fingerprint aaaaaaaa, but other has fingerprint bbbbbbbb; load the original mine"
    with pytest.raises(ValueError, match=message):
        identity.check(SimpleNamespace(name="other", fingerprint="b" * 64), "the recipe")
    identity = NetworkId("mine", join_fingerprint("a" * 64, "b" * 64))
    with pytest.raises(
        ValueError, match=r"fingerprint aaaaaaaa-bbbbbbbb, but other has fingerprint aaaaaaaa-cccccccc;"
    ):
        identity.check(SimpleNamespace(name="other", fingerprint=join_fingerprint("a" * 64, "c" * 64)), "the recipe")


def test_choices_and_concepts_say_what_was_perhaps_meant() -> None:
    check_choice("pear", Fruit, "fruit")
    with pytest.raises(KeyError, match="unknown fruit 'paer'; did you mean 'pear'"):
        check_choice("paer", Fruit, "fruit")
    for wrong in (None, ["pear"], 3):
        with pytest.raises(KeyError, match="fruit must be one of apple, pear; got"):
            check_choice(wrong, Fruit, "fruit")
    concepts = (Concept(0, "sky", (0, 0, 255)), Concept(1, "tree", (0, 255, 0)))
    assert concept_index(concepts, "tree") == 1
    with pytest.raises(KeyError, match="unknown concept 'trees'; did you mean 'tree'"):
        concept_index(concepts, "trees")
