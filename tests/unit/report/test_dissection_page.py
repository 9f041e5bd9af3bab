"""The report: what the page says is what the records say, whatever the names, and a failure leaves the old one."""

from __future__ import annotations

import ast
import base64
import csv
import hashlib
import io
import json
import math
import re
import shlex
from collections import Counter
from dataclasses import dataclass, field, replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import generators
import segmenters
from gandissect import (
    Concept,
    Dissection,
    LayerDissection,
    LayerInfo,
    Provenance,
    Thumbnails,
    TopImages,
    dissect,
    write_report,
)
from gandissect.core import NetworkId
from gandissect.core.drawn import Drawn
from gandissect.dissection.counting.top_images import pack_masks
from gandissect.dissection.iou import GroupCounts
from gandissect.report.dissection import views
from gandissect.report.dissection.charts import curve_figure
from generators import PlantedGenerator
from segmenters import PaletteSegmenter

NAMES = ("sky", "tree", "door", "car", "water")
HOSTILE = (
    "<img src=x onerror=alert(1)>",
    "</script><script>alert(2)</script>",
    '" onmouseover="alert(3)',
    "' style='x",
    "{{ 7 * 7 }} & &lt;",
)
VOID = {"meta", "img", "input", "br", "link", "rect", "line", "col", "use"}
MIN_IOU = 0.04
GROUPS = 32
"""Groups with the same counts, and none by chance, so that every agreement is beyond it."""


