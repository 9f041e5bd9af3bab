"""The explorer without Streamlit: closed forms of the planted generator, and the unchanged shared model."""

from __future__ import annotations

import socket
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from torch.nn.functional import interpolate

import generators
from apps.commands import explore
from apps.explorer.background.dissector import Dissector
from apps.explorer.display.changes import measure_change, measure_shares
from apps.explorer.display.images import draw_change, draw_concepts, draw_heat, draw_picture
from apps.explorer.networks import edit_images, make_images, measure_heat
from gandissect import Ablation, Concept, UnitSet, dissect
from gandissect.interventions.edits import control_units
from generators.architectures.planted import PLANTED
from segmenters.palette import PaletteSegmenter

PLANTED_SEGMENTER = PaletteSegmenter(generators.PlantedGenerator.concepts)


@pytest.fixture(scope="module")
def dcgan() -> generators.DCGAN:
    torch.manual_seed(0)
    return generators.DCGAN(size=64, width=8, z_dim=8).eval().requires_grad_(False)


def everything(network: torch.nn.Module) -> tuple:
    """Return everything an edit might leave behind: weights, hooks, attributes of all modules."""
    weights = {name: value.clone() for name, value in network.state_dict().items()}
    hooks = [(len(m._forward_hooks), len(m._forward_pre_hooks), len(m._backward_hooks)) for m in network.modules()]
    return weights, hooks, [sorted(vars(m)) for m in network.modules()], [m.training for m in network.modules()]


def assert_same(before: tuple, after: tuple) -> None:
    torch.testing.assert_close(after[0], before[0], rtol=0, atol=0)
    assert after[1:] == before[1:]


@pytest.mark.parametrize("layer", ["layer1", "layer2"])
@pytest.mark.parametrize("off", [(), (0,), (1, 3), (4, 5), (0, 1, 2, 3, 4, 5)])
def test_switching_off_a_planted_unit_removes_its_concept_and_nothing_else(layer: str, off: tuple[int, ...]) -> None:
    planted = generators.PlantedGenerator()
    z = planted.sample_z(8, seed=3)
    labels = PLANTED_SEGMENTER(planted(z))
    expected = labels.clone()
    for unit in off:
        if unit < len(PLANTED):
            expected[labels == PLANTED[unit].index] = 0
    after = edit_images(planted, z, [Ablation(UnitSet(layer, off))])
    torch.testing.assert_close(PLANTED_SEGMENTER(after), expected, rtol=0, atol=0)


def test_switching_off_nothing_is_the_picture_itself(dcgan: generators.DCGAN) -> None:
    z = dcgan.sample_z(2, seed=1)
    for layer in dcgan.layers:
        assert torch.equal(edit_images(dcgan, z, [Ablation(UnitSet(layer, ()))]), make_images(dcgan, z))


def test_a_unit_that_the_layer_does_not_have_is_refused(dcgan: generators.DCGAN) -> None:
    with pytest.raises(ValueError, match="units 0 to"):
        edit_images(dcgan, dcgan.sample_z(1), [Ablation(UnitSet("layer1", (10_000,)))])


def test_concurrent_visitors_get_the_results_of_one_alone_and_leave_nothing_behind(dcgan: generators.DCGAN) -> None:
    """Law 1 in the explorer: edits, plain pictures and a dissection, concurrently on one shared model."""
    z, layer = dcgan.sample_z(1, seed=5), "layer2"
    edits = [UnitSet(layer, tuple(range(first, first + 4))) for first in range(8)]
    alone = [edit_images(dcgan, z, [Ablation(units)]) for units in edits]
    plain, before = make_images(dcgan, z), everything(dcgan)
    assert not any(torch.equal(each, plain) for each in alone)
    segmenter = PaletteSegmenter([Concept(0, "dark", (0, 0, 0)), Concept(1, "light", (255, 255, 255))])
    job = Dissector(num_samples=64).begin(dcgan, segmenter, layer)
    with ThreadPoolExecutor(8) as pool:
        for _ in range(4):
            edited = pool.map(lambda units: edit_images(dcgan, z, [Ablation(units)]), edits)
            unedited = pool.map(lambda _: make_images(dcgan, z), edits)
            assert all(torch.equal(got, want) for got, want in zip(edited, alone, strict=True))
            assert all(torch.equal(got, plain) for got in unedited)
    found = job.result.result(timeout=60)
    assert_same(before, everything(dcgan))
    want = dissect(dcgan, segmenter, layer, 64, top_images=0, progress=False)[layer]
    assert torch.equal(found[layer].iou, want.iou) and torch.equal(found[layer].thresholds, want.thresholds)


