"""The report of a repair says what was measured, shows what it says, and refuses what does not belong together."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
import torch

from gandissect import (
    Ablation,
    Concept,
    Generator,
    Recipe,
    UnitSet,
    choose_num_units,
    generate,
    measure_repair,
    rank_artifact_units,
    write_repair_report,
)
from gandissect.artifacts.results import ConceptChanges, Repair
from gandissect.core.environment import installed_versions
from gandissect.fidelity.yardstick import Yardstick
from gandissect.report.repair.curve import draw_repair_curve
from gandissect.report.repair.pdf import Document
from gandissect.report.repair.pictures import NUM_RANDOM, RepairPictures, choose_amplification
from gandissect.report.repair.tables import choose_change_format, choose_format, format_range, tabulate_figures, verdict
from gandissect.stats import Shares
from generators import DCGAN
from segmenters.palette import PaletteSegmenter

SEGMENTER = PaletteSegmenter((Concept(0, "dark", (120, 120, 120)), Concept(1, "light", (135, 135, 135))))


@pytest.fixture(scope="module")
def made() -> tuple:
    torch.manual_seed(0)
    generator = DCGAN(size=16, width=8, z_dim=5).eval().requires_grad_(False)
    generator.name = "runs/<b>$\\frac$/generator.safetensors"
    draw = torch.Generator().manual_seed(1)
    train, held_out = (torch.randint(0, 256, (n, 3, 16, 16), dtype=torch.uint8, generator=draw) for n in (80, 24))
    yardstick = Yardstick(
        "means", lambda images: images.unfold(2, 4, 4).unfold(3, 4, 4).mean((4, 5)).flatten(1), train, held_out
    )
    ranking = rank_artifact_units(generator, "layer1", yardstick, 120, 0, top_share=0.3, progress=False)
    curve = choose_num_units(
        generator, ranking.top(8), yardstick, (0, 2, 5), 0, num_images=40, num_sets=2, num_controls=2, progress=False
    )
    repair = measure_repair(
        generator, ranking.top(5), yardstick, 0, num_sets=2, num_controls=2, segmenter=SEGMENTER, progress=False
    )
    return generator, curve, repair, ranking


class Reader(HTMLParser):
    """Collects a page's words and the addresses of its pictures."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.addresses, self.opened = [], [], []

    def handle_starttag(self, tag: str, attrs: list) -> None:
        self.opened.append(tag)
        self.addresses += [value for name, value in attrs if name in {"src", "href"}]

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def test_the_page_holds_the_figures_and_refers_to_nothing_outside(made: tuple, tmp_path: Path) -> None:
    _, curve, repair, ranking = made
    page = write_repair_report(tmp_path / "report", *made)
    reader = Reader()
    text = page.read_text(encoding="utf-8")
    reader.feed(text)
    said = " ".join(reader.words)
    assert verdict(repair) in " ".join(said.split())
    assert "runs/<b>$\\frac$/generator.safetensors" in said
    assert "b" not in reader.opened or "<b>/" not in text
    assert all(address.startswith(("data:", "#")) for address in reader.addresses)
    numbers = json.loads((page.parent / "repair.json").read_text())
    embedded = json.loads(re.search(r'id="numbers">(.*?)</script>', text, flags=re.DOTALL)[1])
    assert repair.concepts is not None and any(record["change"] for record in repair.concepts.records())
    assert embedded == numbers and numbers["concepts"] == repair.concepts.records()
    assert numbers["figures"] == repair.records()
    assert numbers["units"] == list(ranking.top(5).units)
    assert numbers["curve"]["chosen"] == curve.num_units
    document = (page.parent / "report.pdf").read_bytes()
    assert document.startswith(b"%PDF")


def test_the_recipe_makes_the_images_of_the_report(made: tuple, tmp_path: Path) -> None:
    generator, _, repair, ranking = made
    page = write_repair_report(tmp_path, *made)
    recipe = Recipe.load(page.parent / "recipe.json")
    z = generator.sample_z(NUM_RANDOM, repair.sample_seed)
    wanted = generate(generator, z, [Ablation(repair.units)])
    assert torch.equal(recipe.generate(generator), wanted)
    before, after = RepairPictures(generator, recipe.edits[0], repair, ranking).random()
    for found, images in ((before, generator(z)), (after, wanted)):
        assert (found.float() / 127.5 - 1 - images.clamp(-1, 1)).abs().max() <= 0.51 / 127.5


