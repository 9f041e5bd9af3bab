"""Edits do what their formula says, and leave nothing behind."""

from __future__ import annotations

import threading

import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st
from tiny_generators import FAMILIES, make_generator
from torch import Tensor, nn

from gandissect import Ablation, Insertion, Scaling, UnitSet, generate, intervene
from gandissect.interventions.edits import Edit


def _by_hand(activation: Tensor, edits: list[Edit], size: tuple[int, int]) -> Tensor:
    """The formula of the module, pixel by pixel."""
    result = activation.double().numpy().copy()
    batch, _, rows, columns = result.shape
    for edit in edits:
        for place, unit in enumerate(edit.units.units):
            for sample, row, column in np.ndindex(batch, rows, columns):
                old = result[sample, unit, row, column]
                new = (
                    (1 - edit.strength) * old
                    if isinstance(edit, Ablation)
                    else edit.factor * old
                    if isinstance(edit, Scaling)
                    else edit.values[place]
                )
                mask = 1.0 if edit.region is None else _mask(edit.region, sample, row, column, (rows, columns), size)
                result[sample, unit, row, column] = (1 - mask) * old + mask * new
    return torch.from_numpy(result)


def _mask(region: Tensor, sample: int, row: int, column: int, grid: tuple[int, int], size: tuple[int, int]) -> float:
    one = (region if region.ndim == 2 else region[min(sample, len(region) - 1)]).numpy()
    if one.shape == grid:
        return float(one[row, column])
    tall, wide = size[0] // grid[0], size[1] // grid[1]
    return float(one[row * tall : (row + 1) * tall, column * wide : (column + 1) * wide].max())


def _some_edits(layer: str, grid: tuple[int, int], last: int, draw: torch.Generator) -> list[Edit]:
    on_grid, on_image, each = (torch.rand(*shape, generator=draw) for shape in (grid, (16, 16), (3, *grid)))
    return [
        Ablation(UnitSet(layer, (2, 0)), region=on_image > 0.9),
        Insertion(UnitSet(layer, (1, last)), values=(0.5, -2.0), region=each),
        Scaling(UnitSet(layer, (last, 0)), factor=-1.5, region=on_grid),
        Ablation(UnitSet(layer, (1,)), strength=0.25),
        Insertion(UnitSet(layer, (0,)), 3.0, region=each[:1] > 0.5),
    ]


@pytest.mark.parametrize("family", FAMILIES)
def test_edits_follow_the_formula_in_order(family: str) -> None:
    generator, draw = make_generator(family), torch.Generator().manual_seed(1)
    z = generator.sample_z(3, seed=2)
    for layer, info in generator.layers.items():
        edits = _some_edits(layer, (info.height, info.width), min(3, info.units - 1), draw)
        activation = generator.head(z, layer)
        wanted = _by_hand(activation, edits, generator.image_size)
        for edit in edits:
            activation = edit.apply(activation, generator.image_size)
        assert torch.allclose(activation.double(), wanted, atol=1e-5)
        images = generate(generator, z, edits)
        assert torch.equal(images, generator.tail(activation, layer, z))
        assert torch.equal(images, generate(generator, z, edits, activation=generator.head(z, layer)))
        with intervene(generator, edits):
            assert torch.equal(generator(z), images)


@pytest.mark.parametrize("family", FAMILIES)
def test_edits_of_several_layers_are_made_one_after_the_other(family: str) -> None:
    generator = make_generator(family)
    z = generator.sample_z(2, seed=2)
    first, *_, last = generator.layers
    edits = [Insertion(UnitSet(last, (1,)), 2.0), Ablation(UnitSet(first, (0, 2))), Scaling(UnitSet(last, (0,)), 3.0)]
    images = generate(generator, z, edits)
    with intervene(generator, edits):
        assert torch.equal(generator(z), images)
        reached = generator.head(z, last)  # with the first edit's effect, and its own
    unedited = generator.head(z, last)
    assert torch.equal(reached[:, 1], torch.full_like(reached[:, 1], 2.0))
    if family != "planted":  # whose last layer only enlarges
        assert not torch.equal(reached[:, 3:], unedited[:, 3:])
    assert not torch.equal(images, generate(generator, z, edits[:1]))


