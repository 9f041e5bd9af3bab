"""Every page with every bundled generator, as `gandissect explore` opens it without arguments."""

from __future__ import annotations

import pytest
from explorer_visitor import Open, read_texts, settle, turn_to

import generators
from apps.explorer.background.resources import load_dissector
from apps.explorer.visit import first_layer

SIMILAR = ("cgan-clothes", "lsgan-", "wgan-", "wgangp-", "egan-", "vaegan-", "agecgan-", "unit-digits")
OF_ONE_FAMILY = [name for name in generators.names() if "-streets" in name or name.startswith(SIMILAR)]
"""Models of families that another model stands for in every run."""


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[pytest.mark.slow] if name in OF_ONE_FAMILY else []) for name in generators.names()],
)
def test_every_page_works_and_paints(visit_page: Open, name: str) -> None:
    page = visit_page("paint", generator=name, picture="2")
    layer = first_layer(generators.load(name))
    assert not page.get("progress"), "the first layer's dissection and effects ship with the explorer"
    assert page.selectbox(key="generator").value == name and page.selectbox(key="layer").value == layer
    behind = next(each.value for each in page.dataframe if "set to" in each.value)
    assert len(behind) and (behind["effect"] > 0).all() and behind["effect"].is_monotonic_decreasing
    (networks,) = page.session_state["brush"]
    info = generators.load(name).layers[layer]
    stroke = {"id": "one", "scope": f"{networks} 1 2", "cells": list(range(info.height * info.width))}
    page.session_state["easel"] = {"strokes": [stroke]}
    page.run()
    assert not page.exception and not page.error and "inside the strokes" in read_texts(page)
    shares = next(each.value for each in page.dataframe if "± after" in each.value)
    least = 0.05 if name.startswith("pix2pix") else 1  # a U-Net has the same information at many places
    assert shares["± after"].abs().max() > least, "a whole picture of it is seen to change"
    for other in ("units", "artifacts", "latent"):
        settle(turn_to(page, other))
        assert page.selectbox(key="generator").value == name
        asks = other == "artifacts" and "scenes" not in name  # its training pictures are not bundled
        assert ["--data" in each.value.replace("\\", "") for each in page.error] == [True] * asks, other
    turn_to(page, "compare")
    assert not page.error and page.selectbox(key="other generator").value == name
    tasks = load_dissector(300, None).tasks
    under_way = list(tasks._tasks.values())  # for the other layer; comparisons are tested elsewhere
    tasks.stop_all()
    for task in under_way:
        task.result.exception(60)  # so that no thread computes while Python exits