def test_the_worst_images_are_those_of_least_realism(made: tuple) -> None:
    generator, _, repair, ranking = made
    edit = Recipe.of(generator, [Ablation(repair.units)]).edits[0]
    worst, _ = RepairPictures(generator, edit, repair, ranking).extremes(worst=True)
    index = int(repair.realism_before.argmin())
    image = generator(generator.sample_z(1, repair.sample_seed, index))
    assert (worst[0].float() / 127.5 - 1 - image[0].clamp(-1, 1)).abs().max() <= 0.51 / 127.5


def test_units_by_hand_need_no_ranking_and_the_verdict_follows_the_figures(made: tuple, tmp_path: Path) -> None:
    generator, curve, repair, _ = made
    text = write_repair_report(tmp_path, generator, curve, repair).read_text(encoding="utf-8")
    assert "The units were chosen by hand." in text
    better = replace(
        repair, after=repair.before - torch.tensor([[1.0], [1.01]]), control=repair.before.expand(2, -1, -1).clone()
    )
    assert verdict(better).startswith("The repair helps. With 5 units of layer1 switched off, ")
    same = replace(better, control=better.after.expand(2, -1, -1).clone())
    assert verdict(same).startswith("The repair helps no more than random units do. ")
    worse = replace(repair, after=repair.before + torch.tensor([[1.0], [1.01]]))
    assert verdict(worse).startswith("The repair harms: ")
    unclear = replace(repair, after=repair.before + torch.tensor([[1.0], [-1.0]]))
    assert verdict(unclear).startswith("2 sets of images are too few to tell whether the repair helps; use at least 5")
    five = {name: getattr(repair, name)[..., :1, :].repeat_interleave(5, -2) for name in ("control", "real")}
    before, noise = repair.before[:1].repeat(5, 1), torch.tensor([[1.0], [-1.0], [0.5], [-0.5], [0.1]])
    realism = repair.realism_before[: repair.num_images].repeat(5)
    many = replace(repair, before=before, after=before + noise, realism_before=realism, realism_after=realism, **five)
    assert verdict(many).startswith("The repair makes no difference that 5 sets of images can show. ")


def test_results_that_do_not_belong_together_are_refused(made: tuple, tmp_path: Path) -> None:
    generator, curve, repair, ranking = made
    other: Generator = DCGAN(size=16, width=8, z_dim=5).eval()
    with pytest.raises(ValueError, match="the RepairCurve belongs to"):
        write_repair_report(tmp_path / "no", other, curve, repair, ranking)
    strangers = tuple(unit for unit in range(16) if unit not in curve.ranked.units)[:5]
    with pytest.raises(ValueError, match="must be among the ranked units of the curve"):
        write_repair_report(tmp_path / "no", generator, curve, replace(repair, units=UnitSet("layer1", strangers)))
    assert not (tmp_path / "no").exists()


class Tables(HTMLParser):
    """Collects the cells of tables, row by row."""

    def __init__(self) -> None:
        super().__init__()
        self.tables: list[list[list[str]]] = []
        self.inside = False

    def handle_starttag(self, tag: str, attrs: list) -> None:
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in {"th", "td"}:
            self.tables[-1][-1].append("")
            self.inside = True

    def handle_endtag(self, tag: str) -> None:
        self.inside = self.inside and tag not in {"th", "td"}

    def handle_data(self, data: str) -> None:
        if self.inside:
            self.tables[-1][-1][-1] += data


def _number(text: str) -> float:
    return float(text.replace("\N{MINUS SIGN}", "-"))


def test_each_column_has_one_number_format_and_its_numbers_are_the_records(made: tuple, tmp_path: Path) -> None:
    repair = made[2]
    reader = Tables()
    reader.feed(write_repair_report(tmp_path, *made).read_text(encoding="utf-8"))
    concepts = sorted(repair.concepts.records(), key=lambda record: -abs(record["change"]))
    percent = [
        {key: value if key == "concept" else 100 * value for key, value in record.items()} for record in concepts
    ]
    plain, signed = r"\N{MINUS SIGN}?\d+\.\d{%d}", r"([+\N{MINUS SIGN}]\d+\.\d{%d}|0\.0{%d})"
    keys = {
        "Before": ["before"],
        "Before, %": ["before"],
        "After": ["after"],
        "Change": ["change"],
        "95% interval": ["change_low", "change_high"],
        "Random units": ["control_change_min", "control_change_max"],
        "Real": ["real"],
    }
    for (heads, *rows), records in zip(reader.tables, (repair.records(), percent), strict=True):
        assert len(rows) == len(records)
        for column, head in enumerate(heads[1:], start=1):
            decimals = len(rows[0][column].split(" to ")[0].split(".")[1])
            pattern = (
                plain % decimals if keys[head][0] in ("before", "after", "real") else signed % (decimals, decimals)
            )
            for row, record in zip(rows, records, strict=True):
                parts = row[column].split(" to ")
                assert len(parts) == len(keys[head])
                for part, key in zip(parts, keys[head], strict=True):
                    assert re.fullmatch(pattern, part), (head, part)
                    assert abs(_number(part) - record[key]) <= 0.5000001 * 10**-decimals


