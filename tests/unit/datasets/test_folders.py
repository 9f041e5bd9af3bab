"""Which pictures a folder has: links, hidden and system folders, names from other systems, results of our own."""

from __future__ import annotations

import hashlib
import json
import os
import unicodedata
from pathlib import Path

import pytest
import torch
from PIL import Image

from gandissect.storage.files import save_tensors
from segmenters.datasets import Photos, check_output, list_pictures


def picture(path: Path, shade: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (8, 8), (shade, 0, 0)).save(path)
    return path


def names(root: Path) -> list[str]:
    return [file.relative_to(root).as_posix() for file in list_pictures(root)]


def test_links_to_folders_are_followed_as_other_readers_follow_them(tmp_path: Path) -> None:
    """The oracle is `os.walk`, which follows links where they make no circle."""
    root = tmp_path / "data"
    for name in ("root/own/a.png", "root/b.png", "far/c.png", "far/deep/d.png", "farther/e.png"):
        picture(tmp_path / name.replace("root", "data"))
    (root / "link").symlink_to(tmp_path / "far", target_is_directory=True)
    (tmp_path / "far" / "deep" / "on").symlink_to("../../farther", target_is_directory=True)
    (root / "f.png").symlink_to(tmp_path / "farther" / "e.png")
    walked = [Path(folder, file) for folder, _, files in os.walk(root, followlinks=True) for file in files]
    assert names(root) == sorted(path.relative_to(root).as_posix() for path in walked)
    assert "link/deep/on/e.png" in names(root) and len(walked) == 6
    by_link = tmp_path / "entrance"
    by_link.symlink_to(root, target_is_directory=True)
    assert names(by_link) == names(root)


def test_a_folder_is_entered_once_by_its_own_name_and_never_by_a_link_that_leads_up(tmp_path: Path) -> None:
    root = tmp_path / "data"
    for name in ("data/z/a.png", "other/b.png", "stray.png"):
        picture(tmp_path / name)
    (root / "a").symlink_to("z", target_is_directory=True)
    (root / "self").symlink_to(".", target_is_directory=True)
    (root / "up").symlink_to("..", target_is_directory=True)
    (root / "z" / "top").symlink_to(root, target_is_directory=True)
    (root / "round").symlink_to("round")
    (root / "c").symlink_to(tmp_path / "other", target_is_directory=True)
    (root / "d").symlink_to(tmp_path / "other", target_is_directory=True)
    (tmp_path / "other" / "back").symlink_to(root, target_is_directory=True)
    (tmp_path / "other" / "above").symlink_to(tmp_path, target_is_directory=True)
    assert names(root) == ["c/b.png", "z/a.png"]


@pytest.mark.parametrize(
    "folder",
    [".ipynb_checkpoints", "__MACOSX", "@eaDir", "#recycle", "$RECYCLE.BIN", "lost+found", ".Trash-1000", ".git"],
)
def test_hidden_and_system_folders_are_left_out(tmp_path: Path, folder: str) -> None:
    for name in ("a.png", f"{folder}/a-checkpoint.png", f"sub/{folder}/deep/a.png", ".hidden.png", "._a.png"):
        picture(tmp_path / name)
    assert names(tmp_path) == ["a.png"]
    inside = picture(tmp_path / ".cache" / "photos" / "b.png").parent
    assert names(inside) == ["b.png"], "a folder that is named itself is read, wherever it is"


def test_names_that_systems_spell_in_two_ways_are_one_name(tmp_path: Path) -> None:
    words = [f"{letter}t{letter}-{number:02}" for number, letter in enumerate("àéîõüçñåøÿ" * 5)]
    sides = {}
    for form in ("NFC", "NFD"):
        for word in words:
            picture(tmp_path / form / unicodedata.normalize(form, f"{word}/{word}.png"))
        photos = Photos(tmp_path / form, 8, margin=1.0)
        spelled = [unicodedata.normalize("NFC", name) for name in photos.names]
        kept, out = photos.hold_out(0.4)
        sides[form] = (spelled, [part._indices for part in (kept, out)])
        assert unicodedata.is_normalized(form, "".join(photos.names))
    assert sides["NFC"] == sides["NFD"]


