"""What ``examples/judge_domains.py`` measures, on translations whose figures are known."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch

from gandissect.core import from_uint8
from generators import UNIT, StarGAN
from segmenters.datasets import Scenes

SPECS = ["noon=scenes:10@noon", "dusk=scenes:10@dusk"]


@pytest.fixture(scope="module")
def example() -> ModuleType:
    folder = Path(__file__).parents[3] / "examples"
    sys.path.insert(0, str(folder))  # it imports its neighbors
    spec = importlib.util.spec_from_file_location("judge_domains", folder / "judge_domains.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["judge_domains"] = module
    spec.loader.exec_module(module)
    sys.path.remove(str(folder))
    return module


def test_domains_are_the_same_scenes_which_no_training_sees(example: ModuleType) -> None:
    domains = example.open_domains(SPECS, 16)
    for index, mood in enumerate(("noon", "dusk")):
        batch = Scenes(16, 10, 2, mood=mood).batch(range(10))
        assert torch.equal(domains.images[index], from_uint8(batch.images))
        assert torch.equal(domains.labels, batch.labels)
    assert domains.num_learned == 8
    assert domains.examples(learned=False).classes.tolist() == [0, 0, 1, 1]
    for wrong in (SPECS[:1], ["scenes:3", "scenes:3"], [SPECS[0], "dusk=scenes:9@dusk"]):
        with pytest.raises(ValueError, match="got"):
            example.open_domains(wrong, 16)


def test_perfect_translations_have_no_error_and_copies_that_of_the_domains(example: ModuleType) -> None:
    real = example.open_domains(SPECS, 16).images
    distance = 127.5 * float((real[0].double() - real[1]).abs().mean())
    perfect = {(first, second): real[second] for first in (0, 1) for second in (0, 1)}
    found = example.judge_errors(("noon", "dusk"), real, perfect)
    assert found["from_to"] == [[0, 0], [0, 0]] and found["translated"]["mean"] == 0
    assert found["copied"]["mean"] == pytest.approx(distance)
    assert found["other_pictures"]["mean"] > 5
    copies = {(first, second): real[first] for first in (0, 1) for second in (0, 1)}
    found = example.judge_errors(("noon", "dusk"), real, copies)
    assert found["translated"] == found["copied"] and found["own_domain"]["mean"] == 0
    assert found["from_to"][0][1] == pytest.approx(distance)


def test_a_translation_is_to_the_domain_or_in_the_direction_that_is_named(example: ModuleType) -> None:
    pictures = torch.rand(3, 3, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1
    S, U = StarGAN(16, 4, 1, ["noon", "dusk"]).eval(), UNIT(16, 4, 1, ["noon", "dusk"]).eval()
    for translator, classes in ((S, [0, 1, 0, 1]), (U, [0, 1, 2, 3])):
        pairs = [(source, target) for source in ("noon", "dusk") for target in ("noon", "dusk")]
        for (source, target), index in zip(pairs, classes, strict=True):
            wanted = translator(translator.join_row(pictures.flatten(1), torch.full((3,), index)))
            assert torch.equal(example.translate(translator, pictures, source, target), wanted)
    with pytest.raises(ValueError, match="has no class 'mist'"):
        example.translate(S, pictures, "noon", "mist")


def test_intervals_are_over_scenes(example: ModuleType) -> None:
    values = torch.tensor([[1.0, 2.0, 6.0], [3.0, 2.0, 4.0]], dtype=torch.float64)
    found = example.summarize(values)
    means = torch.tensor([2.0, 2.0, 5.0], dtype=torch.float64)
    reach = 4.302653 * float(means.std()) / 3**0.5  # Student's t with two degrees of freedom, 97.5%
    assert found["mean"] == 3 and found["num_scenes"] == 3
    assert found["interval"] == pytest.approx([3 - reach, 3 + reach], abs=1e-5)


def test_a_classifier_of_codes_learns_what_they_tell_and_leaves_the_state_of_the_generator(example: ModuleType) -> None:
    right = torch.arange(40) % 2
    codes = (2.0 * right - 1)[:, None, None, None] * torch.ones(3, 2, 2)
    state = torch.get_rng_state()
    judge = example.train_on_codes(example.Examples(codes[:20], right[:20]), 2, steps=20, seed=0, stream="test")
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(judge(codes[20:]).argmax(1), right[20:])
