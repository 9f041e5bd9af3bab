"""Comparison of dissections: counts by hand, Wilson's interval by its definition, errors, and the figure."""

from __future__ import annotations

import io
import itertools
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import matplotlib
import numpy as np
import pytest
import torch
from matplotlib.figure import Figure

import generators
import segmenters
from apps.cli import main
from gandissect import dissect
from gandissect.core import NetworkId
from gandissect.core.types import Concept, LayerInfo
from gandissect.dissection.comparison import Comparison, compare
from gandissect.dissection.counting.top_images import Thumbnails, TopImages
from gandissect.dissection.iou import GroupCounts
from gandissect.dissection.results import Dissection, LayerDissection, Provenance
from gandissect.report.comparison import draw_comparison
from gandissect.stats.intervals import wilson_interval

CONCEPTS = tuple(
    Concept(index, name, (40 * index, 10, 200 - 30 * index))
    for index, name in enumerate(["sky", "tree", "door", "car", "sea"])
)
GROUPS = 32
MADE = Provenance(
    NetworkId("gan", "0" * 64), NetworkId("net", "1" * 64), 0, 100, 0.01, 32, (16, 16), "edge", "cpu", {}, 1.0
)


def _layer(name: str, intersection: np.ndarray, concepts: Sequence[Concept], num_pixels: int) -> LayerDissection:
    """A layer whose units are on at 100 pixels of each group; each concept has 100 pixels too, and no overlap by chance."""
    units, both = intersection.shape[1], torch.from_numpy(intersection).expand(GROUPS, -1, -1)
    areas = torch.full((GROUPS, units), 100), torch.full((GROUPS, len(concepts)), 100)
    empty = torch.empty(units, 0)
    return LayerDissection(
        name=name,
        info=LayerInfo(units, 4, 4),
        concepts=tuple(concepts),
        thresholds=torch.zeros(units),
        groups=GroupCounts(both, torch.zeros_like(both), *areas),
        num_pixels=num_pixels,
        top=TopImages(empty.long(), empty, (1, 1), torch.empty(units, 0, 1, dtype=torch.uint8)),
    )


def _dissection(layers: Mapping[str, np.ndarray], concepts: Sequence[Concept] = CONCEPTS, **made: object) -> Dissection:
    thumbnails = Thumbnails(torch.empty(0, dtype=torch.int64), torch.empty(0, 3, 1, 1, dtype=torch.uint8))
    about = replace(MADE, **made)
    found = tuple(_layer(name, intersection, concepts, about.num_pixels) for name, intersection in layers.items())
    return Dissection(found, tuple(concepts), thumbnails, about)


def _random(seed: int, units: Mapping[str, int], **made: object) -> Dissection:
    """Intersections of 0 to 20 pixels, so IoU from 0 to 1/9; the first unit of each layer overlaps no concept."""
    rng = np.random.default_rng(seed)
    layers = {name: rng.integers(0, 21, (len(CONCEPTS), count)) for name, count in units.items()}
    for intersection in layers.values():
        intersection[:, 0] = 0
        intersection[4] = 0  # nothing matches the sea
    return _dissection(layers, **{"seed": seed, **made})


def _counted(layer: LayerDissection, min_iou: float) -> dict[str, int]:
    """Units by concept, in loops over exact fractions."""
    counts: dict[str, int] = {}
    for unit in range(layer.info.units):
        best, name = Fraction(0), None
        for row, concept in enumerate(layer.concepts):
            inter = Fraction(int(layer.intersection[row, unit]), GROUPS)
            iou = Fraction(inter, 100 + 100 - inter)
            if iou > best:
                best, name = iou, concept.name
        if name is not None and float(best) >= min_iou:
            counts[name] = counts.get(name, 0) + 1
    return counts


