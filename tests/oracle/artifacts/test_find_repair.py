"""One call finds the planted artifact and its repair, and does what the single calls do, step by step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, is_dataclass
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from gandissect import (
    FoundRepair,
    UnitSet,
    Yardstick,
    choose_num_units,
    find_repair,
    generate,
    measure_repair,
    rank_artifact_layers,
    repair,
)
from gandissect.core.images import to_uint8
from gandissect.core.sampling import make_rng
from gandissect.interventions import Ablation
from generators import PlantedGenerator
from segmenters import PaletteSegmenter

GENERATOR = PlantedGenerator(size=16, cells=8)
PALETTE = PaletteSegmenter(PlantedGenerator.concepts)
BLUE_UNIT = UnitSet("layer1", (2,))
SMALL = {"num_samples": 300, "num_images": 40, "progress": False}


class _Filters:
    """An encoder of one stage that sees the colors of an image through four filters, blue best."""

    name = "filters"

    def encode(self, images: Tensor) -> Sequence[Tensor]:
        filters = 1 + 0.5 * torch.randn(4, 16, 16, generator=make_rng(0, "filters"))
        seen_colors = torch.einsum("bchw,khw,c->bkc", images, filters, torch.tensor([0.1, 0.1, 0.3]))
        return [seen_colors.flatten(1)[:, :, None, None]]


class _Source:
    """Pictures by index, which notes the indices that it was asked for."""

    name, size = "planted pictures", 16

    def __init__(self, images: Tensor) -> None:
        self.images = images
        self.indices: list[int] = []

    def __len__(self) -> int:
        return len(self.images)

    def batch(self, indices: Sequence[int], rng: torch.Generator | None = None) -> SimpleNamespace:
        self.indices += indices
        return SimpleNamespace(images=self.images[list(indices)])


def _draw_pictures(seed: int, count: int) -> Tensor:
    """Pictures in which nothing is blue, so that blue is an artifact."""
    return to_uint8(generate(GENERATOR, GENERATOR.sample_z(count, seed), [Ablation(BLUE_UNIT)]))


FILTERS = _Filters()
TRAIN, HELD_OUT = _draw_pictures(1, 300), _draw_pictures(2, 60)
YARDSTICK = Yardstick.of(FILTERS, TRAIN, HELD_OUT)


def _find(real: Any = TRAIN, **options: Any) -> FoundRepair[PlantedGenerator]:
    defaults = {"features": FILTERS, "held_out": HELD_OUT, "layers": "layer1", **SMALL}
    return find_repair(GENERATOR, real, PALETTE, **defaults | options)


@pytest.fixture(scope="module")
def whole() -> FoundRepair[PlantedGenerator]:
    """The repair that is found when every layer is looked at."""
    return find_repair(GENERATOR, TRAIN, PALETTE, features=FILTERS, held_out=HELD_OUT, **SMALL)


def _assert_same(one: Any, other: Any) -> None:
    """Compare two results field by field, tensors bit by bit."""
    assert type(one) is type(other)
    if isinstance(one, Tensor):
        assert one.dtype == other.dtype and torch.equal(one, other)
    elif is_dataclass(one):
        for field in fields(one):
            _assert_same(getattr(one, field.name), getattr(other, field.name))
    elif isinstance(one, tuple):
        assert len(one) == len(other)
        for left, right in zip(one, other, strict=True):
            _assert_same(left, right)
    else:
        assert one == other


def _assert_same_repair(one: FoundRepair[PlantedGenerator], other: FoundRepair[PlantedGenerator]) -> None:
    for name in ("ranking", "curve", "repair"):
        _assert_same(getattr(one, name), getattr(other, name))
    assert one.generator.fingerprint == other.generator.fingerprint


def test_the_planted_artifact_is_found_in_its_layer(whole: FoundRepair[PlantedGenerator]) -> None:
    """Layer2 repeats layer1, and the first of equals is taken."""
    assert whole.units == whole.curve.units == whole.repair.units == BLUE_UNIT
    assert whole.ranking is not None and whole.ranking.top(1) == BLUE_UNIT
    assert whole.helps and str(whole) == str(whole.repair)
    concepts = whole.repair.concepts
    assert concepts is not None
    changes = {record["concept"]: record["change"] for record in concepts.records()}
    assert changes["blue"] == pytest.approx(-float(concepts.before.mean[3])) and changes["red"] == 0


class _Rotated(PlantedGenerator):
    """The planted generator with rotated units in layer2, none of which draws a single concept."""

    def __init__(self, size: int = 16, cells: int = 8) -> None:
        super().__init__(size, cells)
        rotation = torch.linalg.qr(torch.randn(6, 6, generator=make_rng(0, "rotation"))).Q
        rotate = nn.Conv2d(6, 6, 1, bias=False)
        rotate.weight.data = rotation[:, :, None, None].clone()
        self.layer2 = nn.Sequential(self.layer2, rotate)
        self.output.weight.data = (self.output.weight.data[:, :, 0, 0] @ rotation.T)[:, :, None, None].clone()
        self.eval().requires_grad_(False)


def test_the_layer_whose_units_help_most_is_taken_wherever_it_stands() -> None:
    generator = _Rotated()
    z = generator.sample_z(20, seed=9)
    assert torch.allclose(generator(z), GENERATOR(z), atol=1e-5)
    for layers in (["layer1", "layer2"], ["layer2", "layer1"]):
        found = find_repair(generator, YARDSTICK, layers=layers, **SMALL)
        assert found.units == BLUE_UNIT and found.ranking is not None and found.ranking.layer == "layer1"


@pytest.mark.parametrize("force_to", ["zero", "mean"])
def test_each_step_is_the_single_call(force_to: Any) -> None:
    found = _find(seed=3, force_to=force_to)
    quiet = {"force_to": force_to, "progress": False}
    (ranking,) = rank_artifact_layers(GENERATOR, ["layer1"], YARDSTICK, 300, 3, method="effect", progress=False)
    units = ranking.top(40)
    counts = (0, 1, 2, 5, 10, 20, 40, 6)
    curve = choose_num_units(GENERATOR, units, YARDSTICK, counts, 3, num_images=40, num_sets=4, num_controls=2, **quiet)
    _assert_same(found.ranking, ranking)
    _assert_same(found.curve, curve)
    _assert_same(
        found.repair, measure_repair(GENERATOR, curve.units_to_measure, YARDSTICK, 3, segmenter=PALETTE, **quiet)
    )
    z, repaired = GENERATOR.sample_z(20, seed=9), repair(GENERATOR, found.units, force_to)
    assert torch.equal(found.generator(z), repaired(z))
    assert found.generator.fingerprint == repaired.fingerprint != GENERATOR.fingerprint


def test_the_repaired_generator_is_the_ablation(whole: FoundRepair[PlantedGenerator]) -> None:
    z = GENERATOR.sample_z(20, seed=9)
    assert torch.equal(whole.generator(z), generate(GENERATOR, z, [Ablation(whole.units)]))
    assert not torch.equal(whole.generator(z), GENERATOR(z))


def test_pictures_may_be_tensors_a_source_or_a_yardstick() -> None:
    of_tensors = _find()
    _assert_same_repair(_find(_Source(TRAIN), held_out=_Source(HELD_OUT)), of_tensors)
    _assert_same_repair(_find(YARDSTICK, held_out=None, features=None), of_tensors)


def test_without_held_out_pictures_every_20th_is_set_aside() -> None:
    apart = [index for index in range(300) if index % 20 == 0]
    rest = [index for index in range(300) if index % 20]
    expected = _find(TRAIN[rest], held_out=TRAIN[apart])
    assert expected.repair.num_images == len(apart) == 15
    _assert_same_repair(_find(held_out=None), expected)
    source = _Source(TRAIN)
    _assert_same_repair(_find(source, held_out=None), expected)
    assert source.indices[0] == 0, "one picture says how many features there are"
    assert sorted(source.indices[1:]) == list(range(300)), "each picture is read once"


def test_given_units_are_not_ranked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gandissect.artifacts.find.iter_rankings", None)
    found = _find(units=UnitSet("layer1", (2, 0)), layers=None)
    assert found.ranking is None
    assert found.curve.ranked == UnitSet("layer1", (2, 0)) and found.curve.counts == (0, 1, 2)
    assert found.units == BLUE_UNIT


def test_where_nothing_helps_it_says_so_and_shows_what_the_units_do() -> None:
    found = _find(units=UnitSet("layer1", (0, 1)))
    assert not found.helps and found.curve.num_units == 0
    assert len(found.units) > 0, "there is something to look at"
    assert found.repair.verdict == "harms" and "away from real pictures: distance" in str(found)


class _NotForcible:
    """The planted generator without a way to force units."""

    def __getattr__(self, name: str) -> Any:
        if name == "forcing":
            raise AttributeError(name)
        return getattr(GENERATOR, name)

    def __call__(self, z: Tensor) -> Tensor:
        return GENERATOR(z)


def test_mistakes_are_named() -> None:
    for call, error, message in (
        (lambda: _find(layers="layer11"), KeyError, "did you mean 'layer1'"),
        (lambda: _find(layers=["layer1", "layr2"]), KeyError, "did you mean 'layer2'"),
        (lambda: _find(layers=[]), ValueError, "layers must name at least one of layer1"),
        (lambda: _find(method="efect"), KeyError, "did you mean 'effect'"),
        (lambda: _find(YARDSTICK), ValueError, "a yardstick has its own held-out pictures"),
        (lambda: find_repair(GENERATOR, YARDSTICK, features=FILTERS), ValueError, "a yardstick has its own features"),
        (lambda: _find(force_to="men"), KeyError, "did you mean 'mean'"),
        (lambda: _find(num_images=1), ValueError, "num_images must be at least 2; got 1"),
        (lambda: _find(num_sets=1), ValueError, "num_sets must be at least 2; got 1"),
        (lambda: _find(num_held_out=0), ValueError, "num_held_out must be at least 8; got 0"),
        (lambda: _find(units=(0, 1)), TypeError, r"units must be a UnitSet\(layer, units\); got tuple"),
        (
            lambda: _find(units=UnitSet("layer1", ())),
            ValueError,
            "units must name at least one unit of 'layer1'; omit units",
        ),
        (
            lambda: _find(units=UnitSet("layer1", (0,)), layers="layer2"),
            ValueError,
            "layers must match the layer of units, 'layer1'; got 'layer2'",
        ),
        (lambda: find_repair(GENERATOR, TRAIN, **SMALL), ValueError, "pass a segmenter with an encoder, or features="),
        (lambda: _find(features=None), ValueError, "'palette' has no encoder"),
        (lambda: _find(held_out=HELD_OUT[:7]), ValueError, "there must be at least 8 held-out pictures; got 7"),
        (lambda: _find(TRAIN[:100], held_out=None), ValueError, "there must be at least 8 held-out pictures; got 5"),
        (lambda: _find(TRAIN[:50]), ValueError, "got 50 and 60"),
    ):
        with pytest.raises(error, match=message):
            call()
    with pytest.raises(TypeError, match=r"_NotForcible has no forcing\(units, values\)"):
        find_repair(_NotForcible(), YARDSTICK, units=BLUE_UNIT, **SMALL)


def test_a_layer_or_unit_that_is_not_there_is_refused_before_a_picture_is_read() -> None:
    source = _Source(TRAIN)
    with pytest.raises(KeyError, match="did you mean 'layer1'"):
        _find(source, layers="layer11")
    with pytest.raises(KeyError, match="did you mean 'layer1'"):
        _find(source, units=UnitSet("layer11", (0,)), layers=None)
    with pytest.raises(ValueError, match="'layer1' has units 0 to 5; got 9"):
        _find(source, units=UnitSet("layer1", (0, 9)), layers=None)
    assert source.indices == []


def test_too_few_images_are_refused_before_pictures_are_read_and_the_message_says_how_many() -> None:
    train, held_out = _Source(TRAIN), _Source(HELD_OUT)
    with pytest.raises(
        ValueError, match=r"need 24 top images; got .* use at least 240 samples \(num_samples, --num-samples\)"
    ):
        _find(train, held_out=held_out, num_samples=234)
    assert not train.indices and held_out.indices == [0], "one picture says how many features there are"
    assert YARDSTICK.train.shape[1] == 12


def test_fewer_pictures_are_looked_at_on_request() -> None:
    train, held_out = _Source(TRAIN), _Source(HELD_OUT)
    found = _find(train, held_out=held_out, num_real=100, num_held_out=20, num_sets=3)
    assert (len(set(train.indices)), len(set(held_out.indices))) == (100, 20)
    assert found.repair.before.shape[0] == 3 and found.repair.num_images == 20
