"""The page Artifacts on tiny networks: its results equal the library's, and it can be canceled."""

from __future__ import annotations

import io
import threading
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from explorer_visitor import AppTest, Open, read_pictures, read_texts, settle
from torch import Tensor

import generators
from apps.explorer.artifacts import measurements
from apps.explorer.background.tasks import Tasks
from apps.explorer.views import artifacts
from gandissect import UnitSet, choose_num_units
from gandissect.fidelity.neighbors import realism

TINY = measurements.Sizes(
    real=48, held_out=16, scored=40, ranked=40, effect=16, images=16, sets=2, controls=2, counts=(1, 2, 4)
)


def mean_colors(_: object) -> Callable[[Tensor], Tensor]:
    """Return cheap features in place of an encoder's."""
    return lambda images: images.unfold(2, 32, 32).unfold(3, 32, 32).mean((4, 5)).flatten(1)


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    torch.manual_seed(0)
    path = tmp_path / "tiny.safetensors"
    generators.save(generators.DCGAN(size=64, width=4, z_dim=5).eval(), path)
    monkeypatch.setattr(measurements, "encoder_features", mean_colors)
    monkeypatch.setattr(artifacts, "SIZES", TINY)
    return path


@pytest.fixture
def page(visit_page: Open, tiny: Path) -> AppTest:
    return visit_page(
        "artifacts", "--generator", tiny, "--segmenter", "palette", "--data", "scenes:100", layer="layer3"
    )


def finish(page: AppTest) -> AppTest:
    settle(page)
    while page.get("progress"):  # one task follows the other
        settle(page)
    return page


def test_nothing_starts_before_the_button_is_clicked(page: AppTest, tiny: Path) -> None:
    assert not page.get("progress") and not page.dataframe
    finish(page.button(key="look").click().run())
    generator = generators.load(tiny)
    yardstick = measurements.make_yardstick(_Named(), ("scenes:100",), 64, TINY)
    with torch.inference_mode():
        features = torch.cat([yardstick.extract_features(generator(generator.sample_z(1, 1, n))) for n in range(40)])
    order = realism(yardstick.train, features).argsort()[:8].tolist()
    shown = [int(each.key.split()[1]) for each in page.button if (each.key or "").startswith("worst ")]
    assert shown == order
    ranking = measurements.rank(generator, "layer3", yardstick, "effect", TINY)
    assert page.dataframe[0].value["unit"].tolist() == list(ranking.top(99).units)
    before, after, random = (each.value for each in page.metric)
    curve = choose_num_units(
        generator, ranking.top(4), yardstick, TINY.counts, 0, num_images=16, num_sets=2, num_controls=2, progress=False
    )
    assert before == f"{curve.distance[0].mean():.1f}" and after == f"{curve.distance[1].mean():.1f}"
    means = curve.control[:, 1].mean(1)
    assert random == f"{means.min():.1f} to {means.max():.1f}"
    page.button(key=f"worst {shown[2]}").click().run()
    assert page.number_input(key="picture").value == shown[2]


def test_the_slider_switches_units_off_in_the_worst_pictures(page: AppTest) -> None:
    finish(page.button(key="look").click().run())
    slider = page.select_slider(key="off 4")
    assert slider.options == ["0", "1", "2", "4"]
    first = next(url for alt, url in read_pictures(page).items() if alt.endswith("with 1 unit off"))
    slider.set_value(4).run()
    four = {alt: url for alt, url in read_pictures(page).items() if alt.endswith("with 4 units off")}
    assert len(four) == 8 and first not in four.values()
    assert page.dataframe[0].value["off"].sum() == 4
    slider.set_value(0).run()
    assert "Write the repair report" not in "".join(each.label for each in page.button)


