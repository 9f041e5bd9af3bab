"""The page Latent: each part, with generators that support it and with others."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
import torch
from explorer_visitor import AppTest, Open, read_pictures, read_texts, settle
from PIL import Image, ImageSequence

import generators
from apps.explorer.latent import walks

SMALL = ("--segmenter", "palette")
ARCHITECTURES = {
    "cgan": lambda: generators.ConditionalDCGAN(size=16, width=8, noise_dim=5, classes=["cat", "dog"]),
    "dcgan": lambda: generators.DCGAN(size=16, width=8, z_dim=5),
    "stylegan": lambda: generators.StyleGAN(size=16, width=8, z_dim=6),
    "progan": lambda: generators.ProGAN(size=16, width=8, z_dim=6),
}


@pytest.fixture(params=ARCHITECTURES)
def tiny(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, Path]:
    """Return the name and the file of an untrained generator of each architecture."""
    torch.manual_seed(0)
    path = tmp_path / "tiny.safetensors"
    generators.save(ARCHITECTURES[request.param]().eval(), path)
    return request.param, path


def open_part(visit_page: Open, path: Path, part: str, **query: str) -> AppTest:
    return visit_page("latent", "--generator", path, *SMALL, part=part, picture="3", **query)


def test_a_walk_passes_through_its_pictures_in_every_space(visit_page: Open, tiny: tuple[str, Path]) -> None:
    kind, path = tiny
    page = open_part(visit_page, path, "walk")
    spaces = page.selectbox(key=f"space {generators.load(path).fingerprint}")
    layers = list(generators.load(path).layers)
    assert spaces.options == (["z", "w", *layers] if kind == "stylegan" else ["z", *layers])
    for space in ("z", layers[0]):
        page.selectbox(key=spaces.key).set_value(space).run()
        page.slider(key="place 3").set_value(0.0).run()
        at_start = read_pictures(page)["Picture at position 0.00 of the walk through pictures 3, 4, 5"]
        page.slider(key="place 3").set_value(1.5).run()
        assert "50% from 4 to 5" in [c for image in page.image for c in image.captions]
        assert at_start != read_pictures(page)["Picture at position 1.50 of the walk through pictures 3, 4, 5"]
        page.slider(key="place 3").set_value(3.0).run()
        assert read_pictures(page)["Picture at position 3.00 of the walk through pictures 3, 4, 5"] == at_start, (
            "it is closed"
        )


@pytest.mark.parametrize(("text", "error"), [("1", "must be 2 to 8 numbers"), ("1, <b>x</b>", "got '<b>x</b>'")])
def test_wrong_numbers_are_reported_and_correct_ones_accepted(
    visit_page: Open, planted: Path, text: str, error: str
) -> None:
    page = open_part(visit_page, planted, "walk")
    page.text_input(key="keys 3").set_value(text).run()
    assert len(page.error) == 1 and error in read_texts(page) and not page.exception
    assert "<" not in page.error[0].value.replace("\\<", ""), "no HTML from the visitor"
    page.text_input(key="keys 3").set_value("1 2").run()
    assert not page.error and page.slider(key="place 2")


def test_the_last_picture_is_followed_by_preceding_ones(visit_page: Open, tiny: tuple[str, Path]) -> None:
    last = 10**9
    page = visit_page("latent", "--generator", tiny[1], *SMALL, part="walk", picture=str(last))
    assert page.text_input(key=f"keys {last}").value == f"{last}, {last - 1}, {last - 2}" and not page.error
    page = visit_page("latent", "--generator", tiny[1], *SMALL, part="mixing", picture=str(last))
    assert page.number_input(key=f"other {last}").value == last - 1


def test_a_film_is_rendered_on_demand_and_is_a_gif(visit_page: Open, planted: Path) -> None:
    page = open_part(visit_page, planted, "walk")
    assert not page.get("download_button")
    page.button(key="make film").click().run()
    assert len(page.get("download_button")) == 1 and "16 frames per step" in read_texts(page)
    frames = ImageSequence.Iterator(Image.open(io.BytesIO(page.session_state["film"][1])))
    assert sum(frame.info["duration"] for frame in frames) == 48 * 50, "ms; a GIF stores equal frames once"
    page.toggle(key="closed").set_value(False).run()
    assert not page.get("download_button"), "another walk needs another film"


def test_truncation_is_offered_where_it_has_an_effect(visit_page: Open, tiny: tuple[str, Path]) -> None:
    kind, path = tiny
    page = open_part(visit_page, path, "truncation")
    if kind == "progan":
        assert "nothing to truncate" in read_texts(page) and not page.slider
        return
    key, name, full = ("psi", "psi", 1.0) if kind == "stylegan" else ("limit", "limit", 4.0)
    page.slider(key=key).set_value(0.5).run()
    half = read_pictures(page)[f"The picture truncated, {name} 0.5"]
    assert half != read_pictures(page)["Generated picture 3"]
    page.slider(key=key).set_value(full).run()
    if kind == "stylegan":
        assert "Mean change of the pixels at psi 1: 0.0%" in read_texts(page)
        page.slider(key=key).set_value(0.0)
        page.slider(key=f"cutoff {generators.load(path).mapping.num_ws}").set_value(0).run()
        assert "Mean change of the pixels at psi 0: 0.0%" in read_texts(page), "no style is truncated"


def test_styles_are_mixed_if_available_and_activations_always(visit_page: Open, tiny: tuple[str, Path]) -> None:
    kind, path = tiny
    page = open_part(visit_page, path, "mixing")
    assert page.number_input(key="other 3").value == 4
    if kind == "stylegan":
        coarse = read_pictures(page)["Picture 3 with the coarse styles of picture 4"]
        page.get("button_group")[-1].set_value("single layers").run()
        one = read_pictures(page)["Picture 3 with 1 style of picture 4"]
        assert len({coarse, one, read_pictures(page)["Picture 3"], read_pictures(page)["Picture 4"]}) == 4
        page.get("button_group")[-1].set_value([]).run()
        assert read_pictures(page)["Picture 3 with 0 styles of picture 4"] == read_pictures(page)["Picture 3"]
        page.get("button_group")[1].set_value("activations").run()
    mixture = read_pictures(page)["Picture 3 with a region of picture 4"]
    assert mixture not in (read_pictures(page)["Picture 3"], read_pictures(page)["Picture 4"])
    page.slider(key="region columns").set_value((50, 50)).run()
    assert "The region is empty" in read_texts(page)
    assert read_pictures(page)["Picture 3 with a region of picture 4"] == read_pictures(page)["Picture 3"]


def test_directions_move_the_picture_and_are_labeled_in_the_background(
    visit_page: Open, tiny: tuple[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, path = tiny
    monkeypatch.setattr(walks, "LABEL_SAMPLES", 10)
    page = settle(open_part(visit_page, path, "directions"))
    assert read_texts(page).count("Per sigma: ") == 6 and "Per sigma: measuring" not in read_texts(page)
    plain = read_pictures(page)["Generated picture 3"]
    assert read_pictures(page)["The picture moved along the directions"] == plain
    page.slider[1].set_value(3.0).run()
    moved = read_pictures(page)["The picture moved along the directions"]
    assert moved != plain
    page.toggle(key="sweep").set_value(True).run()
    still = [read_pictures(page)[f"The picture moved by 0 sigma along sefa-{n}"] for n in range(1, 6)]
    away = [read_pictures(page)[f"The picture moved by 3 sigma along sefa-{n}"] for n in range(1, 6)]
    assert len(set(still)) == 1 and len({*still, *away}) == 6
    page.button(key="rest").click().run()
    assert read_pictures(page)["The picture moved along the directions"] == plain


def test_a_generator_without_linear_maps_is_reported(visit_page: Open, planted: Path) -> None:
    page = open_part(visit_page, planted, "directions")
    assert "must have a method latent_maps()" in read_texts(page) and not page.slider


@pytest.mark.parametrize("part", ["walk", "truncation", "mixing"])
def test_a_bundled_model_works(visit_page: Open, part: str) -> None:
    page = visit_page("latent", *SMALL, generator="stylegan-scenes64", part=part)
    assert not page.error and len(read_pictures(page)) > 2