def test_the_format_of_a_table_shows_two_digits_of_its_smallest_number() -> None:
    assert choose_format([13.5, 0.74]) == ".2f"
    assert choose_format([13.5, 0.096]) == ".3f"
    assert choose_format([0.00043, 0.0]) == ".5f"
    assert choose_format([1e-9]) == ".2f"
    assert choose_format([0.5, 2e11]) == ".2e"
    assert format_range(-5.57e-05, 0.00571, ".3f") == "0.000 to +0.006"
    assert format_range(-0.0543, 0.13, ".2f") == "\N{MINUS SIGN}0.05 to +0.13"
    assert format_range(-2e11, 0.5, ".2e") == "\N{MINUS SIGN}2.00e+11 to +5.00e\N{MINUS SIGN}01"


def test_changes_have_digits_enough_that_the_ends_of_intervals_differ() -> None:
    for low, high in ((-0.0221, -0.0199), (-3.5, -3.1), (-0.0204, -0.0196), (0.1, 0.9)):
        low_text, high_text = format_range(low, high, choose_change_format([(low, high)])).split(" to ")
        assert low_text != high_text
    assert choose_change_format([(-3.5, -3.1)]) == ".2f"
    assert choose_change_format([(1.0, 1.0), (0.0, 1e-9)], ".3f") == ".3f"


def test_differences_are_amplified_as_far_as_they_stay_visible() -> None:
    assert choose_amplification(torch.zeros(1, 3, 2, 2, dtype=torch.int32)) == 1
    assert choose_amplification(torch.full((1, 3, 2, 2), 255, dtype=torch.int32)) == 1
    assert choose_amplification(torch.full((1, 3, 2, 2), 16, dtype=torch.int32)) == 8
    assert choose_amplification(torch.ones(1, 3, 2, 2, dtype=torch.int32)) == 64


def test_random_units_do_not_stretch_the_axis(made: tuple) -> None:
    curve = made[1]
    far = replace(curve, control=curve.control + 1000)
    (axes,) = draw_repair_curve(far, 5).axes
    values = [*curve.distance.mean(dim=1).tolist(), curve.floor.mean]
    low, high = axes.get_ylim()
    assert low <= min(values) and max(values) <= high < 100
    assert any("beyond the axis" in text for text in axes.get_legend_handles_labels()[1])


def test_no_number_of_units_chosen_is_stated_at_the_top(made: tuple, tmp_path: Path) -> None:
    generator, curve, repair, ranking = made
    flat = replace(curve, distance=curve.distance[:1].expand(len(curve.counts), -1).clone())
    assert flat.num_units == 0
    text = write_repair_report(tmp_path / "none", generator, flat, repair, ranking).read_text(encoding="utf-8")
    (warning,) = re.findall(r'<p class="warning">(.*?)</p>', text, flags=re.DOTALL)
    assert warning.startswith("No number of units was chosen: of the numbers tried (2, 5), none lowers the distance")
    assert "the effect of 5 units; it does not recommend switching them off" in warning
    drop = torch.tensor([[0.0, 0.0], [1.0, 1.01], [1.5, 1.51]], dtype=torch.float64)
    steep = replace(curve, distance=curve.distance[:1] - drop, control=curve.distance[:1].expand(2, 3, -1).clone())
    assert steep.num_units == 5
    text = write_repair_report(tmp_path / "some", generator, steep, repair, ranking).read_text(encoding="utf-8")
    assert 'class="warning"' not in text and "5 units were chosen: of the numbers tried (2, 5), the smallest" in text


