"""Strokes, recipes and renderings of the explorer: against loops, the command line, and a single visitor."""

from __future__ import annotations

import argparse
import io
import json
import math
import subprocess
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from threading import Barrier

import pytest
import torch
from PIL import Image

import generators
from apps.cli import main
from apps.explorer.background.memory import Memory
from apps.explorer.display.changes import split_change
from apps.explorer.levels import LEVELS
from apps.explorer.painting import strokes
from apps.explorer.painting.recipe_files import (
    MAX_BYTES,
    check_fits,
    format_command,
    format_python,
    make_sheet,
    read_recipe,
)
from apps.explorer.painting.render import render
from apps.explorer.painting.strokes import History, Stroke
from apps.explorer.visit import Visit, first_layer
from gandissect import Ablation, Insertion, LayerInfo, Recipe, Scaling, UnitSet, generate, quantile_values
from gandissect.causal.values import quantile_table
from gandissect.core import NetworkId
from segmenters.palette import PaletteSegmenter

GAP = 2
"""Gap between the pictures of a sheet and around them, in pixels."""

SEGMENTER = PaletteSegmenter(generators.PlantedGenerator.concepts)


@pytest.fixture(scope="module")
def dcgan() -> generators.DCGAN:
    torch.manual_seed(0)
    return generators.DCGAN(size=64, width=8, z_dim=8).eval().requires_grad_(False)


def visit(generator: generators.LayeredGenerator, number: int = 0, layer: str | None = None) -> Visit:
    return Visit(argparse.Namespace(), generator, "palette", layer or first_layer(generator), 1, number)


def drawn(*numbers: int) -> tuple[Stroke, ...]:
    return tuple(Stroke(number, f"stroke {number}", Ablation(UnitSet("layer1", (0,)))) for number in numbers)


def numbers(history: tuple[Stroke, ...]) -> list[int]:
    return [stroke.number for stroke in history]


def test_undo_and_redo_visit_the_same_states() -> None:
    states = [(), drawn(1), drawn(1, 2), drawn(2), drawn(2, 3)]
    history = History()
    for state in states[1:]:
        history = history.then(state)
    seen = [numbers(history.now)]
    for _ in states[1:]:
        history = history.undo()
        seen.append(numbers(history.now))
    assert seen == [numbers(state) for state in reversed(states)] and history.undo() is history
    for state in states[1:]:
        history = history.redo()
        assert numbers(history.now) == numbers(state)
    assert history.redo() is history and history.next_number == 4
    assert not history.undo().then(()).future, "a new change clears the redo states"


def test_undo_is_bounded_and_so_are_strokes() -> None:
    history = History()
    for number in range(3 * strokes.MAX_UNDO):
        history = history.then(drawn(number))
    assert len(history.past) == strokes.MAX_UNDO
    with pytest.raises(ValueError, match="at most 64 strokes"):
        history.then(drawn(*range(strokes.MAX_STROKES + 1)))


def test_strokes_are_switched_moved_and_deleted_by_number() -> None:
    three = drawn(5, 7, 6)
    assert [stroke.on for stroke in strokes.switch_stroke(three, 7)] == [True, False, True]
    assert len(strokes.active_edits(strokes.switch_stroke(three, 7))) == 2
    assert strokes.switch_stroke(strokes.switch_stroke(three, 7), 7)[1].on
    assert numbers(strokes.move_stroke(three, 6, -1)) == [5, 6, 7] and numbers(strokes.move_stroke(three, 5, 1)) == [
        7,
        5,
        6,
    ]
    assert numbers(strokes.move_stroke(three, 5, -1)) == numbers(strokes.move_stroke(three, 6, 1)) == [5, 7, 6]
    assert numbers(strokes.delete_stroke(three, 7)) == [5, 6]


def test_levels_are_quantiles_of_the_unit_and_0_is_off(dcgan: generators.DCGAN) -> None:
    units, layer = UnitSet("layer2", (3, 0, 2)), "layer2"
    every = UnitSet(layer, tuple(range(dcgan.layers[layer].units)))
    table = quantile_table(dcgan, every, LEVELS[1:], num_samples=20)
    values = (
        torch.cat([dcgan.head(dcgan.sample_z(20, _values_seed()), layer)]).transpose(0, 1).flatten(1).sort(1).values
    )
    for index, quantile in enumerate(LEVELS[1:]):
        rank = max(1, math.ceil(quantile * values.shape[1]))
        torch.testing.assert_close(table[:, index], values[:, rank - 1], rtol=1e-6, atol=1e-7)
        assert quantile_values(dcgan, units, quantile, 20) == tuple(table[list(units.units), index].tolist())
    edit = strokes.make_edit(units, (0.99, 0, 1), table, None)
    assert isinstance(edit, Insertion)
    assert edit.values == (float(table[3, LEVELS.index(0.99) - 1]), 0, float(table[2, -1]))
    assert isinstance(strokes.make_edit(units, (0, 0, 0), table, None), Ablation)