@pytest.mark.parametrize("family", FAMILIES)
def test_nothing_changes_where_nothing_is_edited(family: str) -> None:
    generator = make_generator(family)
    z = generator.sample_z(3, seed=1)
    images = generator(z)
    for layer, info in generator.layers.items():
        units, none = UnitSet(layer, tuple(range(info.units))), UnitSet(layer, ())
        zero = torch.zeros(info.height, info.width)
        for edit in (
            Ablation(none),
            Ablation(units, region=zero),
            Insertion(units, 7.0, region=zero),
            Scaling(units, 9.0, region=torch.zeros(16, 16, dtype=torch.bool)),
            Ablation(units, strength=0.0),
            Scaling(units, 1.0),
        ):
            assert torch.equal(generate(generator, z, [edit]), images)
    assert torch.equal(generate(generator, z), images)


def test_a_soft_region_of_one_is_the_plain_edit() -> None:
    generator = make_generator("dcgan")
    z, units = generator.sample_z(3), UnitSet("layer1", (1, 4))
    info = generator.layers["layer1"]
    for region in (torch.ones(info.height, info.width), torch.ones(3, 16, 16)):
        for plain, soft in (
            (Ablation(units), Ablation(units, region)),
            (Ablation(units, strength=0.3), Ablation(units, region, 0.3)),
            (Insertion(units, (0.1, -5.0)), Insertion(units, (0.1, -5.0), region)),
            (Scaling(units, 2.5), Scaling(units, 2.5, region)),
        ):
            assert torch.equal(generate(generator, z, [plain]), generate(generator, z, [soft]))


@settings(max_examples=50, deadline=None)
@given(
    activation=st.integers(0, 2**31),
    split=st.integers(1, 5),
    order=st.permutations(range(3)),
    regions=st.booleans(),
)
def test_disjoint_edits_commute(activation: int, split: int, order: list[int], regions: bool) -> None:
    draw = torch.Generator().manual_seed(activation)
    x = torch.randn(2, 8, 3, 4, generator=draw)
    ids = torch.randperm(8, generator=draw).tolist()
    region = torch.rand(2, 3, 4, generator=draw) if regions else None
    edits = [
        Ablation(UnitSet("l", tuple(ids[:split])), region),
        Insertion(UnitSet("l", tuple(ids[split:6])), 2.0, region),
        Scaling(UnitSet("l", tuple(ids[6:])), 0.5, region),
    ]
    one, other = x, x
    for edit, index in zip(edits, order, strict=True):
        one, other = edit.apply(one), edits[index].apply(other)
    assert torch.equal(one, other)


def test_an_edit_keeps_what_it_was_given() -> None:
    region, values = torch.ones(4, 4), torch.tensor([1.0, 2.0])
    edit = Insertion(UnitSet("layer1", (0, 1)), values, region)
    region.zero_()
    values.zero_()
    x = torch.zeros(1, 2, 4, 4)
    assert torch.equal(edit.apply(x)[0, :, 0, 0], torch.tensor([1.0, 2.0]))
    assert not x.any()


def test_thirty_two_threads_get_what_one_gets() -> None:
    generator = make_generator("stylegan2")
    names = list(generator.layers)
    z = generator.sample_z(2, seed=5)
    edits = [
        [Scaling(UnitSet(names[index % len(names)], (index % 4,)), 1.0 + index), Ablation(UnitSet(names[-1], (0,)))]
        for index in range(32)
    ]
    wanted = [generate(generator, z, each) for each in edits]
    found: list[list[Tensor]] = [[] for _ in edits]
    start = threading.Barrier(32)

    def run(index: int) -> None:
        start.wait()
        for turn in range(4):
            if turn % 2:
                with intervene(generator, edits[index]):
                    found[index].append(generator(z))
            else:
                found[index].append(generate(generator, z, edits[index]))

    threads = [threading.Thread(target=run, args=(index,)) for index in range(32)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for images, each in zip(found, wanted, strict=True):
        assert len(images) == 4
        assert all(torch.equal(image, each) for image in images)


class Failing(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        raise RuntimeError("it fails")


def test_nothing_is_left_after_a_call_a_bad_argument_or_a_model_that_raises() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 4, 1), nn.Conv2d(4, 3, 1)).requires_grad_(False)
    x = torch.randn(1, 3, 2, 2)
    before = network(x)
    with intervene(network, [Ablation(UnitSet("0", (0,)))]):
        assert not torch.equal(network(x), before)
    with pytest.raises(ValueError, match="units 0 to 3; got 4"), intervene(network, [Ablation(UnitSet("0", (4,)))]):
        network(x)
    with pytest.raises(KeyError, match="unknown layer"), intervene(network, [Ablation(UnitSet("2", (0,)))]):
        pass
    failing = nn.Sequential(network, Failing())
    with pytest.raises(RuntimeError, match="it fails"), intervene(failing, [Ablation(UnitSet("0.0", (0,)))]):
        failing(x)
    assert torch.equal(network(x), before)
    for module in failing.modules():
        assert not (module._forward_hooks or module._forward_pre_hooks or module._backward_hooks)


