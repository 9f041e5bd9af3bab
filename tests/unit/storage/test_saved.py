"""What is saved comes back; what is damaged is refused with the file's name."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from jaxtyping import Float32, Int64
from torch import Tensor

from gandissect import Concept, Dissection, dissect
from gandissect.dissection.counting.top_images import pack_masks
from gandissect.dissection.iou import GroupCounts
from gandissect.storage.files import load_tensors, save_tensors
from gandissect.storage.saved import load_result, save_result
from generators import PlantedGenerator
from segmenters.palette import PaletteSegmenter


@pytest.fixture(scope="module")
def dissection() -> Dissection:
    generator = PlantedGenerator(size=16, cells=8)
    return dissect(generator, PaletteSegmenter(generator.concepts), num_samples=12, top_images=2, progress=False)


def test_a_dissection_comes_back_bit_for_bit(dissection: Dissection, tmp_path: Path) -> None:
    path = dissection.save(tmp_path / "runs" / "a")
    assert path == tmp_path / "runs" / "a" / "dissection.safetensors"
    for where in (path, path.parent):
        loaded = Dissection.load(where)
        assert loaded.records() == dissection.records()
        assert loaded.provenance == dissection.provenance
        assert loaded.concepts == dissection.concepts
        assert torch.equal(loaded.thumbnails.pixels, dissection.thumbnails.pixels)
        for mine, theirs in zip(loaded, dissection, strict=True):
            assert torch.equal(mine.iou, theirs.iou)
            assert torch.equal(mine.top.mask(1, 1), theirs.top.mask(1, 1))
            assert mine.num_pixels == theirs.num_pixels


def test_a_file_that_is_named_is_written(dissection: Dissection, tmp_path: Path) -> None:
    path = dissection.save(tmp_path / "runs" / "mine.safetensors")
    assert path == tmp_path / "runs" / "mine.safetensors"
    assert path.is_file()
    assert Dissection.load(path).records() == dissection.records()
    (tmp_path / "folder.safetensors").mkdir()
    assert dissection.save(tmp_path / "folder.safetensors").parent.name == "folder.safetensors"


def test_a_dissection_is_printed_in_a_line(dissection: Dissection) -> None:
    assert repr(dissection) == "Dissection(planted by palette: 12 samples, layers layer1, layer2)"
    many = dissect(PlantedGenerator(32, 8), PaletteSegmenter(PlantedGenerator.concepts), num_samples=40, progress=False)
    assert repr(many["layer2"]) == "LayerDissection('layer2': 6 units, 32 x 32, 5 interpretable)"


def test_records_are_plain(dissection: Dissection) -> None:
    assert json.loads(json.dumps(dissection.records(), allow_nan=False)) == dissection.records()


@dataclass(frozen=True)
class Numbers:
    count: int
    share: float
    shares: tuple[float, ...] = ()


def test_numbers_of_numpy_are_numbers(tmp_path: Path) -> None:
    made = Numbers(np.int64(3), np.float32(0.5), (np.float64(0.25), 2))
    save_result(tmp_path / "x.safetensors", made, 1)
    found = load_result(tmp_path / "x.safetensors", Numbers, 1)
    assert found == Numbers(3, 0.5, (0.25, 2.0))
    assert [type(each) for each in (found.count, found.share, *found.shares)] == [int, float, float, float]


@dataclass(frozen=True)
class Maps:
    plain: Tensor
    labels: Int64[Tensor, "batch H W"]
    noise: tuple[Float32[Tensor, " h"], ...]
    latents: Float32[Tensor, "batch z"] | Float32[Tensor, "batch num_ws w_dim"]
    residual: Float32[Tensor, " h"] | None = None
    region: Float32[Tensor, "h w"] | Float32[Tensor, "batch h w"] | None = None


def test_tensors_with_axes_are_tensors(tmp_path: Path) -> None:
    noise = (torch.zeros(1), torch.ones(1))
    maps = Maps(torch.ones(2), torch.zeros(1, 2, 2).long(), noise, torch.ones(1, 4, 5), torch.ones(3))
    save_result(tmp_path / "x.safetensors", maps, 1)
    loaded = load_result(tmp_path / "x.safetensors", Maps, 1)
    assert loaded.region is None
    for name in ("plain", "labels", "latents", "residual"):
        assert torch.equal(getattr(loaded, name), getattr(maps, name))
    assert [noise_map.tolist() for noise_map in loaded.noise] == [[0.0], [1.0]]


def test_a_tensor_of_one_of_two_shapes_must_be_there(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    save_result(path, Maps(torch.ones(2), torch.zeros(1, 2, 2).long(), (), torch.ones(1, 5)), 1)
    tensors, header = load_tensors(path, "gandissect.Maps", 1)
    del tensors["latents"]
    save_tensors(path, tensors, header, overwrite=True)
    with pytest.raises(ValueError, match="tensor 'latents' is missing"):
        load_result(path, Maps, 1)


@pytest.mark.parametrize("wrong", [{"count": 1.7}, {"count": True}, {"share": "0.5"}, {"shares": (None,)}])
def test_what_could_not_be_loaded_is_not_saved(tmp_path: Path, wrong: dict) -> None:
    with pytest.raises(ValueError, match=f"this Numbers cannot be saved: {next(iter(wrong))}"):
        save_result(tmp_path / "x.safetensors", replace(Numbers(1, 0.5), **wrong), 1)
    assert not list(tmp_path.iterdir())


def test_saving_again_replaces_whole(dissection: Dissection, tmp_path: Path) -> None:
    path = dissection.save(tmp_path)
    before = path.read_bytes()
    dissection.save(tmp_path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_counts_of_other_pixels_than_the_samples_have_are_refused(dissection: Dissection) -> None:
    other = replace(dissection.provenance, num_samples=13)
    with pytest.raises(ValueError, match="'layer1' has counts of 3072 pixels, but the samples have 3328"):  # of 16 x 16
        replace(dissection, provenance=other)


UNLIKELY = {
    "fewer than none": {"intersection": -1},
    "fewer exchanged than none": {"exchanged": -1},
    "more than the unit": {"intersection": 9, "unit_area": 8},
    "more exchanged than the unit": {"exchanged": 9, "unit_area": 8},
    "more than the concept": {"intersection": 9, "concept_area": 8},
    "more exchanged than the concept": {"exchanged": 9, "concept_area": 8},
    "a unit on at more than all": {"unit_area": 61},
    "a concept at more than all": {"concept_area": 61},
}


@pytest.mark.parametrize("wrong", UNLIKELY.values(), ids=UNLIKELY.keys())
def test_counts_of_groups_that_cannot_be_are_refused_each_by_itself(wrong: dict[str, int]) -> None:
    """Two groups with 100 pixels in all, of which the second has 40 in each count but those in common."""
    numbers = {"intersection": 5, "exchanged": 5, "unit_area": 30, "concept_area": 30}
    shapes = {"intersection": (2, 1, 1), "exchanged": (2, 1, 1), "unit_area": (2, 1), "concept_area": (2, 1)}

    def check(numbers: Mapping[str, int]) -> None:
        counts = {name: torch.full(shape, 40 if len(shape) == 2 else 5) for name, shape in shapes.items()}
        for name, number in numbers.items():
            counts[name][0] = number
        GroupCounts(**counts).check("a", 1, 1, 100)

    check(numbers)
    with pytest.raises(ValueError, match="counts of 'a' contradict each other"):
        check(numbers | wrong)


def test_counts_of_a_shard_are_no_dissection(dissection: Dissection, tmp_path: Path) -> None:
    (tmp_path / "tally.safetensors").write_bytes(b"")
    with pytest.raises(
        FileNotFoundError, match=r"holds the counts of a shard.*gandissect merge.*rerun the command of an unfinished"
    ):
        Dissection.load(tmp_path)
    dissection.save(tmp_path)
    assert Dissection.load(tmp_path).records() == dissection.records()


def test_nothing_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nowhere"):
        Dissection.load(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match=r"dissection\.safetensors"):
        Dissection.load(tmp_path)


def test_truncated_and_mutated_files_are_refused(dissection: Dissection, tmp_path: Path) -> None:
    path = dissection.save(tmp_path)
    data = path.read_bytes()
    header_end = 8 + int.from_bytes(data[:8], "little")
    for length in (0, 1, 7, 8, 100, header_end, len(data) - 1):
        path.write_bytes(data[:length])
        with pytest.raises(ValueError, match=r"dissection\.safetensors"):
            Dissection.load(tmp_path)
    refused = 0
    for position in range(8, header_end, 37):
        mutated = bytearray(data)
        mutated[position] ^= 0x15
        path.write_bytes(bytes(mutated))
        try:
            Dissection.load(tmp_path)  # a letter of a name may change unseen
        except ValueError as error:
            assert "dissection.safetensors" in str(error)
            refused += 1
    assert refused > 50


def _tamper(path: Path, change) -> None:
    tensors, header = load_tensors(path, "gandissect.Dissection", 3)
    change(tensors, header["value"])
    save_tensors(path, tensors, header, overwrite=True)


TAMPERED = {
    "counts that contradict": (lambda t, v: t["layers.0.groups.intersection"].fill_(10**9), "contradict each other"),
    "negative counts": (lambda t, v: t["layers.0.groups.intersection"].fill_(-1), "contradict each other"),
    "another dtype": (lambda t, v: t.update({"layers.0.thresholds": torch.zeros(6).double()}), "must be torch.float32"),
    "another shape": (
        lambda t, v: t.update({"layers.0.groups.unit_area": torch.zeros(6, 5).long()}),
        r"torch.int64 \[any, 6\]",
    ),
    "infinite thresholds": (lambda t, v: t["layers.0.thresholds"].fill_(torch.inf), "must be finite"),
    "a tensor missing": (
        lambda t, v: t.pop("layers.1.groups.concept_area"),
        "'layers.1.groups.concept_area' is missing",
    ),
    "a tensor too many": (lambda t, v: t.update(spare=torch.zeros(1)), "unexpected tensors: spare"),
    "an entry missing": (lambda t, v: v["provenance"].pop("seed"), "missing or unknown entries: seed"),
    "an entry too many": (lambda t, v: v.update(spare=1), "missing or unknown entries: spare"),
    "text for a number": (lambda t, v: v["layers"][0].update(num_pixels="9"), "num_pixels must be int; got str"),
    "truth for a number": (lambda t, v: v["provenance"].update(seed=True), "seed must be int; got bool"),
    "a list for a text": (lambda t, v: v["layers"][0].update(name=[]), "name must be str; got list"),
    "a color of two": (lambda t, v: v["concepts"][0].update(color=[1, 2]), "must have 3 entries; got 2"),
    "a color that is none": (lambda t, v: v["concepts"][0].update(color=[1, 2, 300]), "from 0 to 255"),
    "a thumbnail missing": (lambda t, v: t["thumbnails.samples"].add_(1000), "have no thumbnail"),
    "a huge mask": (lambda t, v: v["layers"][0]["top"].update(size=[10**9, 10**9]), "top masks must be"),
    "a layer twice": (lambda t, v: v["layers"][1].update(name="layer1"), "more than once"),
}


@pytest.mark.wrong_shape
@pytest.mark.parametrize(("change", "message"), TAMPERED.values(), ids=TAMPERED.keys())
def test_tampered_files_are_refused(dissection: Dissection, tmp_path: Path, change, message: str) -> None:
    path = dissection.save(tmp_path)
    _tamper(path, change)
    with pytest.raises(ValueError, match=message) as caught:
        Dissection.load(tmp_path)
    assert str(path) in str(caught.value)


def test_other_files_of_ours_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    save_tensors(path, {"a": torch.zeros(2)}, {"format": "gandissect-generator", "version": 1})
    with pytest.raises(ValueError, match=r"must be 'gandissect\.Dissection'; got 'gandissect-generator'"):
        Dissection.load(path)
    save_tensors(path, {}, {"format": "gandissect.Dissection", "version": 99, "value": {}}, overwrite=True)
    with pytest.raises(ValueError, match=r"version of .*; got 99"):
        Dissection.load(path)


@dataclass(frozen=True)
class Inner:
    value: Tensor
    pair: tuple[float, str]


@dataclass(frozen=True)
class Outer:
    maybe: Inner | None
    many: tuple[Inner, ...]
    named: Mapping[str, Tensor]
    note: str | None
    extra: Tensor | None
    flag: bool


def test_any_dataclass_of_plain_values_is_kept(tmp_path: Path) -> None:
    inner = Inner(torch.arange(3), (1.5, "é"))
    full = Outer(inner, (inner, inner), {"a.b": torch.ones(2, 2)}, "note", torch.zeros(0, 3), True)
    empty = Outer(None, (), {}, None, None, False)
    for number, outer in enumerate((full, empty)):
        path = tmp_path / f"{number}.safetensors"
        save_result(path, outer, 1)
        loaded = load_result(path, Outer, 1)
        assert repr(loaded) == repr(outer)


def test_what_cannot_be_kept_is_named(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    with pytest.raises(TypeError, match=r"pair\.1 must be .*; got set"):
        save_result(path, Inner(torch.zeros(1), (1.0, {"a"})), 1)
    with pytest.raises(ValueError, match="not JSON compliant"):
        save_result(path, Inner(torch.zeros(1), (float("nan"), "a")), 1)
    assert not path.exists()


def test_masks_of_any_size_survive_packing(dissection: Dissection) -> None:
    top = dissection["layer1"].top
    for size in [(1, 1), (3, 5), (4, 4), (7, 9)]:
        masks = torch.rand(6, 2, *size, generator=torch.Generator().manual_seed(0)) > 0.5
        kept = replace(top, size=size, packed_masks=pack_masks(masks))
        assert all(torch.equal(kept.mask(u, r), masks[u, r]) for u in range(6) for r in range(2))


def test_concepts_of_a_layer_are_those_of_the_dissection(dissection: Dissection) -> None:
    layer = replace(dissection["layer1"], concepts=(Concept(0, "other", (0, 0, 0)), *dissection.concepts[1:]))
    with pytest.raises(ValueError, match="the concepts of 'layer1' are not those of the dissection"):
        replace(dissection, layers=(layer,))


def _renumbered(concepts: list[dict[str, object]]) -> None:
    concepts[0]["index"] = 7


def _renamed(concepts: list[dict[str, object]]) -> None:
    concepts[0]["name"] = concepts[1]["name"]


@pytest.mark.parametrize(("change", "message"), [(_renumbered, "numbered 0, 1"), (_renamed, "two are called")])
def test_concepts_that_cannot_be_looked_up_are_refused(
    dissection: Dissection, tmp_path: Path, change: Callable[[list[dict[str, object]]], None], message: str
) -> None:
    path = dissection.save(tmp_path)
    tensors, header = load_tensors(path, "gandissect.Dissection", 3)
    for concepts in (header["value"]["concepts"], *(layer["concepts"] for layer in header["value"]["layers"])):
        change(concepts)
    save_tensors(path, tensors, header, overwrite=True)
    with pytest.raises(ValueError, match=rf"dissection\.safetensors.*{message}"):
        Dissection.load(path)


@pytest.mark.parametrize("entry", [("quantile", 2.0), ("duration", -1.0), ("num_samples", 0)])
def test_a_provenance_out_of_range_is_refused(dissection: Dissection, tmp_path: Path, entry: tuple[str, float]) -> None:
    path = dissection.save(tmp_path)
    tensors, header = load_tensors(path, "gandissect.Dissection", 3)
    header["value"]["provenance"][entry[0]] = entry[1]
    save_tensors(path, tensors, header, overwrite=True)
    with pytest.raises(ValueError, match=r"dissection\.safetensors.*out of range"):
        Dissection.load(path)
    with pytest.raises(ValueError, match="out of range"):
        replace(dissection.provenance, duration=float("inf"))
