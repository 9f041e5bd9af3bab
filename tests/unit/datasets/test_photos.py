"""Photographs come in every mode and break in every way; each oracle here is the array that was written."""

from __future__ import annotations

import json
import re
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from gandissect.core.sampling import make_rng
from gandissect.core.types import Concept
from segmenters.datasets import Photos, decoding
from segmenters.datasets.combining import concat, groups_of, remap

CLASSES = [{"index": 0, "name": "rest"}, {"index": 2, "name": "sky", "color": [1, 2, 3]}, {"index": 7, "name": "road"}]


def noise(height: int = 12, width: int = 12, channels: int = 3, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, channels), np.uint8)


def only(folder: Path, size: int = 12) -> np.ndarray:
    """The single picture of a bare folder, not resized."""
    photos = Photos(folder, size, margin=1.0)
    assert len(photos) == 1
    return photos.batch([0]).images[0].permute(1, 2, 0).numpy()


def labeled(folder: Path, names: tuple[str, ...] = ("a", "b", "c"), side: int = 12) -> Path:
    """A labeled folder whose label map of picture n is the index 0, 2, 7 by column thirds."""
    (folder / "images").mkdir(parents=True)
    (folder / "labels").mkdir()
    (folder / "classes.json").write_text(json.dumps(CLASSES))
    for seed, name in enumerate(names):
        Image.fromarray(noise(side, side, seed=seed)).save(folder / "images" / f"{name}.png")
        Image.fromarray(thirds(side)).save(folder / "labels" / f"{name}.png")
    return folder


