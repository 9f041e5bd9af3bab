"""Files that were written before modules moved to rooms are read as before, and written as before.

The fixtures were written by commit c6a8478, the last one with a flat package; see tests/fixtures/README.md.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from tiny_gans import Noise, tiny

import generators
import segmenters
from apps.explorer.background.disk_cache import KeptEffects
from gandissect import (
    ArtifactRanking,
    CausalEffect,
    Concept,
    ConceptShares,
    Dissection,
    EffectCurves,
    Recipe,
    Repair,
    RepairCurve,
    UnitSet,
    Yardstick,
    average_causal_effect,
    choose_num_units,
    dissect,
    measure_repair,
    merge_shards,
    rank_artifact_units,
)
from gandissect.core import NetworkId
from gandissect.dissection.counting.tally import TALLY, Tally
from gandissect.latent import Direction, DirectionEffect, Inversion, NoiseEffects, PathLength
from gandissect.storage import SavedResult
from generators.training import train_generator

FILES = Path(__file__).parents[2] / "fixtures/before_rooms"
FACTS = json.loads((FILES / "facts.json").read_text(encoding="utf-8"))
RESULTS: dict[str, type[SavedResult]] = {
    "artifact_ranking": ArtifactRanking,
    "artifact_ranking_effect": ArtifactRanking,
    "direction": Direction,
    "direction_effect": DirectionEffect,
    "direction_layer": Direction,
    "dissection": Dissection,
    "effect": CausalEffect,
    "effect_curves": EffectCurves,
    "inversion": Inversion,
    "inversion_ws": Inversion,
    "noise_effects": NoiseEffects,
    "path_length": PathLength,
    "repair": Repair,
    "repair_curve": RepairCurve,
    "shares": ConceptShares,
    "unit_effects": KeptEffects,
}
GENERATORS = ("dcgan", "planted", "progan", "repaired", "stylegan", "stylegan2")


def _contents(path: Path) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    """The header, with its JSON parsed, and the tensors of a safetensors file."""
    with safe_open(path, "pt") as file:
        header = {key: json.loads(text) if text[:1] in "{[" else text for key, text in file.metadata().items()}
        return header, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # no mapping


@pytest.mark.parametrize("name", RESULTS)
def test_a_result_is_read_and_written_again_as_it_was(name: str, tmp_path: Path) -> None:
    result = RESULTS[name].load(FILES / f"{name}.safetensors")
    header, tensors = _contents(result.save(tmp_path / f"{name}.safetensors"))
    old_header, old_tensors = _contents(FILES / f"{name}.safetensors")
    assert header == old_header
    assert tensors.keys() == old_tensors.keys()
    for key, tensor in tensors.items():
        torch.testing.assert_close(tensor, old_tensors[key], rtol=0, atol=0, equal_nan=True, msg=key)


def test_every_kind_of_result_has_a_file() -> None:
    kinds = {kind.__name__ for kind in SavedResult.__subclasses__()} - {"RepairSteps"}  # which came later
    assert kinds == {kind.__name__ for kind in RESULTS.values()}


@pytest.mark.parametrize("name", ["dissection", "effect", "repair", "shares"])
def test_a_result_says_what_it_said(name: str) -> None:
    records = RESULTS[name].load(FILES / f"{name}.safetensors").records()
    old = FACTS["records"][name]
    kept = [
        {key: record[key] for key in earlier} for record, earlier in zip(records, old, strict=True)
    ]  # keys are added
    assert _rounded(json.loads(json.dumps(kept))) == _rounded(old)


def _rounded(value: Any) -> Any:
    """Numbers to 3 digits: an interval by Student's t came from a printed table in those days."""
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_rounded(item) for item in value]
    return float(f"{value:.3g}") if isinstance(value, float) else value


def test_shards_merge_to_what_the_whole_was() -> None:
    generator = generators.load(FILES / "planted.safetensors", device="cpu")
    networks = generator, segmenters.PaletteSegmenter(generators.PlantedGenerator.concepts)
    merged = merge_shards([FILES / "shard1", FILES / "shard2"], networks, progress=False)
    whole = Dissection.load(FILES / "dissection.safetensors")
    for part, layer in zip(merged, whole, strict=True):
        assert torch.equal(part.thresholds, layer.thresholds)
        assert torch.equal(part.intersection, layer.intersection)


def test_counts_are_written_again_as_they_were(tmp_path: Path) -> None:
    Tally.load(FILES / "shard1" / TALLY).save(tmp_path / TALLY)
    (header, tensors), (old_header, old_tensors) = _contents(tmp_path / TALLY), _contents(FILES / "shard1" / TALLY)
    assert header == old_header
    assert all(torch.equal(tensor, old_tensors[key]) for key, tensor in tensors.items())


