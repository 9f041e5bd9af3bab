"""The training of a StackGAN: its phases, its losses, and what it needs of pictures."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from typing import Any

import pytest
import torch
from tiny_gans import Noise, tiny, tiny_task
from torch import Tensor, nn

from generators.training import RECIPES, make_task
from generators.training.captions import find_wrong, load_captions, load_fits, match_logits, matching_loss
from generators.training.losses import pair_discriminator
from generators.training.turns import Moment


class Plain(Noise):
    """Pictures without captions."""

    vocabulary = ()


def _children(network: nn.Module) -> dict[str, dict[str, Tensor]]:
    return {name: deepcopy(child.state_dict()) for name, child in network.named_children()}


def _moved(before: dict[str, dict[str, Tensor]], network: nn.Module) -> set[str]:
    after = _children(network)
    return {name for name, part in before.items() if any(not torch.equal(part[key], after[name][key]) for key in part)}


FIRST = {"first_code", "first1", "first2", "sketch"}
SECOND = {"second_code", *(f"second{index}" for index in range(1, 8)), "output"}


def test_each_phase_trains_its_part_and_leaves_the_others_bit_equal() -> None:
    task = tiny_task("stackgan")
    for step, expected in enumerate([{"text"}, FIRST, SECOND, SECOND]):
        ours, average = _children(task.generator), _children(task.average.generator)
        task.step(step)
        assert _moved(ours, task.generator) == expected
        assert _moved(average, task.average.generator) == expected


def test_stage_two_learns_on_the_pictures_of_the_averaged_stage_one() -> None:
    task = tiny_task("stackgan")
    rows = task.generator.sample_z(8, seed=1)
    before = task.make_pictures("second", rows)
    with torch.no_grad():
        task.generator.first1[0].weight.add_(1)
    assert torch.equal(task.make_pictures("second", rows), before)
    with torch.no_grad():
        task.average.generator.first1[0].weight.normal_(generator=torch.Generator().manual_seed(0))
    assert not torch.equal(task.make_pictures("second", rows), before)


def test_learning_rates_fall_at_the_end_of_each_phase() -> None:
    settings = replace(
        RECIPES["stackgan"],
        caption_images=640,
        caption_learning_rate=1e-2,
        first_images=640,
        images=2560,
        learning_rate=1e-3,
        decay_from=0.8,
    )
    task = make_task(replace(settings, resolution=16, width=4, resident=False), Noise(64), device="cpu")
    rates = [task.learning_rate_at("generator", step) for step in range(40)]
    assert rates[:9] == [1e-2] * 9, "64 of the 128 images of the fall are left after nine steps"
    assert rates[9] == pytest.approx(5e-3)
    assert rates[10:19] == pytest.approx([1e-3] * 9)
    assert rates[19] == pytest.approx(5e-4)
    assert rates[20:33] == pytest.approx([1e-3] * 13)
    assert rates[36] == pytest.approx(5e-4)
    assert all(task.learning_rate_at("generator", step) > 0 for step in range(40))


def test_the_matching_loss_is_that_of_a_loop_over_all_pairs() -> None:
    rng = torch.Generator().manual_seed(0)
    logits = torch.randn(5, 5, generator=rng, dtype=torch.float64)
    fits = torch.rand(5, 5, generator=rng) < 0.4
    total = 0.0
    for i in range(5):
        captions = [logits[i, j].exp() for j in range(5) if j == i or not fits[i, j]]
        pictures = [logits[j, i].exp() for j in range(5) if j == i or not fits[j, i]]
        total -= float((logits[i, i].exp() / sum(captions)).log() + (logits[i, i].exp() / sum(pictures)).log()) / 2
    assert float(matching_loss(logits, fits)) == pytest.approx(total / 5)


def test_a_matching_pair_has_the_largest_cosine() -> None:
    pictures = torch.tensor([[3.0, 0.0], [0.0, 0.2]])
    logits = match_logits(pictures, torch.tensor([[1.0, 1.0], [0.0, 5.0]]))
    torch.testing.assert_close(logits, 10 * torch.tensor([[0.5**0.5, 0.0], [0.5**0.5, 1.0]]))


def test_a_wrong_caption_is_the_next_that_is_not_true_of_the_picture() -> None:
    fits = torch.rand(9, 9, generator=torch.Generator().manual_seed(3)) < 0.6
    fits.fill_diagonal_(True)
    fits[4] = True
    for picture, wrong in enumerate(find_wrong(fits).tolist()):
        following = [(picture + step) % 9 for step in range(1, 10)]
        assert wrong == next((other for other in following if not fits[picture, other]), following[0])


def test_the_discriminator_loss_is_that_of_the_paper() -> None:
    real, fake, wrong = torch.tensor([1.5, -0.3]), torch.tensor([-2.0, 0.4]), torch.tensor([0.7, -0.1])
    d = [torch.sigmoid(logits) for logits in (real, fake, wrong)]
    expected = -d[0].log().mean() - ((1 - d[1]).log().mean() + (1 - d[2]).log().mean()) / 2
    torch.testing.assert_close(pair_discriminator(real, fake, wrong), expected)


@pytest.mark.parametrize("stage", ["first", "second"])
def test_discriminators_learn_that_wrong_captions_are_wrong(stage: str) -> None:
    """A step of the discriminator lowers the logit of real pictures with wrong captions against the right ones."""
    task = tiny_task("stackgan", learning_rate=1e-3, augmentation=())
    turn = {"first": task.turns[1], "second": task.turns[3]}[stage]

    def gap() -> float:
        figures = turn.loss(Moment(0, task.growth(16)))[1]
        return (figures[f"logit_real_{stage}"] - figures[f"logit_wrong_{stage}"]).item()

    before = gap()
    for _ in range(12):
        turn.take(task, 0, task.growth(16))
    assert gap() > before


@pytest.mark.parametrize("stage", ["first", "second"])
def test_a_step_of_a_stage_raises_the_logit_of_its_pictures(stage: str) -> None:
    task = tiny_task("stackgan", learning_rate=1e-3, beta1=0.0, augmentation=(), divergence_weight=0.0)
    turn = {"first": task.turns[2], "second": task.turns[4]}[stage]
    before = turn.loss(Moment(0, task.growth(16)))[0].item()
    turn.take(task, 0, task.growth(16))
    assert turn.loss(Moment(0, task.growth(16)))[0].item() < before


def test_the_captions_of_a_batch_are_those_of_its_pictures() -> None:
    noise, order = Noise(), [3, 1, 7, 5]
    texts, fits = load_captions(noise, order, 4, 2), load_fits(noise, order, 4, 2)
    assert fits.diagonal().all()
    assert texts == load_captions(noise, order, 4, 2)
    for picture, index in enumerate(order):
        own = noise.classes[index % 3]
        assert fits[picture].tolist() == [text in ("noise", f"{own} noise") for text in texts]


def test_a_trained_generator_draws_from_captions_of_its_pictures() -> None:
    task = tiny_task("stackgan")
    assert set(task.average.generator.captions) == {"noise", "plain noise", "rough noise", "wild noise"}
    assert task.average.generator.vocabulary == Noise.vocabulary


def test_pictures_without_captions_are_refused() -> None:
    with pytest.raises(ValueError, match=r"stackgan needs pictures with captions, such as captions:scenes:20000"):
        make_task(tiny("stackgan"), Plain(), device="cpu")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"images": 16}, "must be more than 16, which the phases before stage II take; got 16"),
        ({"caption_images": 0}, "caption_images"),
        ({"resolution": 8}, "resolution .* must be one of 16"),
        ({"divergence_weight": -1}, "divergence_weight"),
    ],
    ids=str,
)
def test_settings_out_of_range_say_what_is_allowed(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        tiny("stackgan", **changes)
