"""Pairs of pictures: the same index and view in both sources, or a target drawn at random."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from segmenters.datasets import Captioned, Paired, Scenes, Unpaired, open_pairs
from segmenters.datasets.domains import Edges, find_edges

COUNT = 30


def _seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _photos(folder: Path, count: int = 24, offset: int = 0) -> Path:
    """Write a labeled folder whose pictures state their number in red, and are labeled by column."""
    for kind in ("images", "labels"):
        (folder / kind).mkdir(parents=True)
    for index in range(count):
        pixels = np.full((20, 26, 3), 5 * index, np.uint8)
        pixels[..., 1] = np.arange(26) * 9
        name = f"{'dusk' if index % 3 == 0 else 'day'}-{index + offset:02}"
        Image.fromarray(pixels).save(folder / f"images/{name}.png")
        Image.fromarray(np.broadcast_to(np.arange(26, dtype=np.uint8) // 13, (20, 26)).copy()).save(
            folder / f"labels/{name}.png"
        )
    classes = [{"index": 0, "name": "left"}, {"index": 1, "name": "right"}]
    (folder / "classes.json").write_text(json.dumps(classes))
    (folder / "val.txt").write_text("".join(f"{'dusk' if k % 3 == 0 else 'day'}-{k + offset:02}\n" for k in range(8)))
    return folder


@pytest.mark.parametrize("seed", [None, 4])
def test_a_pair_is_one_scene_in_two_domains_in_the_same_view(seed: int | None) -> None:
    noon, winter = Scenes(32, COUNT, mood="noon"), Scenes(32, COUNT, season="winter")
    pairs = Paired(noon, winter)
    batch = pairs.batch(range(COUNT), None if seed is None else _seeded(seed))
    assert batch.labels is not None and batch.inputs.labels is not None
    assert torch.equal(batch.labels, batch.inputs.labels)
    for found, source in ((batch.inputs, noon), (batch, winter)):
        assert torch.equal(found.images, source.batch(range(COUNT), None if seed is None else _seeded(seed)).images)
    assert (len(pairs), pairs.size, pairs.concepts) == (COUNT, 32, noon.concepts)
    assert pairs.name == "scenes@noon to scenes@winter"


def test_every_training_view_is_another_one() -> None:
    pairs, rng = Paired(Scenes(32, COUNT), Scenes(32, COUNT, mood="dusk")), _seeded(1)
    first, second = (pairs.batch(range(COUNT), rng) for _ in range(2))
    assert not torch.equal(first.images, second.images)
    assert torch.equal(second.labels, second.inputs.labels)


def test_unpaired_targets_are_drawn_evenly_and_never_by_one_permutation() -> None:
    pairs = Unpaired(Scenes(16, COUNT), Scenes(16, COUNT, seed=1))
    targets = pairs.targets.batch(range(COUNT)).images
    known = {image.numpy().tobytes(): k for view in (targets, targets.flip(-1)) for k, image in enumerate(view)}
    epochs = []
    for epoch in range(60):
        batch = pairs.batch(range(COUNT), _seeded(epoch))
        epochs.append([known[image.numpy().tobytes()] for image in batch.images])
    drawn = np.array(epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 60
    assert any(len(set(epoch)) < COUNT for epoch in epochs)  # draws, no permutation
    counts = np.bincount(drawn.ravel(), minlength=COUNT)
    expected = drawn.size / COUNT
    assert ((counts - expected) ** 2 / expected).sum() < 58.3  # chi-squared with 29 degrees of freedom, 0.1%
    matches = (drawn == np.arange(COUNT)).mean()
    assert abs(matches - 1 / COUNT) < 4 * (1 / COUNT / drawn.size) ** 0.5


def test_unpaired_pictures_are_the_same_pairs_in_every_evaluation() -> None:
    day, night = Scenes(16, COUNT), Scenes(16, 7, mood="dusk")
    whole = Unpaired(day, night).batch(range(COUNT))
    assert torch.equal(whole.inputs.images, day.batch(range(COUNT)).images)
    part = Unpaired(day, night).batch([11, 3])
    assert torch.equal(part.images, whole.images[[11, 3]])
    assert not torch.equal(Unpaired(day, night, seed=1).batch(range(COUNT)).images, whole.images)
    shown = {image.numpy().tobytes() for image in whole.images}
    assert len(shown) == 7 and len(Unpaired(day, night)) == COUNT
    with pytest.raises(IndexError, match="indices must be 0 to 29; got 30"):
        Unpaired(day, night).batch([30])


def test_label_maps_to_photographs(tmp_path: Path) -> None:
    folder = _photos(tmp_path / "facades")
    train, held_out = open_pairs([f"labels:{folder}"], [str(folder)], 16, 0.3)
    assert held_out is not None and train.label_maps and held_out.label_maps
    assert len(train) + len(held_out) == 24
    for pairs, rng in ((train, None), (train, _seeded(2)), (held_out, None)):
        batch = pairs.batch(range(len(pairs)), rng)
        assert batch.labels is not None and torch.equal(batch.inputs.labels, batch.labels)
        left = (batch.images[:, 1].float() / 9 < 12.7).long()  # the gradient states the column
        near = (batch.images[:, 1].float() / 9 - 12.5).abs() < 1.5  # resizing blurs the border
        assert ((left == 1 - batch.labels) | near).all()
        colors = torch.tensor([concept.color for concept in pairs.inputs.concepts])
        assert torch.equal(batch.inputs.images.permute(0, 2, 3, 1).long(), colors[batch.labels])
    numbers = [batch.images[:, 0, 0, 0].tolist() for batch in (train.batch(range(len(train))), held_out.batch([0]))]
    assert not set(numbers[0]) & set(numbers[1])


def test_dusk_and_day_by_the_names_of_files(tmp_path: Path) -> None:
    folder = _photos(tmp_path / "frames")
    train, held_out = open_pairs([f"{folder}@val@dusk*"], [f"{folder}@val@!dusk*"], 16, paired=False)
    assert isinstance(train, Unpaired) and held_out is None and not train.label_maps
    assert (len(train.inputs), len(train.targets)) == (3, 5)
    assert set(train.inputs.batch(range(3)).images[:, 0].unique().tolist()) == {0, 15, 30}
    assert train.name == "frames/val (dusk*) to any frames/val (!dusk*)"


def test_edges_to_pictures_and_several_sources() -> None:
    train, held_out = open_pairs(["edges:scenes:4", "edges:scenes:6@dusk"], ["scenes:4", "scenes:6@dusk"], 32)
    assert held_out is not None and (len(train), len(held_out)) == (10, 2000)
    batch = train.batch([2, 7])
    assert torch.equal(batch.inputs.images, find_edges(batch.images)) and batch.inputs.labels is None
    assert isinstance(train, Paired) and train.inputs.name == "edges:scenes + edges:scenes@dusk"


def test_pictures_that_are_no_pairs_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="inputs and targets must be equally many; got 3 of scenes and 4 of scenes"):
        Paired(Scenes(32, 3), Scenes(32, 4))
    for kind in (Paired, Unpaired):
        with pytest.raises(ValueError, match="inputs and targets must have one size; got 32 and 16 pixels"):
            kind(Scenes(32, 3), Scenes(16, 3))
        with pytest.raises(ValueError, match=r"inputs must have labels to be label maps; edges:scenes has none"):
            kind(Edges(Scenes(16, 3)), Scenes(16, 3), label_maps=True)
    one, other = _photos(tmp_path / "a"), _photos(tmp_path / "b", offset=1)
    with pytest.raises(ValueError, match=r"files of a pair must have the same name; got images/day-01.png and"):
        open_pairs([str(one)], [str(other)], 16)
    with pytest.raises(ValueError, match="targets must name pictures"):
        open_pairs(["scenes"], [], 16)
    with pytest.raises(ValueError, match="inputs must be pictures without names of domains; got a=scenes"):
        open_pairs(["a=scenes"], ["scenes"], 16)
    with pytest.raises(ValueError, match=r"all inputs must be label maps \(labels:PICTURES\), or none; got labels:"):
        open_pairs(["labels:scenes", "scenes"], ["scenes", "scenes"], 16)


def test_captioned_scenes_have_the_captions_of_their_pictures() -> None:
    scenes = Scenes(32, COUNT, seed=5)
    captioned = Captioned(scenes, 4)
    plain = captioned.batch([7, 2])
    assert torch.equal(plain.images, scenes.batch([7, 2]).images) and torch.equal(
        plain.labels, scenes.batch([7, 2]).labels
    )
    assert plain.captions == (scenes.caption(7, 0), scenes.caption(2, 0))
    drawn = set()
    for seed in range(20):
        batch = captioned.batch([7, 2], _seeded(seed))
        assert batch.captions[0] in [scenes.caption(7, number) for number in range(4)]
        drawn |= {(index, caption.text) for index, caption in zip((7, 2), batch.captions, strict=True)}
    assert drawn == {(index, scenes.caption(index, number).text) for index in (7, 2) for number in range(4)}
    assert (captioned.name, len(captioned), captioned.concepts) == ("scenes (captioned)", COUNT, scenes.concepts)
    with pytest.raises(ValueError, match="num_captions must be an integer of at least 1; got 0"):
        Captioned(scenes, 0)
