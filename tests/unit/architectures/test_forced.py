"""A repaired generator is one as any other, and draws what the edit draws."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path

import pytest
import torch
from tiny_generators import FAMILIES, make_generator

import generators
from gandissect import Ablation, Insertion, Scaling, UnitSet, dissect, generate, intervene, repair, trace
from gandissect.artifacts.repair import compute_forced_values
from gandissect.core.hooks import tap_outputs
from gandissect.core.network_id import is_same_network
from gandissect.core.protocols import Generator
from gandissect.core.rows import limit_rows
from gandissect.core.sampling import derive_seed
from gandissect.core.types import Concept
from gandissect.storage.files import load_tensors, save_tensors
from generators import LayeredGenerator


def _rounded(family: str) -> LayeredGenerator:
    """A generator whose weights are exact in half precision."""
    return make_generator(family).half().float()


every_family = pytest.mark.parametrize("family", FAMILIES)


@every_family
def test_a_repaired_generator_draws_what_the_edit_draws(family: str) -> None:
    generator = make_generator(family)
    z = generator.sample_z(3, seed=2)
    before, images = generator.fingerprint, generator(z)
    for layer, info in generator.layers.items():
        units = UnitSet(layer, (2, 0))
        fixed = repair(generator, units)
        wanted = generate(generator, z, [Ablation(units)])
        assert torch.equal(fixed(z), wanted)
        assert not fixed.head(z, layer)[:, [2, 0]].any()
        assert fixed.layers == generator.layers and fixed.layers[layer] == info
        for name in generator.layers:
            assert torch.equal(fixed.tail(fixed.head(z, name), name, z), wanted)
        with trace(fixed, layer) as record:
            fixed(z)
        assert torch.equal(record.output, fixed.head(z, layer))
        assert isinstance(fixed, Generator)
        assert fixed.name == f"{generator.name} less 2 units of {layer}"
        assert fixed.fingerprint != before
        assert torch.equal(deepcopy(fixed)(z), wanted) and deepcopy(fixed).fingerprint == fixed.fingerprint
    assert generator.fingerprint == before and torch.equal(generator(z), images)
    assert not any("forced" in name for name in generator.state_dict())


@every_family
def test_units_at_their_mean_are_at_the_mean_of_all_places_and_images(family: str) -> None:
    generator = make_generator(family)
    z = generator.sample_z(2, seed=2)
    layer = list(generator.layers)[-1]
    units = UnitSet(layer, (1, 3))
    many = (
        generator.head(generator.sample_z(limit_rows(generator, 512), derive_seed(0, "means")), layer).double().numpy()
    )
    means = [float(many[:, unit].mean()) for unit in units.units]
    assert compute_forced_values(generator, units, "mean") == pytest.approx(means, rel=1e-4, abs=1e-6)
    fixed = repair(generator, units, force_to="mean")
    wanted = generate(generator, z, [Insertion(units, compute_forced_values(generator, units, "mean"))])
    assert torch.equal(fixed(z), wanted)
    assert fixed.name == f"{generator.name} with 2 units of {layer} held"


@every_family
def test_saved_and_loaded_it_is_the_same(family: str, tmp_path: Path) -> None:
    generator = _rounded(family)
    layer = list(generator.layers)[1]
    fixed = repair(generator, UnitSet(layer, (2, 0))).forcing(UnitSet(layer, (1,)), [0.5])
    generators.save(fixed, tmp_path / "fixed.safetensors", {"from": generator.name})
    loaded = generators.load(tmp_path / "fixed.safetensors", device="cpu")
    z = generator.sample_z(3)
    assert torch.equal(loaded(z), fixed(z)) and not torch.equal(loaded(z), generator(z))
    assert is_same_network(loaded.fingerprint, fixed.fingerprint), "but for the pictures that a translator is on"
    assert loaded.layers == generator.layers and not loaded.training
    assert torch.equal(generate(loaded, z), loaded(z))


def test_means_are_kept_as_they_are(tmp_path: Path) -> None:
    generator = _rounded(next(iter(FAMILIES)))
    layer = next(iter(generator.layers))
    fixed = generator.forcing(UnitSet(layer, (0, 1)), [0.1234567, 70000.5])
    generators.save(fixed, tmp_path / "fixed.safetensors")
    loaded = generators.load(tmp_path / "fixed.safetensors", "cpu")
    assert loaded.fingerprint == fixed.fingerprint
    z = fixed.sample_z(2)
    assert torch.equal(loaded(z), fixed(z))


@every_family
def test_a_repair_of_a_repaired_one_adds_to_it(family: str) -> None:
    generator = make_generator(family)
    z = generator.sample_z(2)
    first, second = list(generator.layers)[:2]
    one, two, three = UnitSet(second, (0, 2)), UnitSet(first, (1,)), UnitSet(second, (3,))
    fixed = repair(repair(repair(generator, one), two), three)
    assert torch.equal(fixed(z), generate(generator, z, [Ablation(one), Ablation(two), Ablation(three)]))
    held = generator.forcing(one, [2.0, -1.0])
    back = repair(held, UnitSet(second, (2,)))
    assert torch.equal(back.head(z, second)[:, 0], torch.full_like(back.head(z, second)[:, 0], 2.0))
    assert not back.head(z, second)[:, 2].any(), "the last value holds"
    assert held.head(z, second)[:, 2].eq(-1).all(), "a repair of a copy leaves the copy"
    assert fixed.name.endswith(f"less 2 units of {second} less 1 unit of {first} less 1 unit of {second}")


@every_family
def test_edits_come_after_what_stands(family: str) -> None:
    generator = make_generator(family)
    z = generator.sample_z(2)
    layer = list(generator.layers)[1]
    held = generator.forcing(UnitSet(layer, (0, 1)), [2.0, 3.0])
    edits = [Scaling(UnitSet(layer, (0,)), 2.0), Ablation(UnitSet(layer, (1,)))]
    wanted = generate(generator, z, [Insertion(UnitSet(layer, (0, 1)), (4.0, 0.0))])
    assert torch.equal(generate(held, z, edits), wanted)
    with intervene(held, edits):
        assert torch.equal(held(z), wanted)


class _Halves:
    """Labels every pixel bright or dark."""

    name, fingerprint = "halves", "0" * 64
    concepts = (Concept(0, "dark", (0, 0, 0)), Concept(1, "bright", (255, 255, 255)))

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        return (images.mean(dim=1) > 0).long()


@every_family
def test_it_can_be_dissected(family: str) -> None:
    generator = make_generator(family)
    layer = list(generator.layers)[-1]
    fixed = repair(generator, UnitSet(layer, (1,)))
    dissection = dissect(fixed, _Halves(), layers=[layer], num_samples=16, progress=False)
    assert float(dissection[layer].iou[:, 1].max()) == 0, "a unit that is off is nowhere"
    assert dissection.provenance.generator.name == fixed.name


def test_no_units_give_a_plain_copy() -> None:
    generator = make_generator("dcgan")
    copy = repair(generator, UnitSet("layer1", ()))
    assert copy is not generator and copy.fingerprint == generator.fingerprint and copy.name == generator.name


def test_a_generator_in_use_can_be_repaired() -> None:
    """Hooks on its layers stay with it."""
    generator = make_generator("stylegan2")
    z, units = generator.sample_z(2), UnitSet("layer2", (0,))
    with tap_outputs(generator, {"layer2": lambda x: x * 0}):
        fixed = repair(generator, units)
        assert torch.equal(fixed(z), fixed.tail(fixed.head(z, "layer2"), "layer2", z))
    assert torch.equal(fixed(z), generate(generator, z, [Ablation(units)]))


class _Foreign:
    name, fingerprint = "foreign", "0" * 64


def test_mistakes_are_named() -> None:
    generator = make_generator("dcgan")
    for make, error, message in (
        (lambda: repair(generator, UnitSet("layer9", (0,))), KeyError, "did you mean"),
        (lambda: repair(generator, UnitSet("layer1", (0, 99))), ValueError, "got 99"),
        (lambda: repair(generator, UnitSet("layer1", (0,)), force_to="men"), KeyError, "did you mean 'mean'"),
        (lambda: repair(_Foreign(), UnitSet("layer1", (0,))), TypeError, "_Foreign has no forcing"),
        (lambda: generator.forcing(UnitSet("layer9", (0,)), [0.0]), KeyError, "did you mean"),
        (lambda: generator.forcing(UnitSet("layer1", (99,)), [0.0]), ValueError, r"got \[99\]"),
        (lambda: generator.forcing(UnitSet("layer1", (0, 1)), [0.0]), ValueError, "2 finite numbers, one per unit"),
        (lambda: generator.forcing(UnitSet("layer1", (0,)), [float("nan")]), ValueError, "finite"),
    ):
        with pytest.raises(error, match=message):
            make()


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("layer9.forced", torch.zeros(6, dtype=torch.bool)),
        ("output.forced", torch.zeros(3, dtype=torch.bool)),
        ("layer1.forced", torch.zeros(5, dtype=torch.bool)),
        ("layer1.forced", torch.zeros(12)),
        ("layer1.values", torch.full((12,), torch.nan, dtype=torch.half)),
        ("layer1.values", None),
        (".forced", torch.zeros(6, dtype=torch.bool)),
    ],
)
def test_a_file_with_impossible_standing_units_is_refused(key: str, value: torch.Tensor | None, tmp_path: Path) -> None:
    path = tmp_path / "fixed.safetensors"
    fixed = repair(make_generator("dcgan"), UnitSet("layer1", (0,)))
    generators.save(fixed, path)
    tensors, header = load_tensors(path, "gandissect-generator", 1)
    assert len(tensors["layer1.forced"]) == 12
    changed = {name: each for name, each in (tensors | {key: value}).items() if each is not None}
    save_tensors(path, changed, header, overwrite=True)
    with pytest.raises(ValueError, match=r"fixed\.safetensors does not describe a generator"):
        generators.load(path, device="cpu")
