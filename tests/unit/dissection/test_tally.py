"""Shards merge to the whole, bit for bit; saved counts are resumed; shards that do not belong together are errors."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from gandissect import Dissection, DissectSettings, dissect, dissect_shard, merge_shards
from gandissect.dissection.counting import passes, tally
from gandissect.dissection.counting.label_cache import LabelMapCache
from gandissect.dissection.counting.layer_counts import LayerCount
from gandissect.dissection.counting.tally import TALLY, VERSION, Tally
from gandissect.dissection.counting.top_images import ThumbnailCollector, TopSamples
from gandissect.storage import load_tensors, lock_folder, save_tensors
from generators import PlantedGenerator
from segmenters.palette import PaletteSegmenter

GENERATOR = PlantedGenerator(size=16, cells=8)
SEGMENTER = PaletteSegmenter(GENERATOR.concepts)
WANTED: dict[str, Any] = {"num_samples": 45, "batch_size": 4, "quantile": 0.05, "top_images": 3, "progress": False}
WANTED["curves"] = True


def _count_shard(
    generator: Any,
    segmenter: Any,
    folder: Path,
    shard: tuple[int, int],
    *,
    layers: Any = None,
    progress: bool,
    **wanted: Any,
) -> Path:
    return dissect_shard(generator, segmenter, folder, shard, layers, DissectSettings(**wanted), progress=progress)


def _same(one: Dissection, two: Dissection) -> None:
    assert one.records() == two.records()
    assert replace(one.provenance, duration=0.0) == replace(two.provenance, duration=0.0)
    assert torch.equal(one.thumbnails.pixels, two.thumbnails.pixels)
    for mine, theirs in zip(one, two, strict=True):
        for name in ("intersection", "exchanged", "unit_area", "concept_area"):
            assert torch.equal(getattr(mine.groups, name), getattr(theirs.groups, name)), name
        assert torch.equal(mine.top.packed_masks, theirs.top.packed_masks)
        assert mine.curves is not None
        assert theirs.curves is not None
        for name in ("levels", "intersection", "exchanged", "unit_area", "concept_area", "num_pixels"):
            assert torch.equal(getattr(mine.curves, name), getattr(theirs.curves, name)), name


@pytest.fixture(scope="module")
def whole() -> Dissection:
    return dissect(GENERATOR, SEGMENTER, **WANTED)


@pytest.mark.parametrize("count", [1, 2, 5, 12, 14])
def test_any_number_of_shards_in_any_order_gives_the_whole(count: int, whole: Dissection, tmp_path: Path) -> None:
    """There are 12 batches: shards hold all of them, unequal parts, one each, or none."""
    folders = [tmp_path / str(index) for index in range(1, count + 1)]
    for index, folder in enumerate(folders, 1):
        assert _count_shard(GENERATOR, SEGMENTER, folder, (index, count), **WANTED) == folder / TALLY
    for seed in range(2):
        random.Random(seed).shuffle(folders)
        _same(merge_shards(folders), whole)


class Failing:
    """A segmenter that fails after some images."""

    name, fingerprint, concepts = SEGMENTER.name, SEGMENTER.fingerprint, SEGMENTER.concepts

    def __init__(self, after: int) -> None:
        self.left = after

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        self.left -= len(images)
        if self.left < 0:
            raise ArithmeticError
        return SEGMENTER(images)


@pytest.mark.parametrize("after", [1, 5, 20, 44])
def test_what_was_counted_is_taken_up_again(
    after: int, whole: Dissection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(passes, "SAVE_SECONDS", 0.0)
    with pytest.raises(ArithmeticError):
        dissect(GENERATOR, Failing(after), folder=tmp_path, **WANTED)
    assert (tmp_path / TALLY).exists() == (after > 4)
    rest = Failing(45 + 1 - (after - 1) // 4 * 4)  # one for the size of a label map
    _same(dissect(GENERATOR, rest, folder=tmp_path, **WANTED), whole)
    _same(dissect(GENERATOR, Failing(1), folder=tmp_path, **WANTED), whole)  # nothing left to count


OTHERS: dict[str, Callable[[], tuple[Any, Any, dict[str, Any]]]] = {
    "seed is 0, not 1": lambda: (GENERATOR, SEGMENTER, {"seed": 1}),
    "num_samples is 45, not 46": lambda: (GENERATOR, SEGMENTER, {"num_samples": 46}),
    "quantile is 0.05, not 0.1": lambda: (GENERATOR, SEGMENTER, {"quantile": 0.1}),
    "batch_size is 4, not 6": lambda: (GENERATOR, SEGMENTER, {"batch_size": 6}),
    "padding is 'edge', not 'zeros'": lambda: (GENERATOR, SEGMENTER, {"padding": "zeros"}),
    "top_images is 3, not 0": lambda: (GENERATOR, SEGMENTER, {"top_images": 0}),
    "curves is True, not False": lambda: (GENERATOR, SEGMENTER, {"curves": False}),
    "layers is": lambda: (GENERATOR, SEGMENTER, {"layers": "layer2"}),
    "generator_fingerprint is": lambda: (PlantedGenerator(size=16, cells=4), SEGMENTER, {}),
    "segmenter_fingerprint is": lambda: (GENERATOR, PaletteSegmenter(GENERATOR.concepts[:4]), {}),
}


@pytest.mark.parametrize("message", OTHERS)
def test_parts_of_different_dissections_are_refused(message: str, tmp_path: Path) -> None:
    generator, segmenter, changed = OTHERS[message]()
    _count_shard(GENERATOR, SEGMENTER, tmp_path / "1", (1, 2), **WANTED)
    _count_shard(generator, segmenter, tmp_path / "2", (2, 2), **{**WANTED, **changed})
    with pytest.raises(ValueError, match=f"to another dissection: .*{message}"):
        merge_shards([tmp_path / "1", tmp_path / "2"])
    with pytest.raises(
        ValueError, match=f"{TALLY}: these counts belong to another .*; name another folder, or replace it"
    ):
        _count_shard(generator, segmenter, tmp_path / "1", (1, 2), **{**WANTED, **changed})


def test_counts_of_another_dissection_are_replaced_on_request_and_those_of_the_same_continued(
    tmp_path: Path, whole: Dissection
) -> None:
    dissect(GENERATOR, SEGMENTER, folder=tmp_path, **(WANTED | {"seed": 1}))
    _same(dissect(GENERATOR, SEGMENTER, folder=tmp_path, overwrite=True, **WANTED), whole)
    again = dissect(GENERATOR, Failing(1), folder=tmp_path, overwrite=True, **WANTED)
    _same(again, whole)  # segments one image, for the size of a label map
    with lock_in_another_thread(tmp_path), pytest.raises(BlockingIOError, match="in use by"):
        dissect(GENERATOR, SEGMENTER, folder=tmp_path, **WANTED)
    (tmp_path / "file").write_text("mine")
    with pytest.raises(ValueError, match="file is a file"):
        dissect(GENERATOR, SEGMENTER, folder=tmp_path / "file", **WANTED)


@contextmanager
def lock_in_another_thread(folder: Path) -> Iterator[None]:
    """Hold the lock of a folder in another thread."""
    locked, done = threading.Event(), threading.Event()

    def hold() -> None:
        with lock_folder(folder):
            locked.set()
            done.wait()

    thread = threading.Thread(target=hold)
    thread.start()
    locked.wait()
    try:
        yield
    finally:
        done.set()
        thread.join()


def test_shards_that_are_not_the_whole_are_refused(tmp_path: Path) -> None:
    folders = [tmp_path / str(index) for index in (1, 2, 3)]
    for index, folder in enumerate(folders, 1):
        _count_shard(GENERATOR, SEGMENTER, folder, (index, 3), **WANTED)
    for chosen, message in (
        ([0, 2], "samples 32 to 44 do not follow samples 0 to 15; name each shard exactly once"),
        ([0, 1], "the shards cover samples 0 to 31 of 45"),
        ([1, 2], "the shards cover samples 16 to 44 of 45"),
        ([0, 1, 1, 2], "do not follow"),
    ):
        with pytest.raises(ValueError, match=message):
            merge_shards([folders[index] for index in chosen])
    with pytest.raises(ValueError, match="pass the folders"):
        merge_shards([])
    with pytest.raises(FileNotFoundError, match="nowhere"):
        merge_shards([tmp_path / "nowhere"])
    (tmp_path / "done").mkdir()
    (tmp_path / "done/dissection.safetensors").write_bytes(b"")
    with pytest.raises(FileNotFoundError, match=r"done holds a finished dissection .* gandissect report"):
        merge_shards([folders[0], tmp_path / "done"])
    with pytest.raises(ValueError, match="cover samples 0 to 15, not 0 to 23"):
        _count_shard(GENERATOR, SEGMENTER, folders[0], (1, 2), **WANTED)
    for shard in ((0, 2), (3, 2), (1, 0)):
        with pytest.raises(ValueError, match="shard must be i/n with 1 <= i <= n"):
            _count_shard(GENERATOR, SEGMENTER, folders[0], shard, **WANTED)


def test_a_shard_that_is_not_finished_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passes, "SAVE_SECONDS", 0.0)
    _count_shard(GENERATOR, SEGMENTER, tmp_path / "1", (1, 2), **WANTED)
    with pytest.raises(ArithmeticError):
        _count_shard(GENERATOR, Failing(10), tmp_path / "2", (2, 2), **WANTED)
    with pytest.raises(ValueError, match="samples 32 to 44 have not been counted; finish that shard first"):
        merge_shards([tmp_path / "1", tmp_path / "2"])


def test_counts_that_no_file_may_hold_are_refused_at_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tally, "MAX_FILE_BYTES", 2**16)
    with pytest.raises(ValueError, match=r"the counts take 0\.\d GiB, but a file .* dissect fewer layers at a time"):
        dissect(GENERATOR, Failing(1), folder=tmp_path, **WANTED)
    dissect(GENERATOR, SEGMENTER, **WANTED)  # no file, no limit


def test_damaged_counts_are_refused(tmp_path: Path) -> None:
    path = _count_shard(GENERATOR, SEGMENTER, tmp_path, (1, 1), **WANTED)
    good = path.read_bytes()
    header_end = 8 + int.from_bytes(good[:8], "little")
    for length in (0, 8, header_end, len(good) - 1):
        path.write_bytes(good[:length])
        with pytest.raises(ValueError, match=r"tally\.safetensors"):
            merge_shards([tmp_path])
    changes: list[Callable[[dict[str, torch.Tensor], Any], object]] = [
        lambda t, v: t.pop("layers.layer1.own"),
        lambda t, v: t.update({"layers.layer1.own": t["layers.layer1.own"][:1].clone()}),
        lambda t, v: t["layers.layer1.edges"][0, 3].add_(1),
        lambda t, v: t.pop("layers.layer2.level_own"),
        lambda t, v: t.update({"layers.layer2.levels": t["layers.layer2.levels"][:, :3].clone()}),
        lambda t, v: t.update({"layers.layer1.low": t["layers.layer1.low"].float()}),
        lambda t, v: t.update({"layers.layer2.high": t["layers.layer2.high"][:2].clone()}),
        lambda t, v: v.update(seen=46),
        lambda t, v: v.update(part=[-4, 45]),
        lambda t, v: v["layers"].pop("layer1"),
        lambda t, v: v["plan"]["layers"].clear(),
        lambda t, v: v["plan"].update(batch_size=3),
        lambda t, v: v["plan"].update(label_size=[0, 16]),
    ]
    for change in changes:
        path.write_bytes(good)
        tensors, header = load_tensors(path, "gandissect.SavedTally", VERSION)
        change(tensors, header["value"])
        save_tensors(path, tensors, header, overwrite=True)
        with pytest.raises(ValueError, match=r"tally\.safetensors"):
            Tally.load(path)


def _moved(counts: torch.Tensor) -> None:
    """Move counts from the first concept to the second until the first is negative; sums stay the same."""
    amount = int(counts.max()) + 1
    counts.select(-1, 0)[(0,) * (counts.ndim - 1)] -= amount
    counts.select(-1, 1)[(0,) * (counts.ndim - 1)] += amount


LAYER_SAYS = "counts of 'layer2' contradict each other"
WRONG: dict[str, tuple[Callable[[Tally, LayerCount], object], str]] = {
    "labels below zero": (lambda t, _: _moved(t.labels.labels), "the label counts do not match 45 samples"),
    "a label too many": (lambda t, _: t.labels.labels[0, 1].add_(1), "the label counts do not match 45 samples"),
    "time below zero": (lambda t, _: setattr(t, "seconds", -0.5), "seconds must be finite and at least 0; got -0.5"),
    "time without end": (
        lambda t, _: setattr(t, "seconds", float("inf")),
        "seconds must be finite and at least 0; got inf",
    ),
    "time unknown": (
        lambda t, _: setattr(t, "seconds", float("nan")),
        "seconds must be finite and at least 0; got nan",
    ),
    "a bracket upside down": (lambda _, c: c._brackets.low[0].copy_(c._brackets.high[0] + 1), LAYER_SAYS),
    "levels that fall": (
        lambda _, c: c.curve.levels[0].copy_(c.curve.levels[0].flip(0) - torch.arange(33)),
        LAYER_SAYS,
    ),
    "levels without end": (lambda _, c: c.curve.levels[0, -1].fill_(float("inf")), LAYER_SAYS),
    "own below zero": (lambda _, c: _moved(c._binned.counts[0]), LAYER_SAYS),
    "exchanged below zero": (lambda _, c: _moved(c._binned.counts[1]), LAYER_SAYS),
    "an own one too many": (lambda _, c: c._binned.counts[0][0, 0, 0, 0].add_(1), LAYER_SAYS),
    "own ones of levels below zero": (lambda _, c: _moved(c.curve.level_own), LAYER_SAYS),
    "exchanged ones of levels below zero": (lambda _, c: _moved(c.curve.level_exchanged), LAYER_SAYS),
    "an own one of a level too many": (lambda _, c: c.curve.level_own[0, 0, 0, 0].add_(1), LAYER_SAYS),
}


@pytest.fixture(scope="module")
def counted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _count_shard(GENERATOR, SEGMENTER, tmp_path_factory.mktemp("counted"), (1, 1), **WANTED)


@pytest.mark.parametrize(("change", "message"), WRONG.values(), ids=WRONG.keys())
def test_counts_that_cannot_be_are_refused_each_by_itself(
    change: Callable[[Tally, LayerCount], object], message: str, counted: Path
) -> None:
    found = Tally.load(counted)
    found.check_counts()
    change(found, found.layers["layer2"])
    with pytest.raises(ValueError, match=message):
        found.check_counts()


def test_units_whose_threshold_was_missed_get_the_nearest_and_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from gandissect.dissection.counting import pilot

    monkeypatch.setattr(pilot, "MOST_SPREAD", 1.0)
    monkeypatch.setattr(pilot, "LEAST_SPREAD", 1.0)
    monkeypatch.setattr(pilot, "PILOT_SAMPLES", (1, 1))
    from test_dissection import Brightness, _generator

    generator, wanted = _generator(), {**WANTED, "num_samples": 40}
    _count_shard(generator, Brightness(), tmp_path, (1, 1), **wanted)
    merged = merge_shards([tmp_path])
    assert "have the nearest threshold that was counted" in caplog.text
    exact = dissect(generator, Brightness(), **wanted)
    _same(merge_shards([tmp_path], (generator, Brightness()), progress=False), exact)
    with pytest.raises(ValueError, match="the shards' generator belongs to"):
        merge_shards([tmp_path], (PlantedGenerator(size=16, cells=8), Brightness()))
    z = generator.sample_z(40)
    for layer, right in zip(merged, exact, strict=True):
        from gandissect.inference.upsampling import upsample

        values = upsample(generator.head(z, layer.name), (16, 16)).transpose(0, 1).flatten(1)
        assert torch.equal((values > layer.thresholds[:, None]).sum(1), layer.unit_area)
        assert (right.unit_area <= 0.05 * 40 * 256).all()


@pytest.mark.parametrize("num_concepts", [127, 128, 32767])
def test_a_spool_gives_back_the_label_maps_in_any_order(num_concepts: int) -> None:
    draw = torch.Generator().manual_seed(0)
    blocks = {range(4): 4, range(8, 12): 4, range(4, 8): 4, range(12, 13): 1}
    maps = {block: torch.randint(-1, num_concepts, (n, 2, 5, 3), generator=draw) for block, n in blocks.items()}
    with LabelMapCache((2, 5, 3), num_concepts) as spool:
        for block, labels in maps.items():
            assert not spool.holds(range(13))
            spool.add(block, labels)
        assert spool.holds(range(13))
        for block in sorted(maps, key=lambda each: -each.start):
            assert torch.equal(spool.labels(block), maps[block])
        with pytest.raises(KeyError):
            spool.labels(range(2))


@pytest.mark.parametrize("seed", range(5))
def test_thumbnails_are_those_of_the_best_samples_however_often_they_are_read(seed: int) -> None:
    draw = torch.Generator().manual_seed(seed)
    peaks, images = torch.rand(60, 4, generator=draw), torch.rand(60, 3, 2, 2, generator=draw) * 2 - 1
    top, pictures = TopSamples(4, (1, 1), 3), ThumbnailCollector((2, 2), 12)
    for start in torch.randperm(12, generator=draw).tolist():
        block = range(5 * start, 5 * start + 5)
        top.update(block, peaks[block.start : block.stop, :, None, None], peaks[block.start : block.stop])
        pictures.update(block, images[block.start : block.stop], [top])
        if torch.rand((), generator=draw) < 0.5:
            pictures.compute([top])
    found = pictures.compute([top])
    wanted = sorted({index for unit in peaks.T for index in unit.argsort(descending=True)[:3].tolist()})
    assert found.samples.tolist() == wanted
    assert torch.equal(found.pixels, ((images[wanted] + 1) * 127.5).round().byte())
