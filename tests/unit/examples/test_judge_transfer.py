"""What ``examples/judge_transfer.py`` measures, on pictures, translators and codes whose figures are known."""

from __future__ import annotations

import struct
from pathlib import Path

import judge_transfer as example
import numpy as np
import pytest
import torch
from torch import Tensor, nn

from gandissect.core import from_uint8
from generators import DCGAN, UNIT
from segmenters.datasets import IdxPictures

COUNTS = ((3, 1, 2, 4), (1, 2, 2, 5))
"""Unseen pictures of each class in each domain."""


def _write(folder: Path, split: str, count: int) -> None:
    folder.mkdir(exist_ok=True)
    pixels = np.random.default_rng(count).integers(0, 256, (count, 16, 16), dtype=np.uint8)
    for array, end in ((pixels, "images-idx3-ubyte"), (np.arange(count, dtype=np.uint8) % 10, "labels-idx1-ubyte")):
        head = bytes((0, 0, 8, array.ndim)) + struct.pack(f">{array.ndim}I", *array.shape)
        (folder / f"{split}-{end}").write_bytes(head + array.tobytes())


@pytest.fixture
def folders(tmp_path: Path) -> tuple[str, str]:
    for split, count in (("train", 40), ("test", 20)):
        _write(tmp_path / "a", split, count)
    _write(tmp_path / "b", "all", 60)
    return str(tmp_path / "a"), str(tmp_path / "b")


def test_a_domain_has_its_training_pictures_and_others_that_are_held_out_or_named(folders: tuple[str, str]) -> None:
    a, b = folders
    options = example.Options(("unit",), (f"first={a}@train", f"second={b}"), (f"first={a}@test",), hold_out=0.5)
    (first, second), classes = example.open_domains(options, 16)
    assert (first.name, second.name, classes) == ("first", "second", tuple("0123456789"))
    for examples, split in ((first.learned, "train"), (first.unseen, "test")):
        source = IdxPictures(a, 16, split)
        assert torch.equal(examples.images, from_uint8(source.batch(range(len(source))).images))
        assert torch.equal(examples.classes, source.class_indices)
    pictures = {picture.numpy().tobytes() for part in (second.learned, second.unseen) for picture in part.images}
    assert len(pictures) == len(second.learned.images) + len(second.unseen.images) == 60
    assert 15 < len(second.unseen.images) < 45


@pytest.mark.parametrize(
    ("data", "unseen", "message"),
    [
        (("{a}@train", "{b}"), (), "two domains"),
        (("x={b}", "x={b}"), (), "two domains"),
        (("x={a}@train", "y={b}"), ("z={a}@test",), "be of them"),
        (("x={a}@train", "y={b}"), (), "no pictures of x are held out; set --unseen x=PICTURES"),
    ],
)
def test_wrong_domains_are_named(
    folders: tuple[str, str], data: tuple[str, ...], unseen: tuple[str, ...], message: str
) -> None:
    a, b = folders
    data, unseen = [tuple(spec.format(a=a, b=b) for spec in specs) for specs in (data, unseen)]
    with pytest.raises(ValueError, match=message):
        example.open_domains(example.Options(("unit",), data, unseen), 16)


def _examples(domain: int, counts: tuple[int, ...]) -> object:
    """Pictures whose first pixel is their class, and whose second is their domain."""
    classes = torch.arange(len(counts)).repeat_interleave(torch.tensor(counts)).flip(0)
    images = torch.zeros(len(classes), 3, 4, 4)
    images[:, :, 0, 0], images[:, :, 0, 1] = classes[:, None].float(), float(domain)
    return example.Examples(images, classes)


def _domains() -> tuple[object, ...]:
    parts = [_examples(domain, counts) for domain, counts in enumerate(COUNTS)]
    return tuple(example.Domain(name, part, part) for name, part in zip("ab", parts, strict=True))


def _judges() -> object:
    """Judges that read the pixels; by the labels of one domain, only in pictures that look like it, else class 3."""

    def by_labels(domain: int, images: Tensor) -> Tensor:
        known = images[:, 0, 0, 1] == domain
        return nn.functional.one_hot(torch.where(known, images[:, 0, 0, 0].long(), 3), 4).float()

    def name_domain(images: Tensor) -> Tensor:
        return nn.functional.one_hot(images[:, 0, 0, 1].long(), 2).float()

    judges = (lambda images: by_labels(0, images), lambda images: by_labels(1, images))
    return example.Judges(tuple("0123"), judges, name_domain)