def _values_seed() -> int:
    from gandissect.core.sampling import derive_seed

    return derive_seed(0, "values")


def test_cells_make_a_region_and_others_are_refused() -> None:
    info = LayerInfo(4, 3, 5)
    assert strokes.make_region([0, 7, 7, 14], info).nonzero().tolist() == [[0, 0], [1, 2], [2, 4]]
    for wrong in ([], [15], [-1], [True], ["1"], [1.0], [None], [[1]]):
        with pytest.raises(ValueError, match="one or more of the cells 0 to 14"):
            strokes.make_region(wrong, info)


def test_change_is_split_where_the_strokes_are() -> None:
    edits = [Ablation(UnitSet("a", (0,)), strokes.make_region([1, 4], LayerInfo(1, 2, 3)))]
    where = strokes.find_painted_region(edits, (4, 6))
    slow = [[(row // 2) * 3 + column // 2 in (1, 4) for column in range(6)] for row in range(4)]
    assert where.tolist() == slow
    change = torch.where(where, 0.5, 0.125)
    assert split_change(change, where) == (0.5, 0.125)
    assert strokes.find_painted_region([*edits, Ablation(UnitSet("a", (0,)))], (4, 6)).all()
    assert split_change(change, torch.zeros(4, 6, dtype=torch.bool))[0] is None


def test_the_control_has_other_units_and_the_same_regions_and_quantiles(dcgan: generators.DCGAN) -> None:
    table = quantile_table(dcgan, UnitSet("layer2", tuple(range(32))), LEVELS[1:], num_samples=4)
    units, region = UnitSet("layer2", (1, 2, 3)), strokes.make_region([5], dcgan.layers["layer2"])
    levels = (0.5, 0.99, 0.0)
    mine = (
        Stroke(1, "a", strokes.make_edit(units, levels, table, region), levels),
        Stroke(2, "off", Ablation(units), (0.0,) * 3, on=False),
        Stroke(3, "loaded", Insertion(units, 2.0)),
        Stroke(4, "elsewhere", Ablation(UnitSet("layer1", (0,)))),
    )
    first, second = strokes.make_control_edits(mine, 32, table, "layer2")
    assert not set(first.units.units) & set(units.units) and torch.equal(first.region, region)
    assert first.values == tuple(
        level and float(table[unit, LEVELS.index(level) - 1])
        for unit, level in zip(first.units.units, levels)  # noqa: B905
    )
    assert second.values == (2.0, 2.0, 2.0)


def test_16_concurrent_visitors_get_the_results_of_one_alone(dcgan: generators.DCGAN) -> None:
    """Each visitor has another picture, layers, units and region; the shared generator stays unchanged."""
    names = list(dcgan.layers)

    def edits(index: int) -> list:
        chosen = [names[index % len(names)], names[(index // 4) % len(names)]]
        return [
            Insertion(
                UnitSet(layer, (index % 5, 6)),
                3.0 + index,
                strokes.make_region([index % 9, 3], dcgan.layers[layer]),
            )
            for layer in dict.fromkeys(chosen)
        ]

    def alone(index: int) -> torch.Tensor:
        with torch.inference_mode():
            return generate(dcgan, dcgan.sample_z(1, 1, index), edits(index))[0]

    hooks = [len(module._forward_hooks) for module in dcgan.modules()]
    wanted, plain = [alone(index) for index in range(16)], dcgan(dcgan.sample_z(16, 1))
    assert len({tuple(image.flatten().tolist()) for image in wanted}) == 16
    together = Barrier(16)

    def visitor(index: int) -> bool:
        memory, mine = Memory(2), visit(dcgan, index)
        together.wait(30)
        same = True
        for _ in range(5):
            same &= torch.equal(render(mine, edits(index), memory), wanted[index])
            same &= torch.equal(render(mine, [], memory), plain[index])
        return same

    plain = torch.cat([render(visit(dcgan, index), [], Memory())[None] for index in range(16)])
    with ThreadPoolExecutor(16) as pool:
        assert all(pool.map(visitor, range(16)))
    assert [len(module._forward_hooks) for module in dcgan.modules()] == hooks


def test_memory_keeps_only_the_latest_results() -> None:
    memory, made = Memory(2), []
    for key in (1, 2, 1, 3, 1, 2):
        memory.get(key, lambda key=key: made.append(key))
    assert made == [1, 2, 3, 2]


@pytest.fixture
def recipe(tmp_path: Path) -> tuple[Recipe, generators.LayeredGenerator]:
    path = tmp_path / "it's mine.safetensors"
    torch.manual_seed(1)
    generators.save(generators.DCGAN(size=64, width=8, z_dim=8), path)
    generator = generators.load(path, "cpu")
    grid = generator.layers["layer2"]
    edits = [
        Insertion(UnitSet("layer2", (1, 2)), (0.1, 7.25), strokes.make_region([1, 9, 10], grid)),
        Ablation(UnitSet("layer1", (0, 5)), torch.full((4, 4), 0.3), 0.5),
        Scaling(UnitSet("layer2", (4,)), 1.5),
    ]
    return Recipe.of(generator, edits, seed=3, start=2, num_samples=1), generator


def test_the_command_line_renders_the_same_png_as_the_page(
    recipe: tuple[Recipe, generators.LayeredGenerator], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made, generator = recipe
    mine = replace(visit(generator, 2), seed=3)
    page = make_sheet(render(mine, [], Memory())[None], render(mine, made.edits, Memory())[None])
    height, width = generator.image_size
    size = (width + 2 * GAP, 2 * height + 3 * GAP)
    assert Image.open(io.BytesIO(page)).size == size, "the picture before and after, without empty ones"
    command = format_command(made, bundled=False)
    script = command.replace("gandissect edit", "printf '%s\\n' edit")
    words = subprocess.run(["bash", "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True)
    arguments = words.stdout.splitlines()
    assert arguments[-1] == str(tmp_path / "it's mine.safetensors"), "the shell reads the name as it is"
    arguments = [str(tmp_path / word) if word.endswith((".json", ".png")) else word for word in arguments]
    with pytest.raises(SystemExit) as stop:
        main([*arguments, "--device", "cpu"])
    assert stop.value.code == 0, capsys.readouterr().err
    assert (tmp_path / "edited.png").read_bytes() == page


def test_the_copied_python_renders_the_same_images(
    recipe: tuple[Recipe, generators.LayeredGenerator], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, generator = recipe
    monkeypatch.chdir(tmp_path)  # it writes a PNG
    names: dict = {}
    exec(format_python(made).replace("generators.load(", "generators.load(device='cpu', name="), names)
    assert torch.equal(names["images"], made.generate(generator))


def test_recipes_from_visitors_are_checked(recipe: tuple[Recipe, generators.LayeredGenerator]) -> None:
    made, generator = recipe
    assert read_recipe(made.to_json().encode()).to_json() == made.to_json()
    entries = json.loads(made.to_json())
    bomb = {"shape": [2**13, 2**12], "data": "eJwDAAAAAAE="}
    beside = [entries["edits"][0] | {"region": other} for other in (bomb, {"shape": [-(2**13), 2**12]}, "x")]
    for data, said in (
        (b" " * (MAX_BYTES + 1), "at most 1048576 bytes; got 1048577"),
        (b"\xff\xfe\x00", "."),
        (b"[]", "format"),
        (b"[" * 100_000, "."),
        (
            json.dumps(entries | {"edits": [entries["edits"][0] | {"region": bomb}] * 40}).encode(),
            "at most 4194304 values",
        ),
        (json.dumps(entries | {"edits": beside}).encode(), "at most 4194304 values"),
        (json.dumps(entries | {"edits": entries["edits"] * 40}).encode(), "at most 64 edits"),
    ):
        with pytest.raises(ValueError, match=said):
            read_recipe(data)
    check_fits(made, generator)
    for edit, said in (
        (Ablation(UnitSet("layer9", (0,))), "layer9"),
        (Ablation(UnitSet("layer1", (10_000,))), "has units"),
        (Ablation(UnitSet("layer1", (0,)), torch.ones(5, 5)), "size of the grid of"),
    ):
        with pytest.raises((KeyError, ValueError), match=said):
            check_fits(replace(made, edits=(edit,)), generator)
    with pytest.raises(ValueError, match="the recipe belongs to"):
        check_fits(replace(made, generator=NetworkId("other", "0")), generator)
