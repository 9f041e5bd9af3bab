"""The judge of captions: what counts as found, and which captions are wrong."""

from __future__ import annotations

import math
import sys
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[3] / "examples"))

from judge_captions import AttributeClassifier, Judged, judge_pictures, pick_wrong

from segmenters.datasets import Scenes

VALUES = {"place": ["lake", "street"], "has_sun": ["False", "True"]}


def _scores(*rows: tuple[float, float]) -> dict[str, torch.Tensor]:
    """Return log probabilities; a row holds those of a lake and of the sun."""
    lake, sun = torch.tensor(rows).T
    return {"place": torch.stack([lake, 1 - lake], 1).log(), "has_sun": torch.stack([1 - sun, sun], 1).log()}


def test_statements_are_found_and_captions_matched_by_likelihood_over_the_prior() -> None:
    """The second picture's caption has a ratio of 0.6 / 0.5; that of a wrong one is 0.9 / 0.3."""
    prior = {"place": torch.tensor([0.5, 0.5]).log(), "has_sun": torch.tensor([0.7, 0.3]).log()}
    truths = [{"place": "street", "has_sun": True}, {"place": "lake"}]
    wrong = [[{"place": "lake"}, {"has_sun": True}], [{"place": "street"}, {"has_sun": True}]]
    scores = _scores((0.2, 0.8), (0.6, 0.9))
    judged = judge_pictures(AttributeClassifier(VALUES), scores, prior, truths, wrong)
    assert judged.statements == (("place", "street", True), ("has_sun", "True", True), ("place", "lake", True))
    ratios = [0.8 / 0.5 * 0.8 / 0.3, 0.2 / 0.5, 0.8 / 0.3, 0.6 / 0.5, 0.4 / 0.5, 0.9 / 0.3]
    assert judged.matched == (ratios[0] > max(ratios[1:3]), ratios[3] > max(ratios[4:]))
    assert judged.matched == (True, False)


def test_summaries_count_statements_by_word() -> None:
    judged = Judged((("place", "lake", True), ("place", "lake", False), ("place", "city", True)), (True, False, False))
    summary = judged.summarize()
    assert summary["attributes"]["mean"] == pytest.approx(2 / 3, abs=1e-4)
    assert summary["by_value"]["place lake"] | {"low": 0, "high": 1} == {"mean": 0.5, "low": 0, "high": 1, "n": 2}
    assert summary["r_precision"]["n"] == 3


def test_the_classifier_states_probabilities() -> None:
    scores = AttributeClassifier(VALUES, width=2)(torch.randn(3, 3, 16, 16))
    assert all(math.isclose(row.exp().sum().item(), 1, rel_tol=1e-5) for part in scores.values() for row in part)


def test_wrong_captions_are_not_true_of_the_scene(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("judge_captions.NUM_WRONG", 3)
    scenes = Scenes(16, 12, 5)
    for index, wrong in enumerate(pick_wrong(scenes, 12, seed=0)):
        record = scenes.attributes(index).record()
        assert len(wrong) == 3
        assert all(any(record[name] != value for name, value in truth.items()) for truth in wrong)