def test_a_recipe_is_read_and_written_again_as_it_was() -> None:
    text = (FILES / "recipe.json").read_text(encoding="utf-8")
    recipe = Recipe.from_json(text)
    assert recipe.to_json() == text
    recipe.generate(generators.load(FILES / "dcgan.safetensors", device="cpu"))


@pytest.mark.parametrize("name", GENERATORS)
def test_a_saved_generator_is_the_one_that_it_was(name: str) -> None:
    assert generators.load(FILES / f"{name}.safetensors", device="cpu").fingerprint == FACTS["fingerprints"][name]


def test_the_bundled_models_are_those_that_they_were() -> None:
    loaded = {name: generators.load(name, device="cpu").fingerprint for name in FACTS["names"]}
    loaded |= {name: segmenters.load(name, device="cpu").fingerprint for name in ("unet-scenes", "unet-streets")}
    assert loaded == {name: FACTS["fingerprints"][name] for name in loaded}


@pytest.mark.parametrize("architecture", ["dcgan", "progan", "stylegan"])
def test_a_training_that_was_stopped_is_resumed(architecture: str, tmp_path: Path) -> None:
    """It ends where the one that was not stopped ended then, but for rounding: that was on another processor perhaps."""
    shutil.copytree(FILES / f"run-{architecture}", tmp_path / "run")
    train_generator(tiny(architecture), Noise(), tmp_path / "run", device="cpu")
    (_, weights), (_, old) = (
        _contents(folder / "generator.safetensors") for folder in (tmp_path / "run", FILES / f"whole-{architecture}")
    )
    assert weights.keys() == old.keys()
    for name, tensor in weights.items():
        assert torch.allclose(tensor.float(), old[name].float(), atol=2e-3), name


@pytest.mark.slow
def test_fixed_seeds_give_the_figures_that_they_gave(tmp_path: Path) -> None:
    """Bit for bit on the closed-form generator; of a network but for the rounding of another processor's products."""
    planted = generators.load(FILES / "planted.safetensors", device="cpu")
    palette = segmenters.PaletteSegmenter(planted.concepts)
    quiet = {"progress": False}
    results = {
        "dissection": dissect(planted, palette, num_samples=24, top_images=2, curves=True, **quiet),
        "effect": average_causal_effect(
            planted, palette, UnitSet("layer1", (0, 1)), "red", num_samples=32, seed=1, **quiet
        ),
    }
    dcgan = generators.load(FILES / "dcgan.safetensors", device="cpu")
    draw = torch.Generator().manual_seed(1)
    train, held_out = (torch.randint(0, 256, (n, 3, 16, 16), dtype=torch.uint8, generator=draw) for n in (80, 24))
    yardstick = Yardstick("means", _means, train, held_out)
    ranking = rank_artifact_units(dcgan, "layer1", yardstick, 120, 0, top_share=0.3, **quiet)
    results["artifact_ranking"] = ranking
    results["repair_curve"] = choose_num_units(
        dcgan, ranking.top(8), yardstick, (0, 2, 5), 0, num_images=40, num_sets=2, num_controls=2, **quiet
    )
    gray = segmenters.PaletteSegmenter((Concept(0, "dark", (120, 120, 120)), Concept(1, "light", (135, 135, 135))))
    results["repair"] = measure_repair(
        dcgan, ranking.top(5), yardstick, 0, num_sets=2, num_controls=2, segmenter=gray, **quiet
    )
    for name, result in results.items():
        _, tensors = _contents(result.save(tmp_path / f"{name}.safetensors"))
        _, old_tensors = _contents(FILES / f"{name}.safetensors")
        assert tensors.keys() == old_tensors.keys()
        tolerance = 0 if name in {"dissection", "effect"} else 1e-4
        for key, tensor in tensors.items():
            torch.testing.assert_close(
                tensor, old_tensors[key], rtol=tolerance, atol=tolerance, equal_nan=True, msg=f"{name} {key}"
            )


def _means(images: torch.Tensor) -> torch.Tensor:
    return images.unfold(2, 4, 4).unfold(3, 4, 4).mean((4, 5)).flatten(1)


def test_a_wrapped_generator_is_the_one_that_it_was() -> None:
    """Files of before know the first part of its fingerprint; those of now know more, and that it is another one."""
    before = "35395590a4ab47c82dd95a72b2f8e061408b0dee30e72ccd54b7aea3e95cc9db"  # by c6a8478
    wrapped = generators.wrap(generators.load(FILES / "dcgan.safetensors", device="cpu"), 5)
    NetworkId("dcgan", before).check(wrapped, "a recipe of before")
    NetworkId.of(wrapped).check(wrapped, "a recipe of now")
    whole, *others = wrapped.fingerprint.split("-")
    assert whole == before and len(others) == 1
    with pytest.raises(ValueError, match="the recipe belongs to"):
        NetworkId("dcgan", f"{whole}-{'0' * 16}").check(wrapped, "the recipe")