def test_the_command_and_versions_are_among_the_settings(made: tuple, tmp_path: Path) -> None:
    command = "gandissect repair 'my nets/<a>' --data scenes:2000"
    page = write_repair_report(tmp_path / "with", *made, command=command)
    reader = Reader()
    reader.feed(page.read_text(encoding="utf-8"))
    assert command in reader.words
    version = installed_versions()["gandissect"]
    assert f"gandissect {version}, torch {torch.__version__.split('+')[0]}" in " ".join(reader.words)
    assert f"Generated by gandissect {version}." in " ".join(reader.words)
    assert f"gandissect {version}".encode() in (page.parent / "report.pdf").read_bytes()
    reader = Reader()
    reader.feed(write_repair_report(tmp_path / "without", *made).read_text(encoding="utf-8"))
    assert "Command" not in reader.words


def _document(made: tuple, repair: Repair) -> Document:
    generator, curve, _, ranking = made
    edit = Recipe.of(generator, [Ablation(repair.units)]).edits[0]
    pictures = RepairPictures(generator, edit, repair, ranking)
    command = "gandissect repair " + "a-long-name " * 40
    return Document("A title", repair, curve, ranking, pictures.strips(), pictures.units(), command)


def _many_concepts(repair: Repair, count: int) -> Repair:
    """Concepts with long names and changes from tiny to the largest that there can be."""
    names = [f"concept {index} with a name of several words, as long as they get" for index in range(count)]
    concepts = tuple(Concept(index, name, (index, 0, 0)) for index, name in enumerate(names))
    table = Shares(torch.linspace(-1, 1, count, dtype=torch.float64), torch.full((count,), 0.3, dtype=torch.float64))
    before = Shares(torch.full((count,), 0.00012, dtype=torch.float64), table.stderr)
    changes = ConceptChanges(repair.concepts.segmenter, concepts, 48, before, table, (table, table))
    return replace(repair, concepts=changes)


@pytest.mark.parametrize("num_concepts", [2, 17, 150])
def test_the_pdf_has_all_concepts_no_overlaps_and_no_empty_page(made: tuple, num_concepts: int) -> None:
    repair = made[2] if num_concepts == 2 else _many_concepts(made[2], num_concepts)
    pages = _document(made, repair).draw()
    words = " ".join(text.get_text() for page in pages for text in page.texts)
    for concept in repair.concepts.concepts:
        assert concept.name in " ".join(words.split())
    assert words.count("Limits") == words.count("Settings") == 1
    for page in pages:
        page.draw_without_rendering()
        width, height = page.bbox.size
        boxes = [(text.get_text(), text.get_window_extent()) for text in page.texts]
        assert page.axes or len(boxes) > 3
        areas = [(axes.get_title() or "picture", axes.get_tightbbox()) for axes in page.axes]
        for index, (one, box) in enumerate(boxes + areas):
            assert 0.05 * width < box.x0 and box.x1 < 0.96 * width, one
            assert 0.02 * height < box.y0 and box.y1 < height, one
            for other, next_box in (boxes + areas)[index + 1 :]:
                across = min(box.x1, next_box.x1) - max(box.x0, next_box.x0)
                along = min(box.y1, next_box.y1) - max(box.y0, next_box.y0)
                assert across <= 1 or along <= 1, (one, other)


def test_the_words_of_the_curve_are_inside_its_figure_and_every_line_has_a_label(made: tuple) -> None:
    figure = draw_repair_curve(made[1], 5)
    figure.draw_without_rendering()
    (axes,) = figure.axes
    labels = [text.get_text() for legend in figure.legends for text in legend.get_texts()]
    assert len(labels) == 5 and "measured in this report: 5 units" in labels
    texts = [text for text in figure.findobj(lambda artist: hasattr(artist, "get_text")) if text.get_text()]
    for text in texts:
        box = text.get_window_extent()
        assert box.x0 >= 0 and box.y0 >= 0, text
        assert box.x1 <= figure.bbox.x1 and box.y1 <= figure.bbox.y1, text
    legend = figure.legends[0].get_window_extent()
    assert legend.y0 >= axes.bbox.y1


def test_a_change_that_is_0_but_for_rounding_is_0(made: tuple) -> None:
    """0.3 - 0.2 and 0.1 - 0.2 have a mean of -1.4e-17."""
    repair = made[2]
    before, after = torch.full_like(repair.before, 0.2), torch.full_like(repair.before, 0.1)
    after[0] = 0.3
    changed = replace(repair, before=before, after=after)
    assert 0 < abs(changed.change("recall").mean) < 1e-15
    assert {row.cells[2] for row in tabulate_figures(changed).rows} == {"0.00"}