def test_the_control_has_the_same_number_of_other_units_and_is_seeded() -> None:
    chosen = UnitSet("layer3", (3, 1, 7))
    control = control_units(chosen, 32)
    assert control == control_units(chosen, 32) and len(control) == 3
    assert not set(control.units) & set(chosen.units) and max(control.units) < 32
    drawn = {unit for seed in range(200) for unit in control_units(chosen, 32, seed).units}
    assert drawn == set(range(32)) - set(chosen.units)
    assert set(control_units(UnitSet("layer3", (0, 1, 2)), 4).units) > {3}, "too few others: filled up"


def test_heat_is_the_mean_of_capped_activations_over_thresholds() -> None:
    planted = generators.PlantedGenerator()
    z = next(row for row in planted.sample_z(50, seed=0) if (row[0::2] > 0).all())[None]
    units, thresholds = UnitSet("layer1", (0, 1, 5)), torch.tensor([2.0, 0.5, 1, 1, 1, 0])
    slow = interpolate(planted.head(z, "layer1"), (64, 64), mode="bilinear")[0]
    want = ((slow[0] / 2).clamp(0, 1) + (slow[1] / 0.5).clamp(0, 1)) / 3
    torch.testing.assert_close(measure_heat(planted, z, units, thresholds), want)


def test_shares_add_up_and_count_unlabeled_pixels() -> None:
    labels = torch.tensor([[0, 0, 2], [-1, 2, 2]])
    assert measure_shares(labels, 4).tolist() == pytest.approx([2 / 6, 0, 3 / 6, 0, 1 / 6])


def test_change_runs_from_0_to_1() -> None:
    black, white = torch.full((3, 2, 2), -1.0), torch.full((3, 2, 2), 1.0)
    assert measure_change(black, black).max() == 0
    assert measure_change(black, white * 5).tolist() == [[1, 1], [1, 1]], "values beyond white are white"
    red = black.clone()
    red[0] = 1
    assert measure_change(black, red).flatten()[0] == pytest.approx(1 / 3)


def test_pictures_are_enlarged_by_whole_factors_and_keep_their_colors() -> None:
    assert draw_picture(torch.zeros(3, 64, 48)).shape == (256, 192, 3)
    assert draw_picture(torch.zeros(3, 300, 300)).shape == (300, 300, 3)
    assert (draw_picture(torch.full((3, 8, 8), 3.0)) == 255).all()
    assert (draw_change(torch.zeros(8, 8)) == 0).all()
    assert (draw_change(torch.ones(8, 8)) == (255, 250, 200)).all()
    cold = draw_heat(torch.ones(3, 8, 8), torch.zeros(8, 8))
    assert (cold == 153).all(), "nothing glows where nothing is active"


def test_concepts_are_painted_in_their_colors_and_the_rest_is_gray() -> None:
    concepts = (Concept(0, "sky", (10, 20, 200)), Concept(1, "sun", (250, 200, 0)))
    pixels = draw_concepts(torch.full((3, 2, 2), -1.0), torch.tensor([[0, 1], [-1, 0]]), concepts)
    assert pixels[0, 0].tolist() == [7, 14, 140] and pixels[0, -1].tolist() == [175, 140, 0]
    assert pixels[-1, 0].tolist() == [0, 0, 0]


def test_tables_agree_with_the_dissection_and_the_labels() -> None:
    pytest.importorskip("pandas", reason="comes with Streamlit")
    from apps.explorer.display import tables

    planted = generators.PlantedGenerator()
    found = dissect(planted, PLANTED_SEGMENTER, "layer2", 64, progress=False)["layer2"]
    rows = tables.unit_table(found, (1, 5, 4)).to_dict("records")
    assert [(row["unit"], row["concept"], row["IoU"]) for row in rows] == [
        (1, "green", 1),
        (5, "none", 0),
        (4, "red", 1),
    ]
    assert tables.unit_table(found, (1, 4), "red")["IoU"].tolist() == [0, 1]
    before, after = torch.tensor([[1, 1, 2, 0]]), torch.tensor([[0, 0, 2, -1]])
    frame = tables.share_table(PLANTED_SEGMENTER.concepts, {"before": before, "off": after})
    assert frame.index.tolist() == [1, 0, 2, 5] and frame["before"].sum() == frame["off"].sum() == 100
    assert frame["± off"].tolist() == [-50, 25, 0, 25]
    assert "#e62828" in tables.add_colors(frame, PLANTED_SEGMENTER.concepts).to_html()


def test_a_dissection_runs_once_for_all_visitors_and_is_never_mixed_up() -> None:
    small, large = generators.PlantedGenerator(), generators.PlantedGenerator(cells=32)
    dissector = Dissector(num_samples=16)
    job = dissector.begin(small, PLANTED_SEGMENTER, "layer2")
    assert dissector.begin(generators.PlantedGenerator(), PLANTED_SEGMENTER, "layer2") is job, "the same weights"
    other = dissector.begin(large, PLANTED_SEGMENTER, "layer2")
    for each, generator in ((job, small), (other, large)):
        assert each.result.result(60).provenance.generator.fingerprint == generator.fingerprint
    assert job.total == 16 and job.share == 1


