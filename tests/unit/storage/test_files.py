from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings, strategies as st

from gandissect.storage.files import atomic_path, hash_tensors, load_tensors, read_json, save_tensors, write_json

HEADER = {"format": "test", "version": 2, "name": "häuser"}
TENSORS = {"a": torch.arange(6.0).reshape(2, 3), "b": torch.tensor([True, False]), "c": torch.tensor(7)}


def test_tensors_and_header_come_back(tmp_path: Path) -> None:
    save_tensors(tmp_path / "x.safetensors", TENSORS, HEADER)
    tensors, header = load_tensors(tmp_path / "x.safetensors", "test", 2)
    assert header == HEADER
    assert all(
        torch.equal(tensors[name], value) and tensors[name].dtype == value.dtype for name, value in TENSORS.items()
    )


def test_a_failure_while_writing_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    write_json(path, {"old": 1})
    with pytest.raises(RuntimeError), atomic_path(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert read_json(path) == {"old": 1}
    assert os.listdir(tmp_path) == ["x.json"]  # noqa: PTH208


def test_a_file_in_the_place_of_the_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("mine")
    with pytest.raises(ValueError, match="taken is a file; choose another folder"):
        write_json(tmp_path / "taken" / "x.json", {})
    assert (tmp_path / "taken").read_text() == "mine"


def test_numbers_that_json_does_not_have_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "x.json", {"a": float("nan")})
    assert not (tmp_path / "x.json").exists()


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_a_damaged_file_is_named_and_never_crashes(tmp_path: Path, data: st.DataObject) -> None:
    path = tmp_path / "x.safetensors"
    save_tensors(path, TENSORS, HEADER, overwrite=True)
    whole = bytearray(path.read_bytes())
    if data.draw(st.booleans()):
        damaged = whole[: data.draw(st.integers(0, len(whole) - 1))]
    else:
        damaged = bytearray(whole)
        damaged[data.draw(st.integers(0, len(whole) - 1))] ^= data.draw(st.integers(1, 255))
    path.write_bytes(damaged)
    try:
        tensors, _ = load_tensors(path, "test", 2)
    except ValueError as error:
        assert str(path) in str(error)
    else:  # a flipped bit of a value, or of a name, is another valid file
        assert len(tensors) == len(TENSORS)


@pytest.mark.parametrize(("wanted", "version"), [("other", 2), ("test", 1)])
def test_another_format_or_a_newer_version_is_refused(tmp_path: Path, wanted: str, version: int) -> None:
    save_tensors(tmp_path / "x.safetensors", TENSORS, HEADER)
    with pytest.raises(ValueError, match=r"x\.safetensors"):
        load_tensors(tmp_path / "x.safetensors", wanted, version)


def test_missing_files_folders_and_foreign_json(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="absent"):
        read_json(tmp_path / "absent")
    with pytest.raises(ValueError, match="not a file"):
        read_json(tmp_path)
    (tmp_path / "x").write_text("[" * 100_000)
    with pytest.raises(ValueError, match="not JSON"):
        read_json(tmp_path / "x")


def test_the_hash_sees_values_shapes_dtypes_and_header_but_not_order() -> None:
    base = hash_tensors(TENSORS, HEADER)
    assert base == hash_tensors(dict(reversed(TENSORS.items())), json.loads(json.dumps(HEADER)))
    variants = [
        hash_tensors({**TENSORS, "a": TENSORS["a"] + 1}, HEADER),
        hash_tensors({**TENSORS, "a": TENSORS["a"].reshape(3, 2)}, HEADER),
        hash_tensors({**TENSORS, "c": torch.tensor(7, dtype=torch.int32)}, HEADER),
        hash_tensors(TENSORS, {**HEADER, "version": 3}),
    ]
    assert len({base, *variants}) == 5


def test_threads_that_write_one_file_do_not_disturb_each_other(tmp_path: Path) -> None:
    """Two writers are inside at once; both succeed, and the later one's text stays."""
    path = tmp_path / "x.txt"
    with atomic_path(path, overwrite=True) as first:
        with atomic_path(path, overwrite=True) as second:
            second.write_text("second")
        first.write_text("first")
    assert path.read_text() == "first"
    assert os.listdir(tmp_path) == ["x.txt"]  # noqa: PTH208


def test_a_large_foreign_file_is_refused_by_its_first_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x.safetensors"
    with path.open("wb") as file:
        file.write(int.to_bytes(2**40, 8, "little"))
        file.truncate(7 * 2**30)  # sparse
    monkeypatch.setattr(Path, "read_bytes", lambda self: pytest.fail("the whole file is read"))
    with pytest.raises(ValueError, match=r"x\.safetensors is not a complete safetensors file"):
        load_tensors(path, "test", 2)
    save_tensors(path, TENSORS, HEADER, overwrite=True)
    with pytest.raises(ValueError, match="must be 'other'; got 'test'"):
        load_tensors(path, "other", 2)


def test_headers_need_a_format_and_a_version_from_one_on(tmp_path: Path) -> None:
    for header in ({"format": "test"}, {"version": 1}, {"format": 3, "version": 1}, {"format": "test", "version": "1"}):
        with pytest.raises(ValueError, match=r"format .* and a version"):
            save_tensors(tmp_path / "x.safetensors", TENSORS, header)
    save_tensors(tmp_path / "x.safetensors", TENSORS, {"format": "test", "version": 0}, overwrite=True)
    with pytest.raises(ValueError, match="must be 1 to 2; got"):
        load_tensors(tmp_path / "x.safetensors", "test", 2)


def test_a_file_that_is_too_large_is_not_read_and_folders_are_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "new" / "folders" / "x.json"
    write_json(path, {"name": "häuser"})
    assert "häuser" in path.read_text(encoding="utf-8")
    monkeypatch.setattr("gandissect.storage.files.MAX_FILE_BYTES", 10)
    with pytest.raises(ValueError, match=r"x\.json must have at most 10 bytes; got \d+"):
        read_json(path)


def test_tensors_that_share_memory_or_are_views_are_kept_whole(tmp_path: Path) -> None:
    base = torch.arange(6.0).reshape(2, 3)
    tensors = {"base": base, "same": base, "turned": base.T}
    save_tensors(tmp_path / "x.safetensors", tensors, HEADER)
    loaded, _ = load_tensors(tmp_path / "x.safetensors", "test", 2)
    assert all(torch.equal(loaded[name], value) for name, value in tensors.items())
    assert hash_tensors(tensors, {"a": 1, "b": 2}) == hash_tensors(tensors, {"b": 2, "a": 1})
