"""``gandissect models``: each bundled network once, under its family, with its figures."""

import json

import pytest

import generators
import segmenters
from apps.commands import models


def test_every_network_is_listed_once_under_its_family(capsys: pytest.CaptureFixture[str]) -> None:
    models.Options().run()
    lines = capsys.readouterr().out.splitlines()
    cards = [("generators", generators.card(name)) for name in generators.names()]
    cards += [("segmenters", segmenters.card(name)) for name in segmenters.names()]
    family, listed = "", []
    for line in lines:
        if not line.startswith(" "):
            family = line
        elif not line.startswith("   "):
            listed.append((family, line.strip().partition(":")[0]))
    assert sorted(listed) == sorted((f"{card.family} ({kind})", card.name) for kind, card in cards)
    headings = [line for line in lines if not line.startswith(" ")]
    assert len(headings) == len(set(headings))


def test_every_network_has_figures_and_a_license(capsys: pytest.CaptureFixture[str]) -> None:
    models.Options().run()
    lines = capsys.readouterr().out.splitlines()
    for place, line in enumerate(lines):
        if line.startswith("  ") and not line.startswith("   "):
            name = line.strip().partition(":")[0]
            own = [text for text in lines[place + 1 : place + 4] if text.startswith("      ")]
            assert len(own) >= 2, f"{name} has no figures"


def test_json_has_the_complete_cards(capsys: pytest.CaptureFixture[str]) -> None:
    models.Options(json=True).run()
    entries = json.loads(capsys.readouterr().out)
    assert {entry["name"] for entry in entries} == {*generators.names(), *segmenters.names()}
    assert all(entry["family"] and entry["quality"] for entry in entries)