def test_a_saved_dissection_is_used_only_for_its_networks() -> None:
    planted = generators.PlantedGenerator()
    saved = dissect(planted, PLANTED_SEGMENTER, "layer2", 32, progress=False)
    dissector = Dissector(16, saved)
    assert dissector.begin(planted, PLANTED_SEGMENTER, "layer2").result.result(0) is saved
    assert dissector.begin(planted, PLANTED_SEGMENTER, "layer1").result.result(60) is not saved, "it lacks the layer"
    other = generators.PlantedGenerator(cells=32)
    assert dissector.matches(planted, PLANTED_SEGMENTER) and not dissector.matches(other, PLANTED_SEGMENTER)


def test_the_oldest_dissection_is_dropped_and_a_failure_is_kept_for_the_page() -> None:
    planted = generators.PlantedGenerator()
    dissector = Dissector(num_samples=0, capacity=1)
    first = dissector.begin(planted, PLANTED_SEGMENTER, "layer1")
    with pytest.raises(ValueError, match="num_samples"):
        first.result.result(60)
    others = [dissector.begin(planted, PLANTED_SEGMENTER, layer) for layer in ("layer2", "layer1")]
    assert others[1] is not first
    assert all(other.result.exception(60) for other in others)


def test_texts_are_escaped_and_long_ones_lose_their_middle() -> None:
    pytest.importorskip("streamlit", reason="the extra 'app' is not installed")
    from apps.explorer.background.resources import MAX_CHARACTERS, escape

    assert escape("a<b>*c*") == "a\\<b\\>\\*c\\*" and escape("x" * MAX_CHARACTERS) == "x" * MAX_CHARACTERS
    assert escape("\ud800") == "?", "half a character"
    long = escape("begin" + "*" * 700_000 + "end")
    assert len(long) < 3 * MAX_CHARACTERS and long.startswith("begin") and long.endswith("end")
    assert f"({700_008 - MAX_CHARACTERS} more characters)".replace("(", "\\(").replace(")", "\\)") in long


def test_without_streamlit_one_line_names_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "streamlit", None)
    with pytest.raises(ValueError, match=r"needs Streamlit; run: pip install .*\[app\]"):
        explore.Options().run()


def test_mistakes_show_before_a_server_starts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pytest.importorskip("streamlit", reason="the extra 'app' is not installed")
    monkeypatch.setattr(explore.runpy, "run_module", lambda *a, **k: pytest.fail("the server was started"))
    planted = str(tmp_path / "planted.safetensors")
    generators.save(generators.PlantedGenerator(), planted)
    wrong = [
        ({"generator": "nothing-like-it"}, KeyError),
        ({"generator": planted}, ValueError, "no bundled segmenter matches .*planted"),
        (
            {"generator": planted, "segmenter": "palette", "data": (str(tmp_path / "none"),)},
            FileNotFoundError,
            "no folder",
        ),
        ({"data": (f"{tmp_path}@train",)}, ValueError, "must be a folder of pictures; it holds results"),
        ({"data": ("scenes:none",)}, ValueError, "COUNT in scenes:COUNT must be at least 1"),
        ({"generator": str(tmp_path / "none.safetensors")}, FileNotFoundError),
        ({"num_samples": 0}, ValueError),
        ({"port": 70_000}, ValueError),
        ({"dissection": tmp_path}, FileNotFoundError),
    ]
    for options, error, *message in wrong:
        with pytest.raises(error, match="".join(message) or None):
            explore.Options(**options).run()


def test_a_port_in_use_is_named_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("streamlit", reason="the extra 'app' is not installed")
    monkeypatch.setattr(explore.runpy, "run_module", lambda *a, **k: pytest.fail("the server was started"))
    monkeypatch.setattr(explore.Options, "_check", lambda options: None)
    with socket.create_server(("localhost", 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(ValueError, match=f"port {port} is in use; choose another with --port"):
            explore.Options(port=port, headless=True).run()


def test_the_server_stays_local_and_sends_no_statistics() -> None:
    arguments = explore.Options(generator="a", port=1234, num_samples=7, data=("x", "y@z")).arguments()
    page = arguments.index("--")
    for flag in ("--server.address=localhost", "--server.port=1234", "--browser.gatherUsageStats=false"):
        assert flag in arguments[:page]
    assert "--server.headless=true" in arguments and Path(arguments[2]).is_file()
    assert arguments[page + 1 :] == ["--generator=a", "--num-samples=7", "--device=auto", "--data=x", "--data=y@z"]
