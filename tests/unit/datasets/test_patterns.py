"""Patterns of file names choose pictures of a folder."""

from __future__ import annotations

from fnmatch import fnmatchcase
from pathlib import Path

import pytest
from hypothesis import given, settings, strategies as st
from PIL import Image

from segmenters.datasets import Photos, check_specs, open_pictures, open_source
from segmenters.datasets.specs import FolderSpec, split_folder

NAMES = ("0001TP_1", "0001TP_2", "0006R0_1", "Seq05VD_1", "Seq05VD_2")


@pytest.fixture
def frames(tmp_path: Path) -> Path:
    folder = tmp_path / "frames"
    folder.mkdir()
    for name in NAMES:
        Image.new("RGB", (16, 16)).save(folder / f"{name}.png")
    (folder / "some.txt").write_text("0001TP_2\nSeq05VD_1\n")
    return folder


@pytest.mark.parametrize(
    ("part", "names"),
    [
        ("@0001TP*", NAMES[:2]),
        ("@!0001TP*", NAMES[2:]),
        ("@*_1*", (NAMES[0], NAMES[2], NAMES[3])),
        ("@[!0]*", NAMES[3:]),
        ("@some@Seq*", NAMES[3:4]),
        ("@some@!Seq*", NAMES[1:2]),
        ("@some", (NAMES[1], NAMES[3])),
    ],
)
def test_a_pattern_chooses_files(frames: Path, part: str, names: tuple[str, ...]) -> None:
    source = open_source(f"{frames}{part}", 16)
    assert isinstance(source, Photos)
    assert source.names == tuple(f"{name}.png" for name in names)
    assert repr(source).startswith(f"Photos('{frames}{part}'")


def test_a_pattern_without_a_split_leaves_pictures_to_hold_out(frames: Path) -> None:
    train, held_out = open_pictures([f"{frames}@*_*"], 16, 0.5)
    assert held_out is not None and len(train) + len(held_out) == 5
    train, held_out = open_pictures([f"dusk={frames}@some@0001*", f"day={frames}@some@!0001*"], 16)
    assert held_out is None and train.name == "dusk=frames/some (0001*) + day=frames/some (!0001*)"


@settings(max_examples=40, deadline=None)
@given(st.text("01TPRSeq_*?", min_size=1, max_size=6).filter(lambda text: set(text) & set("*?")))
def test_a_pattern_and_its_negation_divide_the_pictures(tmp_path_factory: pytest.TempPathFactory, pattern: str) -> None:
    folder = tmp_path_factory.getbasetemp() / "divided"
    folder.mkdir(exist_ok=True)
    for name in NAMES:
        (folder / f"{name}.png").exists() or Image.new("RGB", (16, 16)).save(folder / f"{name}.png")
    expected = {f"{name}.png" for name in NAMES if fnmatchcase(f"{name}.png", pattern)}
    for sign, chosen in (("", expected), ("!", {f"{name}.png" for name in NAMES} - expected)):
        if chosen:
            assert set(Photos(folder, 16, pattern=sign + pattern).names) == chosen
        else:
            with pytest.raises(ValueError, match="divided must have pictures whose names match"):
                Photos(folder, 16, pattern=sign + pattern)


def test_the_parts_of_a_folder(tmp_path: Path) -> None:
    assert split_folder("photos") == FolderSpec(Path("photos"))
    assert split_folder("photos@train") == FolderSpec(Path("photos"), "train")
    assert split_folder("photos@train@!a*") == FolderSpec(Path("photos"), "train", "!a*")
    odd = tmp_path / "a@b*"
    odd.mkdir()
    assert split_folder(str(odd)) == FolderSpec(odd)
    assert split_folder(f"{odd}@c*") == FolderSpec(odd, None, "c*")
    with pytest.raises(ValueError, match=r"a folder must have one pattern of names; got a\* and b\*: 'photos@a\*@b\*'"):
        split_folder("photos@a*@b*")


def test_patterns_that_choose_nothing_are_refused(frames: Path) -> None:
    for use in (lambda spec: open_source(spec, 16), lambda spec: check_specs([spec])):
        with pytest.raises(ValueError, match=r"frames must have pictures whose names match '0002\*'; got none among 5"):
            use(f"{frames}@0002*")