def _layer(
    name: str, units: int, concepts: tuple[Concept, ...], samples: torch.Tensor, rng: torch.Generator
) -> LayerDissection:
    pixels = 1000 * 16 * 24
    area = torch.full((units,), pixels // 100)
    area[0] = 0
    shares = torch.rand(len(concepts), units, generator=rng) ** 5
    shares = shares / shares.sum(0) * torch.rand(units, generator=rng)
    inter = (shares * area).long()
    chosen = samples[torch.randint(len(samples), (units, 3), generator=rng)]
    masks = torch.rand(units, 3, 16, 24, generator=rng) > 0.8
    peaks = torch.rand(units, 3, generator=rng)
    return LayerDissection(
        name=name,
        info=LayerInfo(units, 4, 6),
        concepts=concepts,
        thresholds=torch.randn(units, generator=rng),
        groups=GroupCounts(
            inter.expand(GROUPS, -1, -1),
            torch.zeros(GROUPS, *inter.shape, dtype=torch.int64),
            area.expand(GROUPS, -1),
            torch.full((GROUPS, len(concepts)), pixels // 50),
        ),
        num_pixels=pixels,
        top=TopImages(chosen, peaks, (16, 24), pack_masks(masks)),
    )


def _dissection(names: tuple[str, ...] = NAMES, layers: tuple[str, ...] = ("layer1", "layer2"), **made) -> Dissection:
    rng = torch.Generator().manual_seed(5)
    concepts = tuple(Concept(index, name, (40 * index, 200, 90)) for index, name in enumerate(names))
    samples = torch.arange(12) * 3
    pixels = torch.randint(0, 256, (12, 3, 16, 24), generator=rng, dtype=torch.uint8)
    found = tuple(_layer(name, 24 - 8 * i, concepts, samples, rng) for i, name in enumerate(layers))
    provenance = Provenance(
        generator=NetworkId("dcgan-scenes64", "a3" * 32),
        segmenter=NetworkId("unet-scenes", "b4" * 32),
        seed=11,
        num_samples=1000,
        quantile=0.01,
        batch_size=32,
        label_size=(16, 24),
        padding="edge",
        device="cpu",
        versions={"torch": "2.15.0"},
        duration=112.4,
    )
    return Dissection(found, concepts, Thumbnails(samples, pixels), replace(provenance, **made))


@dataclass
class Node:
    tag: str
    attrs: dict[str, str]
    children: list[Node | str] = field(default_factory=list)

    @property
    def text(self) -> str:
        joined = "".join(child if isinstance(child, str) else child.text for child in self.children)
        return joined.replace("\N{NO-BREAK SPACE}", " ").replace("\N{WORD JOINER}", "")

    def all(self, tag: str | None = None, cls: str | None = None) -> list[Node]:
        found = []
        for child in self.children:
            if isinstance(child, Node):
                if tag in (None, child.tag) and (cls is None or cls in child.attrs.get("class", "").split()):
                    found.append(child)
                found += child.all(tag, cls)
        return found


class _Reader(HTMLParser):
    """Builds the tree; complains about a tag that is not closed where it should be."""

    def __init__(self) -> None:
        super().__init__()
        self.root = Node("root", {})
        self.open = [self.root]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        node = Node(tag, {key: value or "" for key, value in attrs})
        self.open[-1].children.append(node)
        if tag not in VOID or (tag == "rect" and not self.get_starttag_text().endswith("/>")):
            self.open.append(node)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.open[-1].children.append(Node(tag, {key: value or "" for key, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop().tag == tag

    def handle_data(self, data: str) -> None:
        self.open[-1].children.append(data)


def _read(path: Path) -> Node:
    reader = _Reader()
    reader.feed(path.read_text(encoding="utf-8"))
    assert len(reader.open) == 1
    return reader.root


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> tuple[Dissection, Path]:
    dissection = _dissection()
    return dissection, write_report(tmp_path_factory.mktemp("report"), dissection)


def _sections(page: Node, dissection: Dissection) -> list[tuple[Node, LayerDissection]]:
    sections = page.all("section", "layer")
    assert {section.attrs["data-layer"] for section in sections} == {layer.name for layer in dissection}
    return [(section, dissection[section.attrs["data-layer"]]) for section in sections]


def _matching(dissection: Dissection) -> list[dict]:
    return [each for each in dissection.records() if each["concept"] is not None and each["iou"] >= MIN_IOU]


def test_counts_of_the_page_are_those_of_the_records(plain: tuple[Dissection, Path]) -> None:
    dissection, path = plain
    page, matching = _read(path), _matching(dissection)
    headline = page.all("p", "headline")[0].text
    kinds = {each["concept"] for each in matching}
    assert headline.startswith(f"{len(matching)} of {len(dissection.records())} units in 2 layers of dcgan-scenes64")
    assert f"match {len(kinds)} of the 5 concepts that unet-scenes names, at IoU ≥ 0.04, beyond chance." in headline
    best = max(matching, key=lambda each: each["iou"])
    assert f"unit {best['unit']} of {best['layer']}: {best['concept']}" in headline
    for section, layer in _sections(page, dissection):
        counts = Counter(each["concept"] for each in matching if each["layer"] == layer.name)
        sentence = section.all("p", "counts")[0].text
        expected = (
            f"{counts.total()} of {layer.info.units} units match {len(counts)} concepts at IoU ≥ 0.04, beyond chance."
        )
        assert sentence == expected
        chart = section.all("table", "bars")[0].all("tbody")[0]
        rows = {row.all("th")[0].text.strip(): int(row.all("td", "n")[0].text) for row in chart.all("tr")}
        assert rows == dict(counts)


def test_bars_are_as_long_as_their_counts(plain: tuple[Dissection, Path]) -> None:
    dissection, path = plain
    matching = _matching(dissection)
    longest = max(Counter(each["layer"] for each in matching).values())
    rows = _read(path).all("table", "layers")[0].all("tbody")[0].all("tr")
    for row, layer in zip(rows, dissection, strict=True):
        counts = Counter(each["concept"] for each in matching if each["layer"] == layer.name)
        edge = 0.0
        for rect in row.all("rect"):
            concept = rect.all("title")[0].text.split(":")[0]
            assert float(rect.attrs["x"][:-1]) == pytest.approx(edge, abs=0.01)
            assert float(rect.attrs["width"][:-1]) == pytest.approx(100 * counts[concept] / longest, abs=0.01)
            color = next(each for each in dissection.concepts if each.name == concept).hex
            assert rect.attrs["fill"] == color
            edge += 100 * counts[concept] / longest
        assert edge == pytest.approx(100 * counts.total() / longest)


def test_every_unit_has_its_card_best_first(plain: tuple[Dissection, Path]) -> None:
    dissection, path = plain
    for section, layer in _sections(_read(path), dissection):
        records = {each["unit"]: each for each in dissection.records() if each["layer"] == layer.name}
        cards = section.all("div", "unit")
        shown = [int(card.attrs["data-unit"]) for card in cards]
        assert shown == sorted(records, key=lambda unit: (-records[unit]["iou"], unit))
        for card in cards:
            record = records[int(card.attrs["data-unit"])]
            assert float(card.attrs["data-iou"]) == record["iou"]
            assert float(card.attrs["data-threshold"]) == record["threshold"]
            assert float(card.attrs["data-area"]) == record["unit_area"] / layer.num_pixels
            assert card.attrs["data-concept"] == (record["concept"] or "")
            cells = [cell.text for cell in card.all("span") if cell.attrs.get("role") == "cell"]
            assert f"IoU {_three_digits(record['iou'])} ({_three_digits(record['iou_low'])}\N{EN DASH}" in " ".join(
                cells
            )
            shown_q = next(cell for cell in cells if cell.startswith("q "))[2:]
            assert shown_q == (f"{record['q_value']:.4f}" if record["q_value"] >= 0.0001 else "<0.0001")
            below = record["concept"] is None or record["iou"] < MIN_IOU
            assert ("below" in card.attrs["class"].split()) == below
            assert re.findall(r"\d+", card.all("img")[0].attrs["title"]) == [str(s) for s in record["top_samples"]]


def _three_digits(iou: float) -> str:
    return "0" if iou == 0 else "<0.0001" if iou < 0.0001 else f"{iou:#.3g}"


def test_the_layer_with_most_matches_is_first_and_the_table_is_in_network_order(tmp_path: Path) -> None:
    dissection = _dissection()
    page = _read(write_report(tmp_path, replace(dissection, layers=dissection.layers[::-1])))
    counts = Counter(record["layer"] for record in _matching(dissection))
    assert counts["layer1"] > counts["layer2"]
    assert [section.attrs["data-layer"] for section in page.all("section", "layer")] == ["layer1", "layer2"]
    rows = page.all("table", "layers")[0].all("tbody")[0].all("tr")
    assert [row.all("th")[0].text for row in rows] == ["layer2", "layer1"]
    for row, section in zip(rows, reversed(page.all("section", "layer")), strict=True):
        assert row.all("a")[0].attrs["href"] == f"#{section.attrs['id']}"


def test_the_pictures_at_the_top_are_the_best_matches_of_the_three_best_concepts(
    plain: tuple[Dissection, Path],
) -> None:
    dissection, path = plain
    page, best = _read(path), {}
    for record in _matching(dissection):
        if record["iou"] > best.get(record["concept"], record)["iou"] or record["concept"] not in best:
            best[record["concept"]] = record
    expected = sorted(best.values(), key=lambda record: -record["iou"])[:3]
    figures = page.all("div", "highlights")[0].all("figure")
    cards = {card.attrs["id"]: card for card in page.all("div", "unit")}
    assert len(figures) == len(expected) == 3
    for figure, record in zip(figures, expected, strict=True):
        assert f"{record['concept']}: unit {record['unit']} of {record['layer']}, IoU" in figure.text
        card = cards[figure.all("a")[0].attrs["href"][1:]]
        assert int(card.attrs["data-unit"]) == record["unit"]
        assert figure.all("img")[0].attrs["src"] == card.all("img")[0].attrs["src"]


def test_a_gray_card_states_why_it_is_no_match(tmp_path: Path) -> None:
    generator = PlantedGenerator(size=16, cells=8)
    dissection = dissect(generator, PaletteSegmenter(generator.concepts), num_samples=200, progress=False)
    page = _read(write_report(tmp_path, dissection, min_iou=0.02))
    reasons = 0
    for section, layer in _sections(page, dissection):
        matches = {match.unit: match for match in layer.matches}
        for card in section.all("div", "unit"):
            match = matches[int(card.attrs["data-unit"])]
            texts = [node.text for node in card.all("span", "why")]
            if match.is_interpretable(0.02):
                assert not texts
                continue
            reasons += 1
            if match.concept is None:
                reason = "on in no concept"
            elif match.iou < 0.02:
                reason = "IoU below 0.02"
            else:
                assert match.q_value > 0.01
                reason = "q above 0.01, so not beyond chance"
            assert texts == [f"no match: {reason}"]
    assert reasons


@pytest.mark.parametrize(("num_samples", "warns"), [(499, True), (500, False)])
def test_too_few_samples_are_announced(tmp_path: Path, num_samples: int, warns: bool) -> None:
    generator = PlantedGenerator(size=16, cells=8)
    dissection = dissect(generator, PaletteSegmenter(generator.concepts), num_samples=num_samples, progress=False)
    page = _read(write_report(tmp_path, dissection))
    warnings = [node.text for node in page.all("p", "warning")]
    warning = "With 499 samples, only strong agreement can be distinguished from chance, so some matches are missed; "
    assert warnings == [f"{warning}use at least 500."] * warns


def test_the_pictures_are_the_units_own(plain: tuple[Dissection, Path]) -> None:
    dissection, path = plain
    layer = dissection["layer1"]
    for card in _read(path).all("section", "layer")[0].all("div", "unit")[:5]:
        unit = int(card.attrs["data-unit"])
        data = base64.b64decode(card.all("img")[0].attrs["src"].split(",")[1])
        found = np.asarray(Image.open(io.BytesIO(data)).convert("RGB").resize((3 * 24 + 1, 16)), dtype=float)
        errors = {
            (other, shift): _mean_error(found, dissection, other, shift)
            for other in range(layer.info.units)
            for shift in range(3)
        }
        assert min(errors, key=errors.__getitem__) == (unit, 0)


def _mean_error(found: np.ndarray, dissection: Dissection, unit: int, shift: int) -> float:
    """How far a strip is from a unit's top images with the regions of other ranks."""
    top, errors = dissection["layer1"].top, []
    for rank, sample in enumerate(top.samples[unit].tolist()):
        mask = top.mask(unit, (rank + shift) % 3).numpy()
        wanted = np.where(mask, 1.0, 0.5) * dissection.thumbnails[sample].numpy()
        part = found[:, rank * 24 + (rank > 1) : rank * 24 + 24 + (rank > 1)].transpose(2, 0, 1)
        errors.append(abs(part - wanted).mean())
    return float(np.mean(errors))


def test_csv_and_json_hold_the_records(plain: tuple[Dissection, Path]) -> None:
    dissection, path = plain
    records = dissection.records()
    value = json.loads((path.parent / "dissection.json").read_text(encoding="utf-8"))
    assert value["units"] == records
    assert value["provenance"]["generator_fingerprint"] == dissection.provenance.generator.fingerprint
    assert value["min_iou"] == MIN_IOU
    counts = Counter(each["concept"] for each in _matching(dissection) if each["layer"] == "layer2")
    assert value["layers"][1]["units_by_concept"] == dict(counts)
    assert value["layers"][1]["matching_units"] == counts.total()
    with (path.parent / "units.csv").open(encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines))
    assert len(rows) == len(records)
    for row, record in zip(rows, records, strict=True):
        assert list(row) == list(record)
        assert row["concept"] == (record["concept"] or "")
        assert float(row["iou"]) == record["iou"]
        assert [int(sample) for sample in row["top_samples"].split()] == record["top_samples"]


@pytest.mark.parametrize("names", [NAMES, HOSTILE])
def test_the_page_is_alone_and_runs_only_its_own_script(tmp_path: Path, names: tuple[str, ...]) -> None:
    identities = {"generator": NetworkId(HOSTILE[1], "a3"), "segmenter": NetworkId(HOSTILE[0], "b4")}
    made = {} if names is NAMES else {**identities, "versions": {HOSTILE[2]: "1"}}
    layers = ("layer1", "layer2") if names is NAMES else (HOSTILE[2], HOSTILE[3])
    page = _read(write_report(tmp_path, _dissection(names, layers, **made)))
    ids = [node.attrs["id"] for node in page.all() if "id" in node.attrs]
    assert len(set(ids)) == len(ids)
    for node in page.all():
        assert not any(name.startswith("on") for name in node.attrs), node
        if "src" in node.attrs:
            assert node.attrs["src"].startswith("data:image/")
        if "href" in node.attrs:
            assert node.attrs["href"][0] == "#"
            assert node.attrs["href"][1:] in ids
        assert set(node.attrs.get("aria-labelledby", "").split()) <= set(ids)
    (script,) = page.all("script")
    (style,) = page.all("style")
    assert not re.search(r"url\(|@import|https?:", style.text + script.text)
    digest = base64.b64encode(hashlib.sha256(script.text.encode()).digest()).decode()
    policy = next(meta for meta in page.all("meta") if meta.attrs.get("http-equiv") == "Content-Security-Policy")
    assert f"script-src 'sha256-{digest}'" in policy.attrs["content"]
    assert "default-src 'none'" in policy.attrs["content"]
    assert "nan" not in re.findall(r"[a-z]+", page.all("body")[0].text.lower())


def test_hostile_names_are_shown_as_they_are(tmp_path: Path) -> None:
    dissection = _dissection(HOSTILE, (HOSTILE[2], HOSTILE[3]), generator=NetworkId(HOSTILE[1], "a3"))
    page = _read(write_report(tmp_path, dissection))
    assert page.all("title")[0].text == f"Dissection of {HOSTILE[1]}"
    kinds = {each["concept"] for each in _matching(dissection)}
    options = {option.attrs["value"] for option in page.all("option")} - {""}
    assert options == kinds
    assert not [image for image in page.all("img") if image.attrs["src"] == "x"]


def test_the_calls_can_be_read_back(tmp_path: Path) -> None:
    dissection = _dissection(layers=("layer 1", "it's"), generator=NetworkId("my $(nets)/a'b.safetensors", "a3"))
    command, python = (node.text for node in _read(write_report(tmp_path, dissection, min_iou=0.1)).all("pre"))
    words = shlex.split(command)
    assert words[2] == dissection.provenance.generator.name
    start = words.index("--layers") + 1
    assert words[start : start + 2] == ["layer 1", "it's"]
    calls = {
        node.func.id if isinstance(node.func, ast.Name) else node.func.attr: node
        for node in ast.walk(ast.parse(python))
        if isinstance(node, ast.Call)
    }
    arguments = {each.arg: ast.literal_eval(each.value) for each in calls["dissect"].keywords}
    wanted = {
        "layers": ["layer 1", "it's"],
        "num_samples": 1000,
        "seed": 11,
        "quantile": 0.01,
        "batch_size": 32,
        "padding": "edge",
    }
    assert arguments == wanted


@pytest.mark.parametrize(
    ("name", "drawn", "words", "python"),
    [
        (
            "cgan of 3, it's",
            Drawn(("3", "it's")),
            ["--classes", "3", "it's"],
            """'cgan', DEVICE).of_classes('3', "it's")""",
        ),
        (
            "unit of noon to dusk on scenes@noon",
            Drawn(("noon to dusk",), "scenes@noon"),
            ["--classes", "noon to dusk", "--inputs", "scenes@noon"],
            "'unit', DEVICE).of_classes('noon to dusk').on(pictures)  # scenes@noon",
        ),
        (
            "unit on scenes@noon of noon to dusk",
            Drawn(("noon to dusk",), "scenes@noon"),
            ["--classes", "noon to dusk", "--inputs", "scenes@noon"],
            "'unit', DEVICE).of_classes('noon to dusk').on(pictures)  # scenes@noon",
        ),
        (
            "stackgan of 'a lake' and 1 more caption",
            Drawn((), "", ("a lake", "a lane")),
            ["--caption", "a lake", "a lane"],
            "'stackgan', DEVICE).of_captions('a lake', 'a lane')",
        ),
    ],
)
def test_the_calls_of_the_page_choose_what_the_samples_were_drawn_from(
    tmp_path: Path, name: str, drawn: Drawn, words: list[str], python: str
) -> None:
    dissection = _dissection(generator=NetworkId(name, "a3" * 32), drawn=drawn)
    command, calls = (each.text for each in _read(write_report(tmp_path, dissection)).all("pre")[:2])
    found = shlex.split(command)
    assert found[:3] == ["gandissect", "dissect", name.split(" ")[0]]
    assert found[found.index(words[0]) : found.index(words[0]) + len(words)] == words
    (loading,) = (line for line in calls.splitlines() if line.startswith("G = "))
    assert loading.replace("device='cpu'", "DEVICE") == f"G = generators.load({python}"


def test_the_python_of_the_page_repeats_the_dissection(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    G, S = generators.load("dcgan-scenes64"), segmenters.load("unet-scenes")
    dissection = dissect(G, S, layers=["layer4"], num_samples=4, seed=3, progress=False)
    python = _read(write_report(tmp_path / "first", dissection, min_iou=0.1)).all("pre")[1].text
    assert ast.literal_eval(re.search(r"generators.load\((.*), device", python)[1]) == "dcgan-scenes64"
    exec(compile(python, "page", "exec"), {})
    numbers = [json.loads((tmp_path / name / "dissection.json").read_text()) for name in ("first", "report")]
    assert numbers[0]["units"] == numbers[1]["units"]


@pytest.mark.parametrize("cause", ["a number that is not finite", "a full disk"])
def test_an_old_report_survives_a_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cause: str) -> None:
    dissection = _dissection()
    write_report(tmp_path, dissection)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert sorted(before) == ["dissection.json", "report.html", "units.csv"]
    if cause == "a full disk":
        write, calls = Path.write_text, []

        def write_two(self: Path, text: str, encoding: str) -> int:
            calls.append(self)
            if len(calls) == 3:
                raise OSError("no space left on device")
            return write(self, text, encoding=encoding)

        monkeypatch.setattr(Path, "write_text", write_two)
        with pytest.raises(OSError, match="no space left"):
            write_report(tmp_path, dissection, title="New")
    else:
        dissection["layer2"].top.peaks[3, 0] = math.inf
        with pytest.raises(ValueError, match="unit 3 of 'layer2'"):
            write_report(tmp_path, dissection, title="New")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_bad_arguments_are_refused(tmp_path: Path) -> None:
    for min_iou in (-0.1, 1.1, math.nan):
        with pytest.raises(ValueError, match=r"min_iou must be in \[0, 1\]"):
            write_report(tmp_path / "new", _dissection(), min_iou=min_iou)
    assert not (tmp_path / "new").exists()
    (tmp_path / "file").write_text("x")
    with pytest.raises(ValueError, match="is a file"):
        write_report(tmp_path / "file", _dissection())


def test_nothing_matches_and_no_pictures(tmp_path: Path) -> None:
    dissection = _dissection()
    bare = tuple(
        replace(
            layer,
            top=TopImages(
                layer.top.samples[:, :0],
                layer.top.peaks[:, :0],
                (16, 24),
                torch.empty(layer.info.units, 0, 48, dtype=torch.uint8),
            ),
        )
        for layer in dissection
    )
    page = _read(write_report(tmp_path, replace(dissection, layers=bare), min_iou=1.0))
    assert page.all("p", "headline")[0].text.startswith("0 of 40 units")
    assert not page.all("img") and not page.all("div", "highlights")
    assert all("below" in card.attrs["class"] for card in page.all("div", "unit"))


def test_a_huge_report_leaves_out_the_pictures_of_the_worst_units(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(views, "HEIGHTS", ((128, 5), (64, 10)))
    dissection = _dissection()
    cards = _read(write_report(tmp_path, dissection)).all("div", "unit")
    with_pictures = {float(card.attrs["data-iou"]) for card in cards if card.all("img")}
    assert with_pictures == set(sorted((each["iou"] for each in dissection.records()), reverse=True)[:10])
    assert {card.all("img")[0].attrs["height"] for card in cards if card.all("img")} == {"64"}


def test_the_planted_generator_from_sampling_to_page(tmp_path: Path) -> None:
    generator = PlantedGenerator()
    dissection = dissect(generator, PaletteSegmenter(generator.concepts), num_samples=64, progress=False)
    page = _read(write_report(tmp_path, dissection, title="Planted"))
    assert page.all("h1")[0].text == "Planted"
    assert len(page.all("div", "unit")) == sum(layer.units for layer in generator.layers.values())
    assert page.all("p", "warning")[0].text.startswith("With 64 samples, only strong agreement can be distinguished")
    assert len(_matching(dissection)) == len([c for c in page.all("div", "unit") if c.attrs["class"] == "unit"])


def test_curves_are_drawn_for_each_unit_with_a_concept(tmp_path: Path) -> None:
    generator = PlantedGenerator(size=16, cells=8)
    segmenter = PaletteSegmenter(generator.concepts)
    found = dissect(generator, segmenter, num_samples=40, curves=True, progress=False)
    text = write_report(tmp_path, found).read_text(encoding="utf-8")
    with_concept = [match for layer in found for match in layer.matches if match.concept]
    assert text.count('<polyline class="line"') == len(with_concept) > 3
    told = [match for layer in found for match in layer.quality_matches if match.concept]
    assert text.count("highest IQR</i> ") == sum(
        layer.matches[m.unit].concept is not None for layer in found for m in told if m.layer == layer.name
    )
    records = json.loads((tmp_path / "dissection.json").read_text(encoding="utf-8"))["units"]
    assert [record["iqr_iou"] for record in records] == [m.iou for layer in found for m in layer.quality_matches]
    assert "curves=True" in text
    assert "--curves" in text
    assert "iqr_concept" in (tmp_path / "units.csv").read_text(encoding="utf-8").splitlines()[0]


class InTwoWays(PaletteSegmenter):
    """The palette's concepts, whose even ones are of one category and whose odd ones of another, in two channels."""

    name, fingerprint = "in two ways", "5" * 64

    def __init__(self) -> None:
        kinds = ("thing", "stuff")
        super().__init__(tuple(replace(each, category=kinds[each.index % 2]) for each in PlantedGenerator.concepts))

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        labels = super().__call__(images)
        return torch.stack([labels.masked_fill(labels % 2 == channel, -1) for channel in (0, 1)], 1)


def _by_category(rows: list[Node]) -> dict[str, list[str]]:
    """The concepts of a table below each of its categories."""
    found: dict[str, list[str]] = {}
    for row in rows:
        name = row.all("th")[0].text.strip()
        if "category" in row.attrs.get("class", ""):
            assert name not in found
            found[name] = []
        else:
            list(found.values())[-1].append(name)
    return found


def test_concepts_of_several_categories_stand_by_category(tmp_path: Path) -> None:
    dissection = dissect(PlantedGenerator(size=16, cells=8), InTwoWays(), num_samples=64, progress=False)
    page = _read(write_report(tmp_path, dissection))
    wanted = {"thing": {"green", "yellow"}, "stuff": {"red", "blue"}}  # and the ground, which no unit matches
    assert {record["category"] for record in dissection.records() if record["concept"] == "red"} == {"stuff"}
    for table in (page.all("table", "concepts")[0], *page.all("table", "bars")):
        found = _by_category(table.all("tbody")[0].all("tr"))
        assert list(found) == ["thing", "stuff"]
        assert {kind: set(names) for kind, names in found.items()} == wanted
    for stack in page.all("table", "layers")[0].all("svg"):
        names = [rect.all("title")[0].text.split(":")[0] for rect in stack.all("rect")]
        assert [name in wanted["thing"] for name in names] == [True, True, False, False]
    pairs = {(kind, name) for kind, names in wanted.items() for name in names}
    options = {tuple(re.split(r"[:(]", option.text)[:2]) for option in page.all("option") if option.attrs["value"]}
    assert {(kind, name.strip()) for kind, name in options} == pairs
    cards = [card for card in page.all("div", "unit") if card.attrs["class"] == "unit"]
    names = [card.all("span", "name")[0] for card in cards]
    assert {tuple(reversed(name.text.split())) for name in names} == pairs


def test_one_category_is_not_worth_mentioning(plain: tuple[Dissection, Path]) -> None:
    page = _read(plain[1])
    assert not page.all("tr", "category")
    assert not any("object" in node.text for node in page.all("span", "name") + page.all("option"))


def test_a_path_is_short_in_the_title_and_whole_in_the_settings(tmp_path: Path) -> None:
    path = "/data/runs/mine/best.safetensors"
    page = _read(
        write_report(
            tmp_path, _dissection(generator=NetworkId(path, "a3"), segmenter=NetworkId("nets/s.safetensors", "b4"))
        )
    )
    assert page.all("h1")[0].text == page.all("title")[0].text == "Dissection of mine/best.safetensors"
    assert "of mine/best.safetensors match" in page.all("p", "headline")[0].text
    assert "that nets/s.safetensors names" in page.all("p", "headline")[0].text
    assert page.all("dd")[0].text.split()[0] == path


def test_the_ticks_of_a_curve_stand_where_its_points_of_that_share_are(tmp_path: Path) -> None:
    generator = PlantedGenerator(size=16, cells=8)
    found = dissect(generator, PaletteSegmenter(generator.concepts), num_samples=40, curves=True, progress=False)
    page = _read(write_report(tmp_path, found))
    (axes,) = [node for node in page.all("g") if node.attrs.get("id") == "curve-axes"]
    ticks = {each.text: float(each.attrs["x"]) for each in axes.all("text") if each.attrs["text-anchor"] == "middle"}
    shares = torch.tensor([float(label) / 100 for label in ticks], dtype=torch.float64)
    assert shares.tolist() == [0.001, 0.01, 0.1]
    points = curve_figure(shares, shares, shares, 0.5).line.split()
    assert [float(point.split(",")[0]) for point in points] == list(ticks.values())
    for card in [card for card in page.all("div", "unit") if card.all("span", "curve")]:
        curve = found[card.attrs["id"].split("-unit")[0].replace("layer-0", "layer1").replace("layer-1", "layer2")]
        unit, concept = int(card.attrs["data-unit"]), card.attrs["data-concept"]
        at = (curve.concept_index(concept), unit)
        highest = max(float(curve.curves.iou[at].max()), float(curve.curves.null_iou[at].max()))
        (shown,) = card.all("svg")[0].all("text")
        assert float(shown.text) == pytest.approx(highest, rel=5e-3)
        assert card.all("use")[0].attrs["href"] == "#curve-axes"


def test_a_curve_spans_its_box() -> None:
    share = torch.tensor([0.9, 0.03, 0.0005, 0.0], dtype=torch.float64)
    iou = torch.tensor([0.1, 0.5, 0.0, 0.0], dtype=torch.float64)
    figure = curve_figure(share, iou, iou / 2, mark=0.0005)
    points = [tuple(map(float, pair.split(","))) for pair in figure.line.split()]
    middle = 100 * math.log(0.03 / 0.0005) / math.log(0.9 / 0.0005)
    assert points == [(100.0, 24.2), (pytest.approx(middle, abs=0.05), 1.0), (0.0, 30.0)]  # none where it is never on
    assert (figure.mark, figure.highest) == (0.0, 0.5)


def test_a_concept_names_the_best_of_the_units_that_match_it() -> None:
    found = _dissection()
    layer = found.layers[0]
    first, second, *rest = layer.matches
    name = found.concepts[0].name
    lucky = replace(first, concept=name, iou=0.9, beyond_chance=False)
    real = replace(second, concept=name, iou=0.1, beyond_chance=True)
    others = [replace(match, iou=0.0) for match in (*rest, *found.layers[1].matches)]
    object.__setattr__(layer, "matches", (lucky, real, *others[: len(rest)]))
    object.__setattr__(found.layers[1], "matches", tuple(others[len(rest) :]))
    (row,) = views.concept_rows(found, {name: 1}, 0.04)
    assert row.best is real