def test_both_parts_have_equally_many_of_each_class() -> None:
    parts = [domain.unseen for domain in _domains()]  # type: ignore[attr-defined]
    for part, chosen in zip(parts, example.balance(parts), strict=True):
        assert torch.bincount(part.classes[chosen]).tolist() == [1, 1, 2, 4]
        assert len(set(chosen.tolist())) == 8
    joined = example.join(parts)
    assert joined.classes.tolist() == [0] * 8 + [1] * 8 == joined.images[:, 0, 0, 1].tolist()


def test_real_pictures_are_ceiling_and_floor() -> None:
    found = example.judge_real(_domains(), _judges())
    assert {key: value.accuracy for key, value in found.items()} == {
        "domain of pictures": 1,
        "a by labels of a": 1,
        "a by labels of b": 4 / 10,  # those of class 3
        "b by labels of a": 5 / 10,
        "b by labels of b": 1,
    }


@pytest.mark.parametrize("perfect", [True, False])
def test_translations_are_judged_as_pictures_of_the_other_domain(
    monkeypatch: pytest.MonkeyPatch, perfect: bool
) -> None:
    def translate(_: object, images: Tensor, source: str, target: str) -> Tensor:
        assert images[:, 0, 0, 1].unique().tolist() == ["ab".index(source)]
        made = images.clone()
        made[:, :, 0, 1] = "ab".index(target if perfect else source)
        return made

    monkeypatch.setattr(example, "translate", translate)
    found = example.judge_translations(None, _domains(), _judges())
    values = {key: (value.accuracy, value.num_images) for key, value in found.items()}
    assert values == {
        "a by labels of b": (1 if perfect else 0.4, 10),
        "b by labels of a": (1 if perfect else 0.5, 10),
        "domain of pictures": (float(perfect), 16),
    }


def test_a_picture_of_each_class_is_shown_over_its_translation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(example, "translate", lambda _, images, source, target: images + 10)
    rows = example.show_classes(None, _domains()).unflatten(0, (4, 4))[:, :, 0, 0, :2]
    for domain in (0, 1):
        assert rows[2 * domain].tolist() == [[label, domain] for label in range(4)]
        assert rows[2 * domain + 1].tolist() == [[label + 10, domain + 10] for label in range(4)]


@pytest.mark.parametrize("common", [True, False])
def test_codes_tell_the_class_across_domains_only_where_they_mean_the_same(
    monkeypatch: pytest.MonkeyPatch, common: bool
) -> None:
    def encode(_: object, images: Tensor, domain: str) -> Tensor:
        shift = 0 if common else "ab".index(domain)
        return nn.functional.one_hot((images[:, 0, 0, 0].long() + shift) % 4, 4).float()[:, :, None, None]

    def train(examples: object, count: int, steps: int, seed: int, stream: str) -> nn.Module:
        """Count how often each unit is active in each class, the exact likelihood of these codes."""
        codes, right = examples.images.flatten(1), examples.classes  # type: ignore[attr-defined]
        counts = torch.stack([codes[right == index].sum(0) for index in range(count)])
        return nn.Sequential(nn.Flatten(), _Times(counts))

    monkeypatch.setattr(example, "encode", encode)
    monkeypatch.setattr(example, "train_on_codes", train)
    U = UNIT(16, 4, 1, ["a", "b"])
    found = example.judge_codes(U, _domains(), tuple("0123"), example.Options(("unit",), ("", "")))
    own = {key: value.accuracy for key, value in found.items() if key[9] == key[-1]}
    assert own == {"codes of a by labels of a": 1, "codes of b by labels of b": 1}
    crossed = [found[f"codes of {x} by labels of {y}"].accuracy for x, y in ("ab", "ba")]
    assert crossed == ([1, 1] if common else [0, 0])
    # Balanced, both domains have one picture of classes 0 and 1, two of class 2 and four of class 3. In common codes
    # every unit is as likely in both; shifted by one class, a unit is likelier in one of them.
    assert found["domain of codes"].accuracy == (0.5 if common else 11 / 16)
    assert found["domain of codes"].num_images == 16


class _Times(nn.Module):
    def __init__(self, counts: Tensor) -> None:
        super().__init__()
        self.counts = counts

    def forward(self, codes: Tensor) -> Tensor:
        """Return the count of each class for the active unit."""
        return codes @ self.counts.T


def test_translators_are_of_one_size_and_between_domains(monkeypatch: pytest.MonkeyPatch) -> None:
    known = {"unit": UNIT(16, 4, 1), "large": UNIT(32, 4, 1), "dcgan": DCGAN(16, 4, 4)}
    monkeypatch.setattr(example.generators, "load", lambda name, _: known[name])
    for names in (("dcgan",), ("unit", "large")):
        with pytest.raises(ValueError, match="translators between domains, of one size; got"):
            example.judge(example.Options(names, ("", "")))
