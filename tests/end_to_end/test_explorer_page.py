"""The explorer's page of units as a visitor meets it, on planted units whose effect is known; and the server itself."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import generators
import segmenters
from apps.commands.explore import PAGE
from apps.explorer import jobs
from gandissect import dissect

st = pytest.importorskip("streamlit", reason="the extra 'app' is not installed: pip install 'gandissect[app]'")
from streamlit.testing.v1 import AppTest  # noqa: E402
from streamlit.util import calc_hash  # noqa: E402

Start = Callable[..., AppTest]


@pytest.fixture
def planted(tmp_path: Path) -> Path:
    path = tmp_path / "planted.safetensors"
    generators.save(generators.PlantedGenerator(), path)
    return path


@pytest.fixture
def start(monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    """Open the page as `gandissect explore` would, on caches of its own."""
    st.cache_resource.clear()

    def opened(*arguments: object, **query: str) -> AppTest:
        monkeypatch.setattr(sys, "argv", [str(PAGE), *map(str, arguments)])
        page = AppTest.from_file(str(PAGE), default_timeout=60)
        for name, value in query.items():
            page.query_params[name] = value
        page.run()
        page._page_hash = calc_hash("units")  # AppTest.switch_page knows pages that are files only
        page.run()
        assert not page.exception
        return page

    yield opened
    st.cache_resource.clear()


def until_dissected(page: AppTest) -> AppTest:
    deadline = time.monotonic() + 60
    while page.get("progress") and time.monotonic() < deadline:
        time.sleep(0.05)
        page.run()
    assert not page.exception and not page.get("progress")
    return page


def headings(page: AppTest) -> list[str]:
    return [each.value.removeprefix("#### ") for each in page.markdown]


def shares(page: AppTest) -> dict[str, dict[str, float]]:
    """The share table by concept."""
    frame = next(each.value for each in page.dataframe if "as generated" in each.value)
    return {row["concept"]: row for row in frame.to_dict("records")}


def sample_with(*present: int, absent: tuple[int, ...] = ()) -> int:
    """The number of a picture of seed 1 that has these planted concepts, by the generator's closed form."""
    z = generators.PlantedGenerator().sample_z(200, seed=1)
    fits = [all(row[2 * k] > 0 for k in present) and all(row[2 * k] <= 0 for k in absent) for row in z]
    return fits.index(True)


