"""Causal effects of the planted generator, all of which are known in closed form."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from gandissect import CausalEffect, UnitSet, average_causal_effect, present_values, quantile_values
from gandissect.core.sampling import derive_seed
from gandissect.core.types import Concept
from gandissect.inference.upsampling import upsample
from generators import DCGAN
from generators.architectures.planted import PlantedGenerator
from segmenters.palette import PaletteSegmenter

CELLS = 8
GENERATOR = PlantedGenerator(size=16, cells=CELLS)
SEGMENTER = PaletteSegmenter(GENERATOR.concepts)
GRAYS = tuple(
    Concept(index, name, (level, level, level))
    for index, (name, level) in enumerate({"dark": 126, "light": 129}.items())
)
COLORS = np.array([concept.color for concept in GENERATOR.concepts], dtype=float)


def _seen(*units: int) -> int:
    """The concept that is visible in a cell where these planted units are on."""
    mixed = COLORS[0] + sum((COLORS[unit + 1] - COLORS[0] for unit in units), np.zeros(3))
    return int(np.argmin(((np.clip(mixed, 0, 255) - COLORS) ** 2).sum(1)))


def _truth(unit: int, value: int = 1) -> dict[str, np.ndarray]:
    """Expected changes of each concept's share: a unit inserted in one random cell, and ablated everywhere."""
    cell = 1 / CELLS**2
    insertion, ablation = np.zeros(5), np.zeros(5)
    if value and unit < 4:
        occupied = 0.0
        for other in range(4):  # present in row `other`, in a random column, in half of the images
            chance = 0.5 * cell
            occupied += chance
            insertion[_seen(*{other, unit})] += cell * chance
            insertion[_seen(other)] -= cell * chance
        insertion[_seen(unit)] += cell * (1 - occupied)
        insertion[0] -= cell * (1 - occupied)
    if unit < 4:
        ablation[unit + 1], ablation[0] = 0.5 * cell, -0.5 * cell
    return {"insertion": insertion, "ablation": ablation, "ace": insertion + ablation}


def _effect(seed: int, unit: int = 0, layer: str = "layer1", num_samples: int = 128) -> CausalEffect:
    units = UnitSet(layer, (unit,))
    return average_causal_effect(
        GENERATOR, SEGMENTER, units, "red", num_samples, seed, values=[1.0], batch_size=128, progress=False
    )


def test_the_interval_holds_the_truth_95_times_of_100() -> None:
    truth = _truth(0)
    inside = dict.fromkeys(("insertion", "ablation", "ace"), 0)
    for seed in range(100):
        effect = _effect(seed)
        for kind in inside:
            table = getattr(effect.effect, kind)
            inside[kind] += abs(float(table.mean[1]) - truth[kind][1]) <= 1.96 * float(table.stderr[1])
    # Insertion almost always succeeds, so its few failures make the interval too short now and then.
    assert inside["ablation"] >= 90
    assert inside["ace"] >= 90
    assert sum(inside.values()) <= 299


@pytest.mark.parametrize("unit", [1, 3, 4, 5])
@pytest.mark.parametrize("layer", ["layer1", "layer2"])
def test_all_concepts_change_as_they_must(unit: int, layer: str) -> None:
    effect = _effect(7, unit, layer, num_samples=512)
    truth = _truth(unit)
    for kind, wanted in truth.items():
        table = getattr(effect.effect, kind)
        spread = 4 * table.stderr.numpy() + 1e-3 * 1e-2
        assert (np.abs(table.mean.numpy() - wanted) <= spread).all(), (kind, table.mean, wanted)
    assert torch.allclose(effect.effect.ace.mean, effect.effect.insertion.mean + effect.effect.ablation.mean)
    assert float(effect.base.mean[1]) == pytest.approx(1 / 128, abs=4 * float(effect.base.stderr[1]))
    if unit >= 4:  # not connected to the output
        assert not effect.effect.ace.mean.any()
        assert effect.ace == effect.stderr == effect.relative == 0


def test_where_an_insertion_is_refused_shows_in_the_map() -> None:
    """Yellow in row 0: half of the images have red in one cell of that row, where the mix shows another color."""
    effect = average_causal_effect(
        GENERATOR, SEGMENTER, UnitSet("layer1", (3,)), "yellow", 2000, 1, values=[1.0], batch_size=500, progress=False
    )
    places = effect.by_place
    assert int(places.count.sum()) == 2000
    assert places.count.shape == (CELLS, CELLS)
    gain = np.ones(CELLS)
    gain[3] -= 0.5 / CELLS  # yellow is already present
    for row in range(3):
        gain[row] -= (0.5 / CELLS) * (_seen(row, 3) != 4)
    rows = (places.mean * places.count).nansum(1) / places.count.sum(1) * CELLS**2
    assert np.abs(rows.numpy() - gain).max() < 0.06
    assert float(rows[4:].min()) == float(rows[4:].max()) == 1.0