def thirds(side: int = 12) -> np.ndarray:
    return np.repeat(np.array([0, 2, 7], np.uint8), side // 3)[None].repeat(side, 0)


def test_a_plain_picture_comes_back_as_it_was_written(tmp_path):
    Image.fromarray(noise()).save(tmp_path / "x.png")
    assert np.array_equal(only(tmp_path), noise())


def test_gray_is_repeated_over_the_colors(tmp_path):
    Image.fromarray(noise()[..., 0]).save(tmp_path / "x.png")
    assert np.array_equal(only(tmp_path), noise()[..., :1].repeat(3, 2))


def test_sixteen_bits_are_divided_by_257(tmp_path):
    values = np.linspace(0, 65535, 144).round().astype(np.uint16).reshape(12, 12)
    Image.fromarray(values).save(tmp_path / "x.png")
    assert np.array_equal(only(tmp_path)[..., 1], np.round(values / 257).astype(np.uint8))


def test_transparency_is_laid_on_white(tmp_path):
    rgba = noise(channels=4)
    rgba[..., 3] = np.repeat([0, 128, 255], 4)[None]
    Image.fromarray(rgba).save(tmp_path / "x.png")
    alpha = rgba[..., 3:].astype(float) / 255
    expected = rgba[..., :3] * alpha + 255 * (1 - alpha)
    assert np.abs(only(tmp_path) - expected).max() <= 1


def test_a_palette_with_transparency_is_laid_on_white(tmp_path):
    picture = Image.fromarray(np.repeat([0, 1], 72).astype(np.uint8).reshape(12, 12), "L").convert("P")
    picture.putpalette([10, 20, 30, 200, 100, 0] + [0] * 762)
    picture.save(tmp_path / "x.png", transparency=1)
    found = only(tmp_path)
    assert found[0, 0].tolist() == [10, 20, 30]
    assert found[-1, 0].tolist() == [255, 255, 255]


def test_cmyk_jpeg_is_converted(tmp_path):
    Image.new("CMYK", (12, 12), (255, 0, 0, 0)).save(tmp_path / "x.jpg", quality=100)
    assert np.abs(only(tmp_path).astype(int) - [0, 255, 255]).max() <= 4


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_turns_the_picture_upright(tmp_path, orientation):
    upright = np.zeros((12, 12, 3), np.uint8)
    upright[:6, :6], upright[:6, 6:], upright[6:, :6] = (255, 0, 0), (0, 255, 0), (0, 0, 255)
    # how the picture is stored so that a viewer who obeys the orientation sees it upright (Exif 2.3, tag 274)
    stored = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.transpose(1, 0, 2),
        6: np.rot90(upright, 1),
        7: upright[::-1, ::-1].transpose(1, 0, 2),
        8: np.rot90(upright, -1),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(np.ascontiguousarray(stored)).save(tmp_path / "x.png", exif=exif)
    assert np.array_equal(only(tmp_path), upright)


def test_labels_match_the_picture_upright_and_are_not_turned_again(tmp_path):
    folder = labeled(tmp_path / "d", ("a",))
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(noise(24, 12)).save(folder / "images" / "a.png", exif=exif)  # 24 wide, 12 high once upright
    wide = np.repeat(thirds(12), 2, 1)
    Image.fromarray(wide).save(folder / "labels" / "a.png")
    labels = Photos(folder, 12, margin=1.0).batch([0]).labels
    assert labels is not None
    table = {0: 0, 2: 1, 7: 2}
    assert labels[0].tolist() == [[table[v] for v in row] for row in wide[:, 6:18].tolist()]
    Image.fromarray(wide.T.copy()).save(folder / "labels" / "a.png")
    with pytest.raises(ValueError, match=r"a\.png is 12 x 24, but its picture is 24 x 12 .*EXIF"):
        Photos(folder, 12)


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_a_truncated_picture_is_named(tmp_path, suffix):
    Image.fromarray(noise(64, 64)).save(tmp_path / f"good{suffix}")
    data = (tmp_path / f"good{suffix}").read_bytes()
    (tmp_path / f"cut{suffix}").write_bytes(data[: len(data) // 2])
    with pytest.raises(ValueError, match=rf"cut\{suffix} is broken or truncated"):
        Photos(tmp_path, 32)


@pytest.mark.parametrize("content", [b"", b"hello, this is text", b"\x89PNG\r\n\x1a\n"])
def test_what_is_no_picture_is_named(tmp_path, content):
    (tmp_path / "odd.png").write_bytes(content)
    with pytest.raises(ValueError, match=r"odd\.png is"):
        Photos(tmp_path, 8)


def test_a_decompression_bomb_is_refused_before_it_is_decoded(tmp_path, monkeypatch):
    monkeypatch.setattr(decoding, "MAX_PIXELS", 100)
    Image.fromarray(noise()).save(tmp_path / "big.png")
    with pytest.raises(ValueError, match=r"big\.png has 12 x 12 pixels, above the limit of 100"):
        Photos(tmp_path, 8)


def test_sub_folders_and_names_with_spaces_are_found_in_order(tmp_path):
    for name in ("b/second one.png", "a/first.PNG", "note.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("not read") if name.endswith("txt") else Image.fromarray(noise()).save(
            tmp_path / name
        )
    photos = Photos(tmp_path, 8)
    assert photos.names == ("a/first.PNG", "b/second one.png")
    assert photos.concepts == () and photos.batch([0]).labels is None


def test_labels_are_numbered_without_gaps_and_left_out_where_asked(tmp_path):
    photos = Photos(labeled(tmp_path / "d"), 12, margin=1.0, unlabeled=["rest"])
    assert [(c.index, c.name) for c in photos.concepts] == [(0, "sky"), (1, "road")]
    assert photos.concepts[0].color == (1, 2, 3)
    labels = photos.batch([0, 2]).labels
    assert labels is not None and labels.dtype == torch.int64
    assert labels[1, 5].tolist() == [-1] * 4 + [0] * 4 + [1] * 4


def test_customary_names_of_nothing_are_unlabeled_unless_asked_for(tmp_path):
    folder = labeled(tmp_path / "d", ("a",))
    (folder / "classes.json").write_text(json.dumps([CLASSES[0], {"index": 2, "name": "void"}, CLASSES[2]]))
    assert [concept.name for concept in Photos(folder, 12).concepts] == ["rest", "road"]
    assert [concept.name for concept in Photos(folder, 12, unlabeled=()).concepts] == ["rest", "void", "road"]


def test_a_label_palette_does_not_matter(tmp_path):
    folder = labeled(tmp_path / "d", ("a",))
    colored = Image.fromarray(thirds(), "L").convert("P")
    colored.putdata(thirds().ravel().tolist())
    colored.putpalette([200, 100, 50] * 256)
    colored.save(folder / "labels" / "a.png")
    labels = Photos(folder, 12, margin=1.0).batch([0]).labels
    assert labels is not None and labels[0, 0].tolist() == [0] * 4 + [1] * 4 + [2] * 4


@pytest.mark.parametrize("mode", ["L", "P"])
@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_label_pngs_of_few_bits_hold_the_index_itself(tmp_path, mode, bits):
    count = min(2**bits, 16)
    folder = labeled(tmp_path / "d", ("a",), side=16)
    (folder / "classes.json").write_text(json.dumps([{"index": index, "name": str(index)} for index in range(256)]))
    indices = np.arange(256).reshape(16, 16) % count
    (folder / "labels" / "a.png").write_bytes(png_of_indices(indices, bits, palette=mode == "P"))
    labels = Photos(folder, 16, margin=1.0).batch([0]).labels
    assert labels is not None and np.array_equal(labels[0].numpy(), indices)


def png_of_indices(indices: np.ndarray, bits: int, palette: bool) -> bytes:
    """A PNG as its specification says it: signature, IHDR, PLTE, IDAT (rows of packed values, filter 0), IEND."""
    height, width = indices.shape
    packed = ["".join(f"{value:0{bits}b}" for value in row) for row in indices]
    rows = b"".join(b"\0" + int(row, 2).to_bytes(len(row) // 8, "big") for row in packed)
    header = struct.pack(">IIBBBBB", width, height, bits, 3 if palette else 0, 0, 0, 0)
    parts = [(b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    if palette:
        parts.insert(1, (b"PLTE", bytes(range(2**bits)) * 3))
    chunks = [
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in parts
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def test_nearest_resizing_invents_no_label_and_lanczos_keeps_the_mean(tmp_path):
    folder = labeled(tmp_path / "d", ("a",), side=60)
    batch = Photos(folder, 20, margin=1.0).batch([0])
    assert batch.labels is not None and batch.images.shape == (1, 3, 20, 20)
    assert set(batch.labels.unique().tolist()) == {0, 1, 2}
    assert abs(batch.images.float().mean().item() - noise(60, 60).mean()) < 2


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda d: Image.fromarray(thirds() + 1).save(d / "labels/a.png"), r"a\.png has the class index 1, which"),
        (
            lambda d: Image.fromarray(thirds(15)).save(d / "labels/a.png"),
            r"a\.png is 15 x 15, but its picture is 12 x 12",
        ),
        (
            lambda d: Image.fromarray(noise()).save(d / "labels/a.png"),
            r"a\.png must have one index per pixel .* \(mode RGB\)",
        ),
        (lambda d: (d / "labels/a.png").unlink(), r"a\.png has no labels: .*missing"),
        (lambda d: (d / "classes.json").write_text("[{]"), r"classes\.json is not JSON"),
        (lambda d: (d / "classes.json").write_text("[]"), r"classes\.json must list at least one class"),
        (lambda d: (d / "classes.json").write_text('[{"name": "sky"}]'), r"classes\.json must be a list of entries"),
        (lambda d: (d / "classes.json").write_text(json.dumps(CLASSES[:1] * 2)), r"contains the same index twice"),
        (lambda d: Image.fromarray(noise()).save(d / "images/a.jpg"), r"a\.jpg and .*a\.png must not share a name"),
    ],
)
def test_what_does_not_fit_is_named(tmp_path, damage, message):
    folder = labeled(tmp_path / "d")
    damage(folder)
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        Photos(folder, 12, "train" if (folder / "train.txt").exists() else None)


def test_splits_choose_pictures_and_their_errors_help(tmp_path):
    folder = labeled(tmp_path / "d")
    (folder / "train.txt").write_text("c\n\na.png\n")
    (folder / "odd.txt").write_text("a\nzebra\n")
    photos = Photos(folder, 12, "train")
    assert photos.names == ("images/c.png", "images/a.png") and photos.name == "d/train"
    with pytest.raises(FileNotFoundError, match="did you mean 'train'"):
        Photos(folder, 12, "trian")
    with pytest.raises(FileNotFoundError, match=r"odd\.txt names 'zebra'"):
        Photos(folder, 12, "odd")
    with pytest.raises(ValueError, match="unknown class 'skye'; did you mean 'sky'"):
        Photos(folder, 12, unlabeled=["skye"])
    with pytest.raises(FileNotFoundError, match="no folder"):
        Photos(tmp_path / "nowhere", 12)


def test_training_views_are_crops_of_the_picture_and_depend_on_the_rng_only(tmp_path):
    Image.fromarray(noise(16, 20)).save(tmp_path / "x.png")
    photos = Photos(tmp_path, 12, margin=16 / 12)
    views = photos.batch([0] * 60, make_rng(3, "v")).images
    assert torch.equal(views, photos.batch([0] * 60, make_rng(3, "v")).images)
    whole = torch.from_numpy(noise(16, 20)).permute(2, 0, 1)
    crops = [whole[:, top : top + 12, left : left + 12] for top in range(5) for left in range(9)]
    allowed = {crop.numpy().tobytes() for part in crops for crop in (part.contiguous(), part.flip(-1).contiguous())}
    found = {view.numpy().tobytes() for view in views}
    assert found <= allowed and len(found) > 30
    assert torch.equal(photos.batch([0]).images[0], whole[:, 2:14, 4:16])


def test_decoding_on_demand_gives_the_same_pictures(tmp_path):
    folder = labeled(tmp_path / "d", side=24)
    eager, lazy = Photos(folder, 8), Photos(folder, 8, max_resident_bytes=100)
    assert eager.resident and not lazy.resident
    one, two = (p.batch([0, 1, 2], make_rng(0, "v")) for p in (eager, lazy))
    assert torch.equal(one.images, two.images)
    assert one.labels is not None and two.labels is not None and torch.equal(one.labels, two.labels)


def test_a_picture_stays_on_its_side_when_others_are_added(tmp_path):
    sides = {}
    for count in (40, 60):
        for index in range(count):
            Image.fromarray(noise(4, 4, seed=index)).save(tmp_path / f"{index}.png")
        photos = Photos(tmp_path, 4, margin=1.0)
        kept, out = photos.hold_out(0.25, seed=1)
        assert len(kept) + len(out) == count and 0.1 * count < len(out) < 0.45 * count
        sides[count] = {out.batch([i]).images.numpy().tobytes() for i in range(len(out))}
        assert sides[count].isdisjoint({kept.batch([i]).images.numpy().tobytes() for i in range(len(kept))})
    assert sides[40] <= sides[60]
    for share in (0.0, 1.0, float("nan")):
        with pytest.raises(
            ValueError, match=rf"share held out \(--hold-out\) must be a number in \(0, 1\); got {share}"
        ):
            photos.hold_out(share)


def test_concat_and_remap(tmp_path):
    first = Photos(labeled(tmp_path / "one"), 12, margin=1.0)
    target = (Concept(0, "ground", (0, 0, 0)), Concept(1, "air", (1, 1, 1)), Concept(2, "house", (2, 2, 2)))
    renamed = remap(first, target, {"sky": "air", "rest": ("ground", "house")})
    labels = renamed.batch([0]).labels
    assert labels is not None and labels[0, 0].tolist() == [3] * 4 + [1] * 4 + [-1] * 4
    assert groups_of(renamed) == ((0, 2),)
    both = concat([renamed, remap(first, target, {"road": "ground"})])
    assert len(both) == 6 and groups_of(both) == ((0, 2),)
    joined = both.batch([5, 0])
    assert joined.labels is not None and joined.labels[0, 0].tolist() == [-1] * 8 + [0] * 4
    assert torch.equal(joined.images[0], first.batch([2]).images[0])
    with pytest.raises(ValueError, match="differ in concepts"):
        concat([first, renamed])
    with pytest.raises(KeyError, match="did you mean 'sky'"):
        remap(first, target, {"skyy": "air"})
    with pytest.raises(KeyError, match="unknown concept 'cloud'"):
        remap(first, target, {"sky": "cloud"})


@pytest.mark.parametrize("indices", [[-1], [3], []])
def test_an_index_out_of_range_is_refused(tmp_path, indices):
    with pytest.raises(IndexError):
        Photos(labeled(tmp_path / "d"), 12).batch(indices)


@pytest.mark.parametrize("arguments", [{"size": 0}, {"size": 8, "margin": 0.5}])
def test_sizes_are_checked(tmp_path, arguments):
    with pytest.raises(ValueError, match=re.compile("size|margin")):
        Photos(labeled(tmp_path / "d"), **arguments)


def test_split_files_and_pictures_from_other_systems(tmp_path):
    folder = labeled(tmp_path)
    (folder / "images" / "._a.png").write_bytes(b"\x00\x05\x16\x07")  # macOS keeps its notes so
    (folder / "some.txt").write_bytes(b"\xef\xbb\xbfb\r\na\r\n")  # and Windows begins a text so
    assert Photos(folder, 12, "some").names == ("images/b.png", "images/a.png")
    (folder / "some.txt").write_bytes(b"\xff\xfe")
    with pytest.raises(ValueError, match=r"some\.txt is not UTF-8"):
        Photos(folder, 12, "some")
    (folder / "classes.json").write_text('[{"index": 0, "name": "a", "color": [0, 0, Infinity]}]')
    with pytest.raises(ValueError, match=r"classes\.json"):
        Photos(folder, 12)


def test_exif_that_cannot_be_read_is_named(tmp_path, monkeypatch):
    def broken(_picture: object) -> None:
        raise struct.error("required argument is not an integer")  # as Pillow does for some damaged tags

    Image.fromarray(noise()).save(tmp_path / "a.jpg")
    monkeypatch.setattr(decoding.ImageOps, "exif_transpose", broken)
    with pytest.raises(ValueError, match=r"a\.jpg is broken"):
        Photos(tmp_path, 12)