@pytest.mark.parametrize("min_iou", [0.0, 0.04, 0.09, 1 / 9, 1.0])
def test_every_layer_of_every_model_is_counted(min_iou: float) -> None:
    dissections = [_random(1, {"a": 7, "b": 12}), _random(2, {"a": 9, "b": 1, "c": 30})]
    found = compare(dissections, min_iou, ["one", "two"])
    wanted = [(model, layer) for model, each in zip(("one", "two"), dissections, strict=True) for layer in each]
    assert [(row.model, row.layer, row.units) for row in found.layers] == [
        (model, layer.name, layer.info.units) for model, layer in wanted
    ]
    for row, record, counts, (_, layer) in zip(found.layers, found.records(), found.counts, wanted, strict=True):
        by_hand = _counted(layer, min_iou)
        assert row.units_by_concept == tuple(counts.tolist()) == tuple(by_hand.get(each.name, 0) for each in CONCEPTS)
        assert row.interpretable == record["interpretable"] == sum(by_hand.values())
        assert row.num_concepts == record["num_concepts"] == len(by_hand)
        assert record["units_by_concept"] == by_hand
        assert list(record["units_by_concept"].values()) == sorted(by_hand.values(), reverse=True)
        assert record["share"] == sum(by_hand.values()) / layer.info.units
        assert (record["share_low"], record["share_high"]) == row.interval
    assert found.counts.dtype == torch.int64
    assert json.loads(json.dumps(found.records(), allow_nan=False)) == found.records()
    assert [layer.layer for layer in found.layers_of("two")] == ["a", "b", "c"]
    with pytest.raises(KeyError, match="unknown model 'twoo'; did you mean 'two'"):
        found.layers_of("twoo")