def test_the_first_picture_does_not_wait_for_the_dissection(
    start: Start, planted: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = threading.Event()
    monkeypatch.setattr(jobs, "dissect", lambda *a, **k: gate.wait(60) and dissect(*a, **k))
    page = start("--generator", planted, "--segmenter", "palette", "--num-samples", 40)
    assert "Picture 0 as generated" in headings(page) and "switched off" not in " ".join(headings(page))
    assert len(page.get("progress")) == 1 and shares(page)["black"]["as generated"] > 90
    page.number_input(key="picture").set_value(5).run()
    assert "Picture 5 as generated" in headings(page), "one can look around meanwhile"
    gate.set()
    assert "switched off" in " ".join(headings(until_dissected(page)))


def test_units_of_a_concept_take_it_away_and_random_ones_do_not(start: Start, planted: Path) -> None:
    number = sample_with(0, 1)
    page = start(
        "--generator", planted, "--segmenter", "palette", "--num-samples", 40, picture=str(number), layer="layer2"
    )
    until_dissected(page)
    assert page.number_input(key="picture").value == number and page.selectbox(key="layer").value == "layer2"
    page.selectbox(key="concept").select("green").run()
    assert "1 best unit for green switched off" in headings(page)
    assert shares(page)["green"]["as generated"] == pytest.approx(100 / 256, abs=0.06)
    assert shares(page)["green"]["off"] == 0 and shares(page)["red"]["± off"] == 0
    page.selectbox(key="concept").select("red").run()
    assert "2 best units for red switched off" in headings(page), "unit 4 is the twin of unit 0"
    page.slider[0].set_value(1).run()
    assert "1 best unit for red switched off" in headings(page) and shares(page)["red"]["off"] == 0
    page.toggle(key="control").set_value(True).run()
    assert "1 random unit of layer2 switched off" in headings(page)
    assert shares(page)["red"]["± random off"] == 0


def test_rows_of_the_table_choose_the_units(start: Start, planted: Path) -> None:
    page = start("--generator", planted, "--segmenter", "palette", "--num-samples", 40, picture=str(sample_with(1)))
    until_dissected(page)
    page.get("button_group")[0].set_value("picked in the table").run()
    assert "1 chosen unit switched off" in headings(page)
    frame = next(each.value for each in page.dataframe if "IoU" in each.value)
    assert len(frame) == 6 and frame["IoU"].is_monotonic_decreasing
    key = f"rows {generators.load(planted).fingerprint} layer2"
    page.session_state[key] = {"selection": {"rows": [frame["unit"].tolist().index(1)], "columns": []}}
    page.run()
    assert shares(page)["green"]["off"] == 0
    page.session_state[key] = {"selection": {"rows": [], "columns": []}}
    page.run()
    assert "switched off" not in " ".join(headings(page)) and page.info, "nothing chosen: it says what to do"


def test_the_url_says_the_picture_and_all_pages_share_it(start: Start, planted: Path) -> None:
    page = start("--generator", planted, "--segmenter", "palette", "--num-samples", 40, picture="9", seed="4")
    assert page.number_input(key="picture").value == 9 and page.number_input(key="seed").value == 4
    page.number_input(key="picture").set_value(16).run()
    page.selectbox(key="layer").set_value("layer1").run()
    for name in ("paint", "latent", "units"):
        page._page_hash = calc_hash(name)
        page.run()
        assert not page.exception
        assert page.number_input(key="picture").value == 16 and page.selectbox(key="layer").value == "layer1"
        assert page.number_input(key="seed").value == 4
    until_dissected(page)


def test_another_generator_brings_its_own_layers_segmenter_and_units(
    start: Start, planted: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wide = planted.with_name("wide.safetensors")
    generators.save(generators.DCGAN(size=64, width=8, z_dim=8), wide)
    monkeypatch.setattr(generators, "names", lambda: (str(wide),))
    page = start("--generator", planted, "--segmenter", "palette", "--num-samples", 20, layer="layer1")
    until_dissected(page)
    page.selectbox(key="generator").set_value(str(wide)).run()
    until_dissected(page)
    assert page.selectbox(key="layer").options == list(generators.load(wide).layers)
    assert page.selectbox(key="segmenter").options[-1] == "palette"
    page.selectbox(key="layer").set_value("layer4").run()
    until_dissected(page)
    page.selectbox(key="generator").set_value(str(planted)).run()
    assert page.selectbox(key="layer").value in ("layer1", "layer2") and not page.exception
    until_dissected(page)


def test_a_saved_dissection_is_there_at_once_and_a_foreign_one_is_refused(start: Start, planted: Path) -> None:
    folder = planted.parent / "run"
    dissect(generators.load(planted), segmenters.load("palette"), None, 50, progress=False).save(folder)
    page = start("--generator", planted, "--segmenter", "palette", "--dissection", folder)
    assert not page.get("progress") and any("IoU from 50 pictures" in each.value for each in page.caption)
    generators.save(generators.PlantedGenerator(cells=32), planted)
    st.cache_resource.clear()
    page = start("--generator", planted, "--segmenter", "palette", "--dissection", folder, "--num-samples", 20)
    assert "of other networks" in page.info[0].value
    until_dissected(page)


@pytest.mark.parametrize("damage", ["missing", "truncated", "no model"])
def test_a_model_that_cannot_be_read_is_said_on_the_page(
    start: Start, planted: Path, damage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(generators, "names", lambda: ())
    if damage == "missing":
        planted.unlink()
    if damage == "truncated":
        planted.write_bytes(planted.read_bytes()[:-5])
    page = start(*(() if damage == "no model" else ("--generator", planted)))
    assert len(page.error) == 1
    assert ("--generator" if damage == "no model" else "planted") in page.error[0].value.replace("\\", "")


def test_the_server_answers_and_stops(planted: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        port = probe.getsockname()[1]
    options = f"generator={str(planted)!r}, segmenter='palette', port={port}, headless=True"
    code = f"from apps.commands.explore import Options; Options({options}).run()"
    server = subprocess.Popen(
        [sys.executable, "-c", code], cwd=PAGE.parents[2], stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    try:
        deadline = time.monotonic() + 90
        while not _answers(f"http://localhost:{port}/_stcore/health"):
            assert server.poll() is None and time.monotonic() < deadline, "no answer"
            time.sleep(0.2)
        assert _answers(f"http://localhost:{port}/")
    finally:
        server.terminate()
        said = server.communicate(timeout=30)[0].decode()
    assert "Traceback" not in said


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return answer.status == 200
    except OSError:
        return False