def test_blocks_add_up_and_an_inner_trace_sees_the_edits() -> None:
    from gandissect import trace

    generator = make_generator("dcgan")
    z = generator.sample_z(2)
    with intervene(generator, [Insertion(UnitSet("layer2", (0,)), 5.0)]):
        with intervene(generator, [Scaling(UnitSet("layer2", (0,)), 2.0)]), trace(generator, "layer2") as record:
            images = generator(z)
        again = generator(z)
    assert (record.output[:, 0] == 10).all()
    assert torch.equal(again, generate(generator, z, [Insertion(UnitSet("layer2", (0,)), 5.0)]))
    assert torch.equal(images, generate(generator, z, [Insertion(UnitSet("layer2", (0,)), 10.0)]))


@pytest.mark.wrong_shape
def test_a_region_without_rows_and_columns_is_refused() -> None:
    with pytest.raises(ValueError, match="mask"):
        Ablation(UnitSet("layer1", (0, 1)), torch.ones(4))


def test_mistakes_are_named() -> None:
    generator = make_generator("dcgan")
    z, units = generator.sample_z(2), UnitSet("layer1", (0, 1))
    for edit, error, message in (
        (Ablation(UnitSet("layer9", (0,))), KeyError, "did you mean"),
        (Ablation(UnitSet("layer1", (0, 10_000))), ValueError, "got 10000"),
        (Ablation(units, torch.ones(3, 3)), ValueError, r"\[3, 3\]"),
        (Ablation(units, torch.ones(5, 4, 4)), ValueError, r"each of the 2; got \[5, 4, 4\]"),
    ):
        with pytest.raises(error, match=message):
            generate(generator, z, [edit])
    for make, error, message in (
        (lambda: Insertion(units, (1.0, 2.0, 3.0)), ValueError, "each of the 2 units"),
        (lambda: Insertion(units, float("nan")), ValueError, "finite"),
        (lambda: Ablation(units, strength=1.5), ValueError, r"strength must be in \[0, 1\]; got 1.5"),
        (lambda: Scaling(units, float("inf")), ValueError, "finite"),
        (lambda: Ablation(units, torch.full((4, 4), 2.0)), ValueError, r"\[0, 1\]; got values from 2 to 2"),
        (lambda: Ablation(units, torch.full((4, 4), torch.nan)), ValueError, r"\[0, 1\]"),
        (lambda: Ablation((0, 1)), TypeError, "UnitSet"),
        (lambda: generate(generator, z, Ablation(units)), TypeError, "list"),
        (lambda: generate(generator, z, [units]), TypeError, "got UnitSet"),
    ):
        with pytest.raises(error, match=message):
            make()
    pair = nn.Sequential(nn.LSTM(3, 4))
    with (
        pytest.raises(TypeError, match=r"output of .0. must be activations .*; got tuple"),
        intervene(pair, [Ablation(UnitSet("0", (0,)))]),
    ):
        pair(torch.randn(2, 3))


def test_units_are_whole_numbers_of_any_kind() -> None:
    units = UnitSet("layer1", [np.int64(3), torch.tensor(1), 0])
    assert units == UnitSet("layer1", (3, 1, 0)) and all(type(unit) is int for unit in units.units)
    for wrong in ((1.5,), (True,), ("1",)):
        with pytest.raises(TypeError, match="integers"):
            UnitSet("layer1", wrong)
    with pytest.raises(ValueError, match="more than once"):
        UnitSet("layer1", (torch.tensor(3), torch.tensor(3)))


def test_what_overflows_stays_inside_its_region() -> None:
    activation = torch.ones(1, 2, 3, 3)
    region = torch.zeros(3, 3)
    region[1, 1] = 1
    edited = Scaling(UnitSet("layer1", (0,)), 3e38, region).apply(7 * activation)
    assert torch.equal(edited[0, 0][region == 0], torch.full((8,), 7.0))
    assert edited[0, 0, 1, 1].isinf()


def test_a_network_with_a_number_as_image_size_takes_masks_on_its_grid() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1))
    network.image_size = 16
    images, region = torch.randn(2, 3, 6, 6), torch.ones(6, 6)
    with intervene(network, [Ablation(UnitSet("0", (1,)), region)]):
        assert not network(images)[:, 1].any()
    with (
        pytest.raises(ValueError, match="region"),
        intervene(network, [Ablation(UnitSet("0", (1,)), torch.ones(5, 5))]),
    ):
        network(images)
