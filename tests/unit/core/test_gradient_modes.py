"""Public functions give the same whether or not their caller has switched gradients off."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from public_functions import CALLS, QUIET, Networks, Pictures, assert_equal_results, make_networks, plain_result
from tiny_gans import tiny

import gandissect
import generators
from generators.training import train_generator

MODES = pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])


NEED_GRADIENTS = ("gandissect.find_causal_units", "gandissect.optimize_units", "gandissect.latent.invert")


@pytest.mark.parametrize("name", CALLS)
def test_a_public_function_gives_what_it_gives_without(name: str, tmp_path: Path) -> None:
    wanted, networks = plain_result(name), make_networks()
    with torch.inference_mode():
        result = CALLS[name](networks, tmp_path)
    assert_equal_results(result, wanted)


@pytest.mark.parametrize("name", NEED_GRADIENTS)
def test_a_public_function_takes_its_own_gradients(name: str, tmp_path: Path) -> None:
    wanted = plain_result(name)
    with torch.no_grad():
        result = CALLS[name](make_networks(), tmp_path)
    assert_equal_results(result, wanted)


@MODES
def test_a_training_ends_where_it_ends_without(mode: Any, tmp_path: Path) -> None:
    settings = tiny("dcgan", images=24)
    wanted = train_generator(settings, Pictures(20), tmp_path / "plain", device="cpu")
    with mode():
        trained = train_generator(settings, Pictures(20), tmp_path / "other", device="cpu")
    assert generators.load(trained, device="cpu").fingerprint == generators.load(wanted, device="cpu").fingerprint


def _optimize(networks: Networks) -> gandissect.UnitRanking:
    return gandissect.optimize_units(*networks.pair, "layer2", "red", 8, **QUIET)


def test_networks_that_let_no_gradients_through_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with torch.inference_mode():
        networks = make_networks()
    remedy = r"gradients must flow through dcgan and colors; load both outside torch\.inference_mode"
    with pytest.raises(ValueError, match=remedy):
        _optimize(networks)
    networks = make_networks()
    monkeypatch.setattr(networks.segmenter, "logits", torch.no_grad()(networks.segmenter.logits))
    with pytest.raises(ValueError, match=remedy):
        _optimize(networks)


def test_an_optimization_leaves_no_gradients_on_the_networks() -> None:
    networks = make_networks()
    for module in networks.modules:
        module.requires_grad_(True)
    ranking = _optimize(networks)
    assert all(parameter.grad is None for module in networks.modules for parameter in module.parameters())
    assert torch.equal(ranking.scores, _optimize(make_networks()).scores)