def test_the_interval_is_that_of_the_score_test() -> None:
    """Its ends are the shares p with (k/n - p)^2 = z^2 p (1 - p) / n, found here by bisection."""
    for trials, successes in [(n, k) for n in (1, 2, 7, 40, 512) for k in sorted({0, 1, n // 3, n - 1, n})]:
        share = successes / trials

        def rejected(p: float, share: float = share, trials: int = trials) -> bool:
            return (share - p) ** 2 > 1.959963984540054**2 * p * (1 - p) / trials

        ends = []
        for outside in (0.0, 1.0):
            out, inside = outside, share
            for _ in range(200):
                middle = (out + inside) / 2
                out, inside = (middle, inside) if rejected(middle) else (out, middle)
            ends.append(inside)
        assert wilson_interval(successes, trials) == pytest.approx(ends, abs=1e-9)
        low, high = wilson_interval(successes, trials)
        assert 0 <= low <= share <= high <= 1


@pytest.mark.parametrize(
    ("successes", "trials", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_the_interval_agrees_with_published_ones(successes: int, trials: int, low: float, high: float) -> None:
    """Newcombe 1998, Statistics in Medicine 17, Table I, method 3."""
    assert wilson_interval(successes, trials) == pytest.approx((low, high), abs=5e-5)


def test_generators_seeds_layers_and_devices_may_differ() -> None:
    other = {"generator": NetworkId("other", "2" * 64), "device": "cuda:0", "batch_size": 8}
    found = compare(
        [_random(1, {"a": 5}), _random(2, {"b": 5}, **other, segmenter=NetworkId("net by another name", "1" * 64))]
    )
    assert found.notes == ()
    assert found.models == ("gan", "other")
    assert [made.seed for made in found.provenance] == [1, 2]


@pytest.mark.parametrize(
    ("change", "hint"),
    [
        (
            {"segmenter": NetworkId("web", "abcdef01" * 8)},
            r"segmenter is 'web' \(abcdef01\), not 'net' \(11111111\);",
        ),
        ({"quantile": 0.005}, "quantile is 0.005, not 0.01;"),
        ({"num_samples": 1000}, "num_samples is 1000, not 100;"),
        ({"num_samples": 17, "quantile": 0.5}, "quantile .* num_samples"),
    ],
)
def test_numbers_that_do_not_compare_are_refused(change: dict[str, object], hint: str) -> None:
    good, bad = _random(1, {"a": 5}), _random(2, {"a": 5}, **change)
    with pytest.raises(ValueError, match=rf"'bad' cannot be compared with 'good': .*{hint}.*dissect one of them again"):
        compare([good, good, bad], labels=["good", "same", "bad"])


def test_without_a_chance_test_nothing_is_interpretable_and_a_note_says_so() -> None:
    generator = generators.PlantedGenerator(size=16, cells=8)
    segmenter = segmenters.PaletteSegmenter(generator.concepts)
    one, many = (dissect(generator, segmenter, num_samples=n, progress=False) for n in (1, 100))
    assert max(match.iou for match in one["layer1"].matches) == 0.5, "a single sample agrees"
    assert sum(match.is_interpretable() for layer in many for match in layer.matches) >= 8
    assert not any(match.is_interpretable(0.0) for layer in one for match in layer.matches)
    found = compare([one], labels=["one"])
    assert sum(layer.interpretable for layer in found.layers) == 0
    assert found.notes == (
        "'one' has too few samples to rule out chance, so none of its units counts as interpretable",
    )


def test_what_is_no_comparison_is_refused() -> None:
    good = _random(1, {"a": 5})
    with pytest.raises(ValueError, match="at least one dissection"):
        compare([])
    with pytest.raises(TypeError, match=r"compare\(\[D1, D2\]\); it holds a LayerDissection"):
        compare(good)
    with pytest.raises(ValueError, match="has no layers"):
        compare([good, _dissection({})])
    for min_iou in (-0.1, 1.1, math.nan):
        with pytest.raises(ValueError, match="min_iou must be in"):
            compare([good], min_iou)
    with pytest.raises(ValueError, match="got 1 for 2 dissections"):
        compare([good, good], labels=["one"])
    for labels in (["x", "x"], ["x", " "], ["x", 3]):
        with pytest.raises(ValueError, match="labels must be distinct, non-empty strings"):
            compare([good, good], labels=labels)


def test_labels_tell_seeds_and_twins_apart() -> None:
    dissections = [
        _random(seed, {"a": 3}, generator=NetworkId(name, "0" * 64))
        for seed, name in [(1, "x"), (2, "x"), (1, "y"), (2, "x")]
    ]
    assert compare(dissections).models == ("x, seed 1", "x, seed 2 (2)", "y", "x, seed 2 (4)")


def test_concepts_are_aligned_by_name_and_it_is_said() -> None:
    """The same pixels with reordered concepts, one of them missing, have the same counts for all others."""
    rng = np.random.default_rng(3)
    pixels = np.stack([[*rng.permutation([3, 9, 12, 20]), 0] for _ in range(40)], axis=1)  # no ties, no sea
    whole = _dissection({"a": pixels})
    order = [3, 0, 2, 1]
    some = tuple(replace(CONCEPTS[old], index=new) for new, old in enumerate(order))
    turned = _dissection({"a": pixels[order]}, some)
    found = compare([whole, turned], labels=["whole", "turned"])
    assert found.concepts == CONCEPTS
    assert torch.equal(found.counts[0], found.counts[1])
    assert found.notes == ("concepts are aligned by name: 'turned' lacks sea, which count as 0 units there",)
    mirrored = compare([turned, whole], labels=["turned", "whole"])
    assert [concept.name for concept in mirrored.concepts] == ["car", "sky", "door", "tree", "sea"]
    assert [concept.index for concept in mirrored.concepts] == list(range(5))
    assert mirrored.notes == (
        "concepts are aligned by name: 'turned' lacks sea, which count as 0 units there",
        "concepts are aligned by name: 'whole' lists them in a different order",
    )


def test_labels_of_another_size_are_said() -> None:
    found = compare([_random(1, {"a": 5}), _random(2, {"a": 5}, label_size=(32, 64))], labels=["small", "large"])
    assert found.notes == ("'large' was labeled at 64 x 32 pixels, 'small' at 16 x 16; IoU depends on the label size",)


def _check_page(figure: Figure) -> None:
    """Draw a figure that fits inside its edges; layout warnings are errors in these tests."""
    figure.savefig(io.BytesIO())
    box, (width, height) = figure.get_tightbbox(), figure.get_size_inches()
    assert min(box.x0, box.y0, width - box.x1, height - box.y1) > 0


def _lines(axis: matplotlib.axes.Axes) -> dict[str, tuple[list[float], list[tuple[float, float]]]]:
    """The shares and intervals that are drawn, by the legend's text."""
    names = [text.get_text() for text in axis.get_legend().get_texts()]
    shares = [bars.lines[0].get_ydata().tolist() for bars in axis.containers]
    ends = [[(line[0][1], line[1][1]) for line in bars.lines[2][0].get_segments()] for bars in axis.containers]
    return dict(zip(names, zip(shares, ends, strict=True), strict=True))


def _ticks(axis: matplotlib.axes.Axes) -> list[str]:
    return [text.get_text() for text in axis.get_xticklabels()]


def _check_shares(axis: matplotlib.axes.Axes, found: Comparison, name: str) -> None:
    """The lines are the comparison's rows, grouped by ``model`` or ``layer``."""
    drawn = _lines(axis)
    assert list(drawn) == list(dict.fromkeys(getattr(row, name) for row in found.layers))
    for label, (shares, ends) in drawn.items():
        rows = [row for row in found.layers if getattr(row, name) == label]
        assert shares == pytest.approx([row.share for row in rows])
        assert np.array(ends) == pytest.approx(np.array([row.interval for row in rows]))


def test_the_figure_shows_shares_and_tables() -> None:
    found = compare([_random(1, {"a": 7, "b": 50}), _random(2, {"a": 9, "b": 40})], labels=["one", "two"])
    before = dict(matplotlib.rcParams)
    figure = draw_comparison(found)
    assert dict(matplotlib.rcParams) == before
    _check_page(figure)
    shares, *tables = figure.axes
    assert (
        "net is at least 0.04\nand beyond chance; 100 samples per model, seed 1, 2; bars are 95%"
        in figure.get_suptitle()
    )
    assert shares.get_ylabel() == "interpretable units"
    assert _ticks(shares) == ["a", "b"]
    _check_shares(shares, found, "model")
    for model, axis in zip(("one", "two"), tables, strict=True):
        assert axis.get_title(loc="left") == model
        assert _ticks(axis) == ["a", "b"]
        assert [line.get_color() for line in axis.lines] == [concept.hex for concept in CONCEPTS[:4]]
        cells = {(text.get_position()[1], text.get_position()[0]): int(text.get_text()) for text in axis.texts}
        assert cells == {
            (row + 0.5, column + 0.5): count
            for column, layer in enumerate(found.layers_of(model))
            for row, count in enumerate(layer.units_by_concept)
            if count
        }
    assert [text.get_text() for text in tables[0].get_yticklabels()] == ["sky", "tree", "door", "car"]  # none the sea


KINDS = ("ground", "thing", "thing", "thing", "ground")
OF_KINDS = tuple(replace(concept, category=kind) for concept, kind in zip(CONCEPTS, KINDS, strict=True))


def _of_kinds(seed: int) -> Dissection:
    rng = np.random.default_rng(seed)
    return _dissection({name: rng.integers(0, 21, (len(CONCEPTS), 30)) for name in "ab"}, OF_KINDS)


def test_concepts_of_several_categories_are_drawn_in_groups() -> None:
    found = compare([_of_kinds(1), _of_kinds(2)], labels=["one", "two"])
    assert (found.counts.sum(0) > 0).all()
    figure = draw_comparison(found)
    _check_page(figure)
    rows = ["ground", "sky", "sea", "thing", "tree", "door", "car"]
    for model, axis in zip(("one", "two"), figure.axes[1:], strict=True):
        labels = [tick.label1 for tick in axis.yaxis.get_major_ticks()]
        assert [label.get_text() for label in labels] == rows
        assert {label.get_text() for label in labels if label.get_style() == "italic"} == {"ground", "thing"}
        cells = {(text.get_position()[1], text.get_position()[0]): int(text.get_text()) for text in axis.texts}
        assert cells == {
            (rows.index(concept.name) + 0.5, column + 0.5): count
            for column, layer in enumerate(found.layers_of(model))
            for concept, count in zip(OF_KINDS, layer.units_by_concept, strict=True)
            if count
        }
        swatches = {line.get_ydata()[0]: line.get_color() for line in axis.lines}
        assert swatches == {rows.index(concept.name) + 0.5: concept.hex for concept in OF_KINDS}


def test_the_command_names_concepts_category_by_category(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _of_kinds(1).save(tmp_path)
    (found,) = compare([_of_kinds(1)]).layers[:1]
    counts = dict(zip([concept.name for concept in CONCEPTS], found.units_by_concept, strict=True))
    assert len(set(counts.values())) == len(counts)  # so that their order is known

    def named(*names: str) -> str:
        return ", ".join(f"{name} {counts[name]}" for name in sorted(names, key=lambda name: -counts[name]))

    _, output, _ = _say(capsys, tmp_path)
    line = output.splitlines()[1]
    assert line.endswith(f"5  ground: {named('sky', 'sea')}; thing: {named('tree', 'door', 'car')}")


def test_three_of_the_same_layers_are_drawn_over_the_models_too() -> None:
    labels = [f"{count},000 images" for count in (50, 100, 150)]
    found = compare([_random(seed, {"a": 20, "b": 30}) for seed in range(3)], labels=labels)
    figure = draw_comparison(found)
    _check_page(figure)
    by_layer, by_model, *tables = figure.axes
    assert len(tables) == 3
    assert (_ticks(by_layer), _ticks(by_model)) == (["a", "b"], labels)
    _check_shares(by_layer, found, "model")
    _check_shares(by_model, found, "layer")


def _on_grids(seed: int, grids: Mapping[str, tuple[int, int]]) -> Dissection:
    """A dissection whose layers have these grids."""
    plain = _random(seed, dict.fromkeys(grids, 9))
    layers = [replace(layer, info=LayerInfo(9, *grids[layer.name])) for layer in plain]
    return replace(plain, layers=tuple(layers))


def _drawn(models: Sequence[Mapping[str, tuple[int, int]]]) -> tuple[list[str], list[list[float]]]:
    """The names below the axis, and the positions of each model's layers, without the offset that separates lines."""
    found = compare([_on_grids(seed, grids) for seed, grids in enumerate(models)], labels=[*"xyzuvw"[: len(models)]])
    figure = draw_comparison(found)
    _check_page(figure)
    axis = figure.axes[0]
    assert axis.get_xticks().tolist() == list(range(len(_ticks(axis))))
    asides = [0.4 * ((index + 0.5) / len(models) - 0.5) for index in range(len(models))]
    places = [bars.lines[0].get_xdata() for bars in axis.containers]
    tables = [_ticks(table) for table in figure.axes[-len(models) :]]
    assert tables == [list(grids) for grids in models]
    return _ticks(axis), [
        (np.array(each, dtype=float) - aside).round(9).tolist() for each, aside in zip(places, asides, strict=True)
    ]


def test_some_layers_of_a_model_stand_where_they_stand_in_the_whole() -> None:
    whole = {"layer1": (4, 4), "layer2": (8, 8), "layer3": (16, 16), "layer4": (32, 32)}
    last, two = {"layer4": (32, 32)}, {"layer2": (8, 8), "layer4": (32, 32)}
    assert _drawn([last, whole, two]) == (list(whole), [[3], [0, 1, 2, 3], [1, 3]])


def test_layers_of_other_models_stand_by_their_grids() -> None:
    one_a_grid = {"layer1": (4, 4), "layer2": (8, 8), "layer3": (16, 16)}
    two_a_grid = {"layer2": (4, 4), "layer3": (8, 8), "layer4": (8, 8)}
    only = {"top": (16, 16)}
    ticks = ["4 x 4", "8 x 8", "16 x 16"]
    assert _drawn([one_a_grid, two_a_grid, only]) == (ticks, [[0, 1, 2], [0, 0.85, 1.15], [2]])


def test_layers_of_the_same_names_stand_by_them_whatever_their_grids() -> None:
    assert _drawn([{"a": (4, 4), "b": (8, 8)}, {"a": (8, 8), "b": (16, 16)}]) == (["a", "b"], [[0, 1], [0, 1]])


@pytest.mark.parametrize("models", [2, 9])
def test_names_are_broken_between_their_parts_only(models: int) -> None:
    labels = [f"runs/experiment_{number}/generator.safetensors" for number in range(models)]
    figure = draw_comparison(compare([_random(seed, {"a": 9}) for seed in range(models)], labels=labels))
    _check_page(figure)
    shares, *tables = figure.axes
    legend = [text.get_text() for text in shares.get_legend().get_texts()]
    titles = [axis.get_title(loc="left") for axis in tables if axis.get_title(loc="left")]
    for shown in (legend, titles):
        assert [text.replace("\n", "") for text in shown] == labels
        assert all(line[-1] in "/._-" for text in shown for line in text.split("\n")[:-1])
    assert any("\n" in text for text in legend)


def test_a_comparison_without_interpretable_units_says_so() -> None:
    figure = draw_comparison(compare([_random(1, {"a": 7, "b": 50})], 1.0))
    _check_page(figure)
    assert len(figure.axes) == 1
    assert [text.get_text() for part in figure.subfigs for text in part.texts] == ["no unit is interpretable"]


@pytest.mark.parametrize(("models", "layers"), [(1, 1), (2, 14), (3, 9), (9, 2)])
def test_any_number_of_models_and_any_names_fit_the_page(models: int, layers: int) -> None:
    """Dollar signs are not formulas, long names wrap, and a leading underscore hides nothing."""
    names = {f"$synthesis.\\b{number}$.conv_layer_{number}_with_a_long_name": 8 for number in range(layers)}
    labels = [f"_runs/$x_{number}/" + "deep/" * 6 * (number % 2) for number in range(models)]
    dissections = [_random(seed, names, label_size=(16 + seed, 16)) for seed in range(models)]
    figure = draw_comparison(compare(dissections, labels=labels))
    _check_page(figure)
    legend = [text.get_text().replace("\n", "") for text in figure.axes[0].get_legend().get_texts()]
    assert legend == labels
    assert len({bars.lines[0].get_color() for bars in figure.axes[0].containers}) == models


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The planted generator, dissected from two seeds."""
    folder = tmp_path_factory.mktemp("runs")
    generators.save(generators.PlantedGenerator(size=32, cells=8), folder / "planted.safetensors")
    for seed in (1, 2):
        with pytest.raises(SystemExit) as stop:
            main(
                [
                    *f"dissect --generator {folder / 'planted.safetensors'} --segmenter palette --device cpu".split(),
                    *f"--num-samples 30 --seed {seed} --out {folder / str(seed)}".split(),
                ]
            )
        assert stop.value.code == 0
    return [folder / "1", folder / "2"]


def _say(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    capsys.readouterr()
    with pytest.raises(SystemExit) as stop:
        main(["compare", *map(str, arguments)])
    return stop.value.code, *capsys.readouterr()


def test_the_command_prints_a_line_a_layer_and_draws(runs, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Of the six units of layer2 two draw red, one each green, blue and yellow, and one is dead."""
    out = tmp_path / "new" / "compare.png"
    status, output, _ = _say(capsys, *runs, "--labels", "first", "second one", "--out", out)
    assert status == 0
    head, *lines, last = output.splitlines()
    assert [line.split("  ")[0] for line in (head, *lines)] == [
        "model",
        "first",
        "first",
        "second one",
        "second one",
    ]
    assert " ".join(lines[1].split()) == "first layer2 6 5 83.3% 43.6-97.0 4 red 2, green 1, blue 1"
    assert last == f"figure: {out}"
    assert out.read_bytes().startswith(b"\x89PNG")
    assert list(out.parent.iterdir()) == [out]


def test_the_command_answers_in_json(runs, capsys: pytest.CaptureFixture[str]) -> None:
    status, output, _ = _say(capsys, *runs, "--min-iou", 0.5, "--json")
    found = compare([Dissection.load(path) for path in runs], 0.5)
    assert (status, json.loads(output)) == (
        0,
        {"min_iou": 0.5, "notes": [], "figure": None, "layers": found.records()},
    )
    assert [model.rpartition(", ")[2] for model in found.models] == ["seed 1", "seed 2"]


def test_the_command_refuses_in_one_line(runs, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = Dissection.load(runs[1])
    layers = tuple(replace(layer, num_pixels=31 * layer.num_pixels // 30) for layer in other)
    replace(other, layers=layers, provenance=replace(other.provenance, num_samples=31)).save(tmp_path / "more")
    bad = {
        "num_samples is 31, not 30": [runs[0], tmp_path / "more"],
        "at least one dissection": [],
        "absent": [runs[0], tmp_path / "absent"],
        "got 1 for 2 dissections": [*runs, "--labels", "x"],
        "min_iou": [*runs, "--min-iou", 2],
        ".png, .pdf or .svg": [*runs, "--out", tmp_path / "figure"],
    }
    for hint, arguments in bad.items():
        status, output, error = _say(capsys, *arguments)
        assert (status, output, error.count("\n")) == (2, "", 1), hint
        assert hint in error
    assert list(itertools.chain(tmp_path.glob("figure*"), tmp_path.glob(".*"))) == []