def test_the_samples_are_those_of_the_formula() -> None:
    """By hand: the same z, masks over the same squares, the segmenter on every image."""
    torch.manual_seed(3)
    generator = DCGAN(size=16, width=6, z_dim=5).eval().requires_grad_(False)
    units, values = UnitSet("layer2", (3, 0, 5)), (0.7, 2.0, -1.0)
    segmenter = PaletteSegmenter(GRAYS)
    found = average_causal_effect(
        generator, segmenter, units, "light", 10, 4, values=values, patch=3, batch_size=4, progress=False
    )
    z = generator.sample_z(10, seed=4)
    activation = generator.head(z, "layer2")
    assert activation.shape[2:] == (8, 8)
    off = activation.clone()
    off[:, [3, 0, 5]] = 0

    def shares(r: Tensor) -> Tensor:
        labels = segmenter(generator.tail(r, "layer2", z).clamp(-1, 1))
        return torch.stack([(labels == concept).double().mean((1, 2)) for concept in range(2)], 1)

    base, without = shares(activation), shares(off)
    difference = base - without
    assert torch.allclose(found.effect.ablation.mean, difference.mean(0), atol=1e-12)
    assert torch.allclose(found.effect.ablation.stderr, difference.std(0) / 10**0.5, atol=1e-12)
    assert torch.allclose(found.base.mean, base.mean(0), atol=1e-12)
    assert (difference.abs().amax(1) > 0.01).all()
    best = []
    for sample in range(10):  # each image was counted in one of the 3 x 3 squares
        gains = []
        for row in range(3):
            for column in range(3):
                on = activation.clone()
                square = (sample, slice(None), slice(3 * row, 3 * row + 3), slice(3 * column, 3 * column + 3))
                for unit, value in zip((3, 0, 5), values, strict=True):
                    on[square][unit] = value
                gains.append((shares(on)[sample] - base[sample])[1].item())
        best.append(gains)
    place = found.by_place
    assert place.mean.shape == (3, 3)
    total = float((place.mean.nan_to_num() * place.count).sum())
    assert total == pytest.approx(10 * float(found.effect.insertion.mean[1]), abs=1e-12)
    assert sum(map(min, best)) - 1e-9 <= total <= sum(map(max, best)) + 1e-9


def test_the_result_does_not_depend_on_batches_and_survives_the_disk(tmp_path: Path) -> None:
    units = UnitSet("layer2", (0, 2))
    one, other = (
        average_causal_effect(GENERATOR, SEGMENTER, units, "red", 30, 5, batch_size=size, progress=False)
        for size in (30, 7)
    )
    assert one.records() == other.records()
    assert torch.equal(one.by_place.count, other.by_place.count)
    assert not set(one.control.units.units) & {0, 2}
    assert len(one.control.units) == 2
    again = CausalEffect.load(one.save(tmp_path))
    assert again.records() == one.records()
    assert str(again) == str(one)
    assert "2 units of layer2 on red: ACE" in str(one)


def test_values_are_ranks_and_means() -> None:
    torch.manual_seed(3)
    generator = DCGAN(size=16, width=6, z_dim=5).eval().requires_grad_(False)
    units = UnitSet("layer2", (4, 1))
    seen: list[Tensor] = []

    class Watching(PaletteSegmenter):
        def __call__(self, images: Tensor) -> Tensor:
            labels = super().__call__(images)
            seen.append(labels)
            return labels

    found = present_values(generator, Watching(GRAYS), units, "light", 40, seed=1)
    activation = generator.head(generator.sample_z(40, seed=derive_seed(1, "values")), "layer2")[:, [4, 1]]
    there = torch.cat(seen[1:]) == 1
    assert 0.01 < there.double().mean() < 0.9
    maps = upsample(activation, (16, 16)).transpose(0, 1)
    wanted = [float(each[there].double().mean()) for each in maps]
    assert found == pytest.approx(wanted, abs=1e-6)
    for quantile in (0.99, 0.5, 1.0, 1e-9):
        values = quantile_values(generator, units, quantile, 40, seed=1)
        ordered = activation.transpose(0, 1).flatten(1).sort(1).values
        index = max(0, int(np.ceil(quantile * ordered.shape[1])) - 1)
        assert values == tuple(ordered[:, index].tolist())


def test_edits_may_lead_far_but_not_to_infinity() -> None:
    units = UnitSet("layer2", (0,))
    found = average_causal_effect(GENERATOR, SEGMENTER, units, "red", 4, values=[1e6], patch=16, progress=False)
    assert float(found.effect.insertion.mean[1]) > 0.9
    broken = PlantedGenerator(size=16, cells=CELLS)
    broken.output.weight.data[:] = 1e38
    with pytest.raises(ValueError, match="NaN or infinite pixel in sample 0"):
        average_causal_effect(broken, SEGMENTER, units, "red", 4, values=[1e6], patch=16, progress=False)


def test_mistakes_are_named() -> None:
    units = UnitSet("layer1", (0,))
    for change, error, message in (
        ({"units": UnitSet("layer1", (6,))}, ValueError, "units 0 to 5; got 6"),
        ({"units": UnitSet("layer1", ())}, ValueError, "at least one unit of"),
        ({"units": UnitSet("layer3", (0,))}, KeyError, "unknown layer"),
        ({"concept": "rod"}, KeyError, "did you mean 'red'"),
        ({"num_samples": 1}, ValueError, "num_samples must be at least 2"),
        ({"values": [1.0, 2.0]}, ValueError, "each of the 1 units"),
        ({"patch": 9}, ValueError, r"patch must be in \[1, 8\] cells; got 9"),
    ):
        settings = {"units": units, "concept": "red", "num_samples": 4, "progress": False, **change}
        with pytest.raises(error, match=message):
            average_causal_effect(GENERATOR, SEGMENTER, **settings)
    ghost = PaletteSegmenter((*GENERATOR.concepts, Concept(5, "ghost", (255, 0, 255))))
    with pytest.raises(ValueError, match="finds no 'ghost'"):
        present_values(GENERATOR, ghost, units, "ghost", 1)
