"""The disk cache: used only for the same networks, and optional where nothing can be written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors import SafetensorError

import generators
from apps.explorer.background import disk_cache, dissector
from apps.explorer.networks import open_generator
from apps.explorer.visit import choose_inputs, first_layer
from gandissect import dissect
from gandissect.causal.units import measure_unit_effects
from generators.architectures.planted import PLANTED
from segmenters.palette import PaletteSegmenter

SEGMENTER = PaletteSegmenter(generators.PlantedGenerator.concepts)


def test_a_dissection_is_cached_for_the_next_start(monkeypatch: pytest.MonkeyPatch) -> None:
    planted = generators.PlantedGenerator()
    first = dissector.Dissector(24).begin(planted, SEGMENTER, "layer2").result.result(60)
    (path,) = _kept_files()
    monkeypatch.setattr(dissector, "dissect", lambda *_, **__: pytest.fail("dissected again"))
    again = dissector.Dissector(24).begin(planted, SEGMENTER, "layer2").result.result(60)
    assert torch.equal(again["layer2"].iou, first["layer2"].iou)
    monkeypatch.setattr(dissector, "dissect", dissect)
    assert disk_cache.find_dissection(planted, SEGMENTER, "layer1", 24) is None, "another layer"
    assert disk_cache.find_dissection(planted, SEGMENTER, "layer2", 48) is None, "fewer pictures"
    assert disk_cache.find_dissection(generators.PlantedGenerator(cells=8), SEGMENTER, "layer2", 24) is None, (
        "another generator"
    )
    other = PaletteSegmenter(generators.PlantedGenerator.concepts[: len(PLANTED)])
    assert disk_cache.find_dissection(planted, other, "layer2", 24) is None, "another segmenter"
    path.write_bytes(path.read_bytes()[:-9])
    assert dissector.Dissector(24).begin(planted, SEGMENTER, "layer2").result.result(60).provenance.num_samples == 24


def test_a_cached_dissection_under_a_wrong_name_is_not_used() -> None:
    planted, other = generators.PlantedGenerator(), generators.PlantedGenerator(cells=8)
    disk_cache.save_dissection(
        dissect(other, SEGMENTER, "layer2", 24, progress=False), planted, SEGMENTER, "layer2", 24
    )
    assert _kept_files() and disk_cache.find_dissection(planted, SEGMENTER, "layer2", 24) is None


@pytest.mark.parametrize("trouble", ["a file in the way", "no home", "nothing may be written", "the disk is full"])
def test_the_explorer_works_without_a_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trouble: str, caplog: pytest.LogCaptureFixture
) -> None:
    def fails(error: Exception) -> Callable[..., None]:
        def fail(*_: object, **__: object) -> None:
            raise error

        return fail

    if trouble == "a file in the way":
        (tmp_path / "file").write_text("no folder")
        monkeypatch.setenv("GANDISSECT_CACHE", str(tmp_path / "file"))
    elif trouble == "no home":
        for name in ("GANDISSECT_CACHE", "XDG_CACHE_HOME", "HOME"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setattr(Path, "home", fails(RuntimeError("Could not determine home directory.")))
        assert disk_cache.cache_folder("dissections") is None
    else:
        error = PermissionError("read-only") if trouble == "nothing may be written" else SafetensorError("disk full")
        monkeypatch.setattr("gandissect.storage.files.save_file", fails(error))
    planted = generators.PlantedGenerator()
    assert dissector.Dissector(24).begin(planted, SEGMENTER, "layer2").result.result(60)["layer2"].info.units == 6
    disk_cache.save_effects(measure_unit_effects(planted, SEGMENTER, "layer2", 2, progress=False), planted, SEGMENTER)
    assert disk_cache.find_effects(planted, SEGMENTER, "layer2", 2, 0) is None
    assert "not cached" in caplog.text


def test_effects_are_cached_with_their_networks() -> None:
    planted, small = generators.PlantedGenerator(), generators.PlantedGenerator(cells=8)
    found = measure_unit_effects(planted, SEGMENTER, "layer2", 4, 3, progress=False)
    disk_cache.save_effects(found, planted, SEGMENTER)
    again = disk_cache.find_effects(planted, SEGMENTER, "layer2", 4, 3)
    assert torch.equal(again.mean, found.mean) and torch.equal(again.stderr, found.stderr)
    assert again.concepts == found.concepts and (again.num_samples, again.seed) == (4, 3)
    for facts in (
        (planted, SEGMENTER, "layer1", 4, 3),
        (planted, SEGMENTER, "layer2", 5, 3),
        (small, SEGMENTER, "layer2", 4, 3),
    ):
        assert disk_cache.find_effects(*facts) is None
    (path,) = disk_cache.cache_folder("effects").glob("*.safetensors")
    disk_cache.save_effects(found, small, SEGMENTER)
    (wrong,) = set(path.parent.glob("*.safetensors")) - {path}
    path.write_bytes(wrong.read_bytes())
    assert disk_cache.find_effects(planted, SEGMENTER, "layer2", 4, 3) is None, "the content of the file counts"
    path.write_bytes(b"damaged")
    assert disk_cache.find_effects(planted, SEGMENTER, "layer2", 4, 3) is None


def test_the_oldest_files_are_deleted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disk_cache, "MAX_FILES", 2)
    planted = generators.PlantedGenerator()
    found = dissect(planted, SEGMENTER, "layer2", 24, progress=False)
    for num_samples in (21, 22, 23, 24):
        disk_cache.save_dissection(found, planted, SEGMENTER, "layer2", num_samples)
    assert len(_kept_files()) == 2


@pytest.mark.parametrize("name", generators.names())
def test_every_bundled_generator_ships_with_the_dissection_of_its_first_layer(name: str) -> None:
    import segmenters
    from apps.explorer.bundle import NUM_SAMPLES

    generator = open_generator(name, "cpu", choose_inputs(name))
    segmenter = segmenters.load(segmenters.find_for(name), "cpu")
    found = disk_cache.find_dissection(generator, segmenter, first_layer(generator), NUM_SAMPLES)
    assert found is not None
    num_units = found[first_layer(generator)].info.units  # 64 to 512
    assert (disk_cache.BUNDLED / f"{name}.safetensors").stat().st_size <= 10_000 * num_units


def _kept_files() -> list[Path]:
    return list(disk_cache.cache_folder("dissections").glob("*.safetensors"))