def test_a_picture_of_a_plain_name_is_on_the_side_where_it_was_always(tmp_path: Path) -> None:
    """A training that was begun before goes on with the same pictures: blake2b of the seed, the purpose and the name."""
    for index in range(40):
        picture(tmp_path / f"sub {index % 3}" / f"IMG_{index}.png", index)
    photos = Photos(tmp_path, 8, margin=1.0)
    assert photos.names == tuple(sorted(photos.names, key=lambda name: name.split("/")))

    def share(name: str) -> float:
        digest = hashlib.blake2b(repr((0, "hold out", name)).encode(), digest_size=8).digest()
        return int.from_bytes(digest, "little") / 2**64

    out = photos.hold_out(0.3)[1]
    shades = {int(out.batch([index]).images[0, 0, 0, 0]) for index in range(len(out))}
    expected = {name for name in photos.names if share(name) < 0.3}
    assert shades == {int(name.split("_")[1].removesuffix(".png")) for name in expected}


def test_splits_and_labels_find_names_that_are_spelled_in_another_way(tmp_path: Path) -> None:
    composed, apart = (unicodedata.normalize(form, "façade") for form in ("NFC", "NFD"))
    picture(tmp_path / "images" / f"{apart}.png")
    (tmp_path / "labels").mkdir()
    Image.new("L", (8, 8), 1).save(tmp_path / "labels" / f"{composed}.png")
    (tmp_path / "classes.json").write_text(json.dumps([{"index": 1, "name": "wall"}]))
    (tmp_path / "train.txt").write_text(composed + "\n", encoding="utf-8")
    batch = Photos(tmp_path, 8, "train").batch([0])
    assert batch.labels is not None and not batch.labels.any()
    picture(tmp_path / "images" / f"{composed}.jpg")
    with pytest.raises(ValueError, match="must not share a name"):
        Photos(tmp_path, 8)


def result(folder: Path) -> None:
    """Put a file of our own into a folder."""
    save_tensors(folder / "generator.safetensors", {"weight": torch.zeros(2)}, {"format": "anything", "version": 1})


def test_folders_of_results_are_left_out_and_are_no_data_themselves(tmp_path: Path) -> None:
    for name in ("a.png", "run/samples-00000008.png", "run/more/b.png", "kept/c.png"):
        picture(tmp_path / name)
    assert len(names(tmp_path)) == 4
    result(tmp_path / "run")
    assert names(tmp_path) == ["a.png", "kept/c.png"]
    for path in ("features.safetensors", "kept/cut.safetensors"):
        (tmp_path / path).write_bytes(b"\x08\0\0\0\0\0\0\0{}      ")  # of others, and of nobody
    assert names(tmp_path) == ["a.png", "kept/c.png"]
    with pytest.raises(
        ValueError, match=r"run must be a folder of pictures; it holds results \(generator\.safetensors\)"
    ):
        list_pictures(tmp_path / "run")


def test_results_are_written_apart_from_pictures(tmp_path: Path) -> None:
    data = tmp_path / "data"
    for name in ("a.png", "sub/deep/b.png", "labelled/images/c.png"):
        picture(data / name)
    (data / "labelled" / "classes.json").write_text("[]")
    (tmp_path / "link").symlink_to(data / "sub", target_is_directory=True)
    for out in (data, data / "sub", data / "sub" / "deep", data / "sub" / ".." / "sub", tmp_path / "link"):
        with pytest.raises(ValueError, match="results must be in a folder without pictures; got "):
            check_output(out, ["scenes:10", str(data)])
    for out in (data / "run", data / "sub" / "run", tmp_path, tmp_path / "elsewhere"):
        check_output(out, ["scenes:10", str(data)])
    check_output(data / "labelled", [f"{data / 'labelled'}@train"])
    with pytest.raises(ValueError, match="results must be in"):
        check_output(data / "labelled" / "images", [f"{data / 'labelled'}@train"])
