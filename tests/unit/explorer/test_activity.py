"""Units at a cell, top pictures and factors, against loops and the planted generator's closed form."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import generators
from apps.explorer.display import tables
from apps.explorer.display.images import draw_picture
from apps.explorer.networks import edit_images
from apps.explorer.units.activity import (
    add_chance,
    add_effects,
    draw_outline,
    find_active_units,
    make_factor_edits,
    measure_peaks,
)
from gandissect import Ablation, Scaling, dissect
from gandissect.causal.units import measure_unit_effects
from generators.architectures.planted import PLANTED
from segmenters.palette import PaletteSegmenter

PLANTED_SEGMENTER = PaletteSegmenter(generators.PlantedGenerator.concepts)


@pytest.fixture(scope="module")
def dcgan() -> generators.DCGAN:
    torch.manual_seed(0)
    return generators.DCGAN(size=16, width=8, z_dim=5).eval().requires_grad_(False)


def test_factors_become_ablations_and_scalings_and_1_becomes_nothing(dcgan: generators.DCGAN) -> None:
    edits = make_factor_edits("layer1", {3: 0.0, 1: 2.0, 2: 1.0, 0: 0.0})
    assert [(type(each), each.units.units) for each in edits] == [(Ablation, (3, 0)), (Scaling, (1,))]
    z = dcgan.sample_z(2, seed=1)
    by_hand = dcgan.head(z, "layer1").clone()
    by_hand[:, [0, 3]] = 0
    by_hand[:, 1] *= 2
    assert torch.equal(edit_images(dcgan, z, edits), dcgan.tail(by_hand, "layer1", z))
    assert make_factor_edits("layer1", {0: 1.0}) == []


def test_the_units_on_at_a_cell_are_those_above_their_threshold() -> None:
    rng = np.random.default_rng(0)
    activation, thresholds = rng.normal(size=(12, 3, 4)), np.abs(rng.normal(size=12)) + 0.1
    for row in range(3):
        for column in range(4):
            on = {
                u: activation[u, row, column] / thresholds[u]
                for u in range(12)
                if activation[u, row, column] > thresholds[u]
            }
            found = find_active_units(torch.tensor(activation), torch.tensor(thresholds), row, column)
            assert found["unit"].tolist() == sorted(on, key=lambda u: -on[u])
            assert found["activation"].tolist() == pytest.approx([activation[u, row, column] for u in found["unit"]])
    below = find_active_units(torch.tensor([[[-1.0]], [[-3.0]]]), torch.tensor([-2.0, -2.0]), 0, 0)
    assert below["unit"].tolist() == [0], "thresholds may be negative"


def test_planted_units_are_on_in_their_cell_and_nowhere_else() -> None:
    planted = generators.PlantedGenerator()
    z = planted.sample_z(1, seed=3)
    activation, present = planted.head(z, "layer1")[0], [k for k in range(4) if z[0, 2 * k] > 0]
    for k in range(4):
        column = int(16 * torch.special.ndtr(z[0, 2 * k + 1]))
        on = find_active_units(activation, torch.full((6,), 0.5), k, column)["unit"].tolist()
        assert on == ([k, 4] if k == 0 else [k]) * (k in present)


def test_peaks_are_the_largest_activations(dcgan: generators.DCGAN) -> None:
    found = measure_peaks(dcgan, "layer2", 7, 40)
    assert found.shape == (40, dcgan.layers["layer2"].units)
    for number in (0, 31, 32, 39):
        alone = dcgan.head(dcgan.sample_z(1, 7, number), "layer2")[0].flatten(1).max(1).values
        torch.testing.assert_close(found[number], alone)


def test_the_outline_is_around_the_planted_cell() -> None:
    planted = generators.PlantedGenerator()
    number = next(n for n in range(50) if planted.sample_z(1, 1, n)[0, 2] > 0)
    column = int(16 * torch.special.ndtr(planted.sample_z(1, 1, number)[0, 3]))
    drawn = draw_outline(planted, 1, number, 1, "layer2", 0.5).astype(int)
    plain = draw_picture(planted(planted.sample_z(1, 1, number))[0]).astype(int)
    cell = slice(16 + 4, 32 - 4), slice(16 * column + 4, 16 * column + 12)
    assert (drawn[cell] == plain[cell]).all(), "unchanged where the unit is on"
    assert np.abs(drawn[200:] - plain[200:] / 2).max() <= 1, "the rest is half as bright"
    yellow = (drawn == [255, 222, 0]).all(2)
    assert yellow[10:38, max(0, 16 * column - 6) : 16 * column + 22].sum() == yellow.sum() > 0


def test_interval_chance_and_effect_of_planted_units_are_in_the_table() -> None:
    planted = generators.PlantedGenerator()
    found = dissect(planted, PLANTED_SEGMENTER, "layer2", 64, top_images=0, progress=False)["layer2"]
    frame = add_chance(tables.unit_table(found, [1, 4, 5]), found)
    for row in (0, 1):
        assert frame["95%"][row].endswith(" to 1.000") and frame["chance"][row] < 0.2
    assert frame["IoU"][2] == 0, "the dead unit"
    green = add_chance(tables.unit_table(found, [0, 1], "green"), found, "green")
    assert green["IoU"].tolist() == [0, 1] and green["95%"][0].startswith("0.000 to ")
    effects = measure_unit_effects(planted, PLANTED_SEGMENTER, "layer2", 64, 5, progress=False)
    effect = add_effects(frame, found, effects)
    z = planted.sample_z(64, 5)
    assert effect["effect"][0] == pytest.approx(100 * float((z[:, 2] > 0).double().mean()) / 256), "all green pixels"
    assert effect["effect"][1] == 0 and effect["±"][1] == 0, "the twin, which nothing reads"
    assert PLANTED[1].name == frame["concept"][0]
