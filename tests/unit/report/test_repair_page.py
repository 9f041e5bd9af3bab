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
from gandissect.fidelity.yardstick import Yardstick
from gandissect.report.repair.pictures import NUM_RANDOM, RepairPictures
from gandissect.report.repair.tables import figure_rows, verdict
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
    assert verdict(repair) in said
    assert "runs/<b>$\\frac$/generator.safetensors" in said
    assert "b" not in reader.opened or "<b>/" not in text
    assert all(address.startswith(("data:", "#")) for address in reader.addresses)
    for record in repair.records():
        change = record["change"]
        shown = f"{abs(change):.2f}" if 0.1 <= abs(change) < 100 else f"{abs(change):.3g}"
        assert shown.replace("-", "\N{MINUS SIGN}") in said, record
    numbers = json.loads((page.parent / "repair.json").read_text())
    embedded = json.loads(re.search(r'id="numbers">(.*?)</script>', text, flags=re.DOTALL)[1])
    assert repair.concepts is not None and any(record["change"] for record in repair.concepts.records())
    for record in repair.concepts.records():
        assert f"{100 * record['before']:.2f}" in said and record["concept"] in said
    assert embedded == numbers and numbers["concepts"] == repair.concepts.records()
    assert numbers["figures"] == repair.records()
    assert numbers["units"] == list(ranking.top(5).units)
    assert numbers["curve"]["chosen"] == curve.num_units
    document = (page.parent / "report.pdf").read_bytes()
    assert document.startswith(b"%PDF") and re.search(rb"/Count 3\b", document)


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
    assert "The units were given by hand." in text
    better = replace(
        repair, after=repair.before - torch.tensor([[1.0], [1.01]]), control=repair.before.expand(2, -1, -1).clone()
    )
    assert better.helps
    assert verdict(better).startswith("The repair helps: with 5 units of layer1 switched off, ")
    worse = replace(repair, after=repair.before + torch.tensor([[1.0], [1.01]]))
    assert verdict(worse).startswith("The repair does not help: ")


def test_results_that_do_not_belong_together_are_refused(made: tuple, tmp_path: Path) -> None:
    generator, curve, repair, ranking = made
    other: Generator = DCGAN(size=16, width=8, z_dim=5).eval()
    with pytest.raises(ValueError, match="the RepairCurve belongs to"):
        write_repair_report(tmp_path / "no", other, curve, repair, ranking)
    strangers = tuple(unit for unit in range(16) if unit not in curve.ranked.units)[:5]
    with pytest.raises(ValueError, match="not among those of the curve"):
        write_repair_report(tmp_path / "no", generator, curve, replace(repair, units=UnitSet("layer1", strangers)))
    assert not (tmp_path / "no").exists()


def test_a_change_that_is_0_but_for_rounding_is_0(made: tuple) -> None:
    """0.3 - 0.2 and 0.1 - 0.2 have a mean of -1.4e-17."""
    repair = made[2]
    before, after = torch.full_like(repair.before, 0.2), torch.full_like(repair.before, 0.1)
    after[0] = 0.3
    changed = replace(repair, before=before, after=after)
    assert 0 < abs(changed.change("recall").mean) < 1e-15
    assert {row.change for row in figure_rows(changed)} == {0.0}
