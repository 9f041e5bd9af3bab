"""Domains and edges: what their specifications mean, and that all pictures of a domain are of its class."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings, strategies as st
from PIL import Image

from gandissect.core.images import from_uint8
from gandissect.core.protocols import as_classed, may_flip
from segmenters import PaletteSegmenter
from segmenters.datasets import (
    LabeledPictures,
    LabelMaps,
    Photos,
    Scenes,
    check_output,
    check_specs,
    open_pictures,
    open_source,
)
from segmenters.datasets.combining import Subset
from segmenters.datasets.domains import Domain, Edges, find_edges


def _folder(path: Path, count: int = 40) -> Path:
    path.mkdir(parents=True)
    for index in range(count):
        noise = torch.randint(0, 256, (18, 18, 3), generator=torch.Generator().manual_seed(index), dtype=torch.uint8)
        Image.fromarray(noise.numpy()).save(path / f"{index}.png")
    return path


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 7), st.integers(1, 7))
def test_an_edge_is_how_much_lighter_the_lightest_neighbor_is(seed: int, height: int, width: int) -> None:
    rng = torch.Generator().manual_seed(seed)
    pixels = torch.randint(0, 256, (2, 3, height, width), generator=rng, dtype=torch.uint8)
    found = find_edges(pixels)
    assert found.shape == pixels.shape and found.dtype == torch.uint8
    for picture, edges in zip(pixels.tolist(), found.tolist(), strict=True):
        gray = [
            [int(0.5 + (299 * r + 587 * g + 114 * b) / 1000) for r, g, b in zip(*rows, strict=True)]
            for rows in zip(*picture, strict=True)
        ]
        for y in range(height):
            for x in range(width):
                near = [gray[v][u] for v in range(height) for u in range(width) if max(abs(v - y), abs(u - x)) <= 1]
                assert [channel[y][x] for channel in edges] == [max(near) - gray[y][x]] * 3


def test_the_edges_of_a_white_square_are_an_outline_around_it() -> None:
    pixels = torch.zeros(1, 3, 8, 8, dtype=torch.uint8)
    pixels[:, :, 3:5, 3:5] = 255
    expected = torch.zeros(8, 8, dtype=torch.uint8)
    expected[2:6, 2:6] = 255
    expected[3:5, 3:5] = 0
    assert torch.equal(find_edges(pixels)[0, 0], expected)


def test_edges_follow_their_source() -> None:
    scenes = Scenes(32, 12)
    edges = Edges(scenes)
    assert (edges.name, edges.size, len(edges), edges.concepts) == ("edges:scenes", 32, 12, ())
    assert torch.equal(edges.batch([7, 2]).images, find_edges(scenes.batch([7, 2]).images))
    views = [source.batch(range(12), torch.Generator().manual_seed(1)).images for source in (scenes, edges)]
    assert torch.equal(views[1], find_edges(views[0]))
    assert edges.batch([0]).labels is None


def test_all_pictures_of_a_domain_are_of_its_class() -> None:
    domain = Domain(Scenes(32, 5), ["noon", "dusk"], "dusk")
    assert (domain.name, domain.classes) == ("dusk=scenes", ("noon", "dusk"))
    assert domain.class_indices.tolist() == [1] * 5
    assert torch.equal(domain.batch([3]).images, Scenes(32, 5).batch([3]).images)
    assert Subset(domain, [4, 1], "part").class_indices.tolist() == [1, 1]


def test_domains_are_the_classes_of_the_pictures() -> None:
    train, held_out = open_pictures(["noon=scenes:30@noon", "dusk=scenes:20@dusk"], 32)
    assert train.name == "noon=scenes@noon + dusk=scenes@dusk"
    assert held_out is not None and held_out.name == train.name
    for source, counts in ((train, (30, 20)), (held_out, (1000, 1000))):
        classed = as_classed(source)
        assert classed is not None and classed.classes == ("noon", "dusk")
        assert torch.bincount(classed.class_indices).tolist() == list(counts)
    assert torch.equal(train.batch([30]).images, Scenes(32, 1, mood="dusk").batch([0]).images)
    assert torch.equal(held_out.batch([1000]).images, Scenes(32, 1, seed=2, mood="dusk").batch([0]).images)


def test_one_name_for_several_folders_is_one_class(tmp_path: Path) -> None:
    a, b, c = (_folder(tmp_path / name) for name in "abc")
    train, held_out = open_pictures([f"x={a}", f"y={b}", f"x={c}"], 16, 0.25)
    for source in (train, held_out):
        classed = as_classed(source)
        assert classed is not None and classed.classes == ("x", "y")
        share = (classed.class_indices == 0).float().mean()
        assert 0.5 < share < 0.8


def test_the_edges_of_a_folder_are_parted_as_the_folder_is(tmp_path: Path) -> None:
    folder = _folder(tmp_path / "photos")
    train, held_out = open_pictures([f"plain={folder}", f"edges=edges:{folder}"], 16, 0.25)
    for source in (train, held_out):
        assert source is not None
        half = len(source) // 2
        pictures = source.batch(range(2 * half)).images
        assert torch.equal(pictures[half:], find_edges(pictures[:half]))


def test_edges_need_no_domain() -> None:
    train, _ = open_pictures(["edges:scenes:4"], 32)
    assert train.name == "edges:scenes"
    assert torch.equal(train.batch([2]).images, find_edges(Scenes(32, 4).batch([2]).images))


def test_label_maps_are_pictures_in_the_colors_of_their_concepts() -> None:
    scenes = Scenes(32, 12)
    maps = LabelMaps(scenes)
    assert (maps.name, maps.size, len(maps), maps.concepts) == ("labels:scenes", 32, 12, scenes.concepts)
    for rng in (None, 3):
        batches = [
            source.batch(range(12), None if rng is None else torch.Generator().manual_seed(rng))
            for source in (scenes, maps)
        ]
        assert batches[0].labels is not None and batches[1].labels is not None
        assert torch.equal(batches[1].labels, batches[0].labels)
        decoded = PaletteSegmenter(scenes.concepts)(from_uint8(batches[1].images))
        assert torch.equal(decoded, batches[0].labels)
    train, held_out = open_pictures(["labels:scenes:5"], 32)
    assert held_out is not None and len(held_out) == 1000
    assert torch.equal(train.batch([4]).images, maps.batch([4]).images) and train.batch([4]).labels is None


def test_unlabeled_pixels_are_black_in_a_label_map() -> None:
    class Half(Scenes):
        def batch(self, indices: Sequence[int], rng: torch.Generator | None = None) -> LabeledPictures:
            batch = super().batch(indices, rng)
            assert batch.labels is not None
            return LabeledPictures(batch.images, batch.labels.index_fill(1, torch.arange(16), -1))

    images = LabelMaps(Half(32, 2)).batch([0, 1]).images
    assert (images[:, :, :16] == 0).all() and (images[:, :, 16:] > 0).any(1).all()


def test_label_maps_need_labels(tmp_path: Path) -> None:
    folder = _folder(tmp_path / "photos")
    with pytest.raises(ValueError, match=r"label maps must be of labeled pictures; photos .*has no labels"):
        open_pictures([f"labels:{folder}"], 16)


def test_pictures_that_cannot_be_mirrored_stay_so(tmp_path: Path) -> None:
    class Digits(Scenes):
        may_flip = False

    assert not may_flip(Domain(Edges(Digits(16, 2)), ["a"], "a"))
    assert may_flip(Domain(Edges(Scenes(16, 2)), ["a"], "a"))


def test_a_folder_whose_name_looks_like_a_domain_is_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _folder(tmp_path / "lr=1")
    (tmp_path / "lr=1" / "some.txt").write_text("1\n2\n")
    monkeypatch.chdir(tmp_path)
    for spec in ("lr=1", "lr=1@some", str(tmp_path / "lr=1")):
        train, _ = open_pictures([spec], 16)
        assert as_classed(train) is None
    assert isinstance(open_source("lr=1", 16), Photos)


@pytest.mark.parametrize(
    ("specs", "message"),
    [
        (["noon=scenes", "scenes@dusk"], r"all pictures must name their domain .* or none; got scenes@dusk without"),
        (["=scenes"], r"a domain must be NAME=PICTURES, such as dusk=scenes:15000@dusk; got '=scenes'"),
        (["dusk="], r"a domain must be NAME=PICTURES, .* got 'dusk='"),
        (["a=b=scenes"], r"pictures must be of one domain .* got the names a and b: 'a=b=scenes'"),
        (["a=edges:b=scenes"], r"name the domain first, as in b=edges:scenes; got 'edges:b=scenes'"),
        (["edges:"], r"edges must be of pictures, such as edges:scenes; got 'edges:'"),
        (["dusk=edges:"], r"edges must be of pictures"),
        (["labels:"], r"labels must be of pictures, such as labels:scenes; got 'labels:'"),
        (["a=labels:edges:scenes"], r"labels must be of pictures, not of edges; got 'labels:edges:scenes'"),
        (["labels:b=scenes"], r"name the domain first, as in b=labels:scenes"),
        (["dusk=scenes:0"], r"COUNT in scenes:COUNT must be at least 1"),
    ],
)
def test_broken_specifications_say_what_is_meant(specs: list[str], message: str) -> None:
    for use in (lambda: open_pictures(specs, 32), lambda: check_specs(specs)):
        with pytest.raises(ValueError, match=message):
            use()


def test_pictures_of_a_domain_that_are_missing_are_named(tmp_path: Path) -> None:
    for spec in (f"dusk={tmp_path / 'none'}", f"edges:{tmp_path / 'none'}", f"a=edges:{tmp_path / 'none'}"):
        with pytest.raises(FileNotFoundError, match=r"no folder .*none"):
            open_pictures([spec], 16)


def test_results_are_kept_apart_from_the_pictures_of_a_domain(tmp_path: Path) -> None:
    folder = _folder(tmp_path / "photos")
    for spec in (f"x={folder}", f"edges:{folder}"):
        with pytest.raises(ValueError, match="results must be in a folder without pictures"):
            check_output(folder, [spec])


@pytest.mark.parametrize("spec", ["dusk=scenes", "edges:scenes", "labels:scenes"])
def test_labeled_pictures_are_neither_domains_nor_edges_nor_label_maps(spec: str) -> None:
    with pytest.raises(ValueError, match="domains, edges and label maps must be left out; name labeled pictures; got"):
        open_source(spec, 32)