def test_the_selected_number_of_units_is_measured_before_the_whole_curve(
    page: AppTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate, measure = threading.Event(), measurements.measure
    monkeypatch.setattr(measurements, "measure", lambda *a: (len(a[-1].counts) == 1 or gate.wait(60)) and measure(*a))
    page.button(key="look").click().run()
    deadline = time.monotonic() + 60
    while not page.metric and time.monotonic() < deadline:
        time.sleep(0.05)
        page.run()
    first = [each.value for each in page.metric]
    assert len(first) == 3 and len(page.get("progress")) == 1, "the other numbers are still running"
    assert not [each for each in page.button if each.key == "report"], "a report needs the whole curve"
    gate.set()
    finish(page)
    assert [each.value for each in page.metric] == first and page.button(key="report")


def test_a_report_is_written_and_downloaded(page: AppTest, monkeypatch: pytest.MonkeyPatch) -> None:
    written, write = [], measurements.make_report
    monkeypatch.setattr(measurements, "make_report", lambda *a: written.append(write(*a)) or written[-1])
    finish(page.button(key="look").click().run())
    finish(page.button(key="report").click().run())
    assert (
        len(page.get("download_button")) == 1
        and "switching off 1 unit of layer3" in (*page.success, *page.info)[0].value.lower()
    )
    assert bool(page.success) == written[0].repair.helps
    names = zipfile.ZipFile(io.BytesIO(written[0].file)).namelist()
    assert names == ["recipe.json", "repair.json", "report.html", "report.pdf"]


def test_work_can_be_canceled_and_restarted(page: AppTest, monkeypatch: pytest.MonkeyPatch) -> None:
    gate, real = threading.Event(), measurements.make_yardstick
    monkeypatch.setattr(measurements, "make_yardstick", lambda *a: gate.wait(30) and real(*a))
    page.button(key="look").click().run()
    assert len(page.get("progress")) == 1
    next(each for each in page.button if each.label == "Cancel").click().run()
    assert not page.get("progress") and page.button(key="look"), "it is offered again"
    gate.set()
    finish(page.button(key="look").click().run())
    assert len(page.metric) == 3


def test_missing_pictures_are_reported_with_the_remedy(
    visit_page: Open, tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = visit_page("artifacts", "--generator", tiny, "--segmenter", "palette")
    assert "gandissect explore --data FOLDER" in read_texts(page)
    page = visit_page("artifacts", "--generator", tiny, "--segmenter", "palette", "--data", tiny.parent / "<b>none")
    settle(page.button(key="look").click().run())
    assert "<b>none" in read_texts(page) and "\\<b\\>" in page.error[0].value
    assert any(each.label == "Try again" for each in page.button)
    monkeypatch.undo()
    page = visit_page("artifacts", "--generator", tiny, "--segmenter", "palette", "--data", "scenes:100")
    settle(page.button(key="look").click().run())
    assert "has no encoder to take features from" in read_texts(page)


def test_the_announced_number_of_pictures_is_about_right(tiny: Path) -> None:
    generator, tasks, units = generators.load(tiny), Tasks(), 16
    real = tasks.begin("real", 128, lambda: measurements.make_yardstick(_Named(), ("scenes:48",), 64, TINY))
    yardstick = real.result.result(60)
    assert real.done == 2 * (len(yardstick.train) + len(yardstick.held_out)) > 90, "read, and processed"
    ranked = tasks.begin("rank", 0, lambda: measurements.rank(generator, "layer2", yardstick, "effect", TINY))
    ranking = ranked.result.result(60)
    assert 0.8 * ranked.done <= TINY.for_ranking("effect", units) <= 1.3 * ranked.done
    curve = tasks.begin("curve", 0, lambda: measurements.measure(generator, ranking, yardstick, TINY))
    curve.result.result(60)
    assert 0.8 * curve.done <= TINY.for_curve(units) <= 1.3 * curve.done


def test_the_curve_table_has_the_range_of_sets_and_of_random_units(tiny: Path) -> None:
    generator = generators.load(tiny)
    yardstick = measurements.make_yardstick(_Named(), ("scenes:100",), 64, TINY)
    curve = choose_num_units(
        generator,
        UnitSet("layer3", (1, 0)),
        yardstick,
        (1, 2),
        num_images=8,
        num_sets=2,
        num_controls=2,
        progress=False,
    )
    frame = measurements.curve_table(curve)
    assert frame["units"].tolist() == [0, 1, 2]
    for row in range(3):
        sets = [float(value) for value in curve.distance[row]]
        draws = [sum(float(value) for value in draw[row]) / 2 for draw in curve.control]
        assert frame["distance"][row] == pytest.approx(sum(sets) / 2)
        assert (frame["low"][row], frame["high"][row]) == pytest.approx((min(sets), max(sets)))
        assert (frame["random low"][row], frame["random high"][row]) == pytest.approx((min(draws), max(draws)))


@pytest.mark.parametrize("name", ["dcgan-scenes64", "stylegan-scenes64"])
def test_a_bundled_model_works(visit_page: Open, name: str) -> None:
    page = visit_page("artifacts", generator=name)
    assert not page.error and page.button(key="look")


class _Named:
    name = "palette"
