"""What the engine promises every family: turns, signs, frozen networks, and the trajectories of earlier versions."""

from __future__ import annotations

import json
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_gans import Noise, tiny, tiny_task
from torch import Tensor

from generators.training import FAMILIES, RECIPES, GANSettings, GANTask, TrainingSettings, train_generator
from generators.training.growth import Growth
from generators.training.losses import LOSSES
from generators.training.settings import GROWING
from generators.training.train import _as_json
from generators.training.turns import Moment

FROZEN = json.loads(Path(__file__).with_name("frozen_trajectories.json").read_text())
"""Figures of the first three steps, from the version before the engine, on one CPU thread."""


@pytest.mark.parametrize("run", FROZEN)
def test_the_first_families_train_as_they_did_before_there_was_an_engine(run: str) -> None:
    """On the machine that froze them they were bit-equal; rounding differs between CPUs."""
    architecture, loss = run.split()
    task = GANTask(
        tiny(architecture, loss=loss, r1_gamma=0.5, clip_gradient=5.0, decay_from=0.5), Noise(), device="cpu"
    )
    for index, expected in enumerate(FROZEN[run]):
        assert task.step(index) == pytest.approx(expected, rel=2e-4, abs=2e-5)


def _cases() -> list[tuple[str, str]]:
    """Return DCGAN with every loss, and every other family of GANs with the loss that is the logits' difference."""
    gans = [name for name, recipe in RECIPES.items() if isinstance(recipe, GANSettings) and name != "dcgan"]
    return [("dcgan", loss) for loss in LOSSES] + [(name, "wasserstein") for name in gans]


def _task(architecture: str = "dcgan", loss: str = "logistic", **changes: Any) -> GANTask:
    changes = {"learning_rate": 1e-3, "discriminator_learning_rate": None, "beta1": 0.0, "augmentation": ()} | changes
    grown = {"start_resolution": None} if architecture in GROWING else {}
    return GANTask(tiny(architecture, loss=loss, **changes, **grown), Noise(), device="cpu")


def _mean_logit(task: GANTask, images: Tensor, classes: Tensor | None) -> float:
    with torch.no_grad():
        return float(task.discriminator(images, *([] if classes is None else [classes])).mean())


@pytest.mark.parametrize(("architecture", "loss"), _cases())
def test_a_step_of_the_generator_raises_the_logit_of_its_images(architecture: str, loss: str) -> None:
    task = _task(architecture, loss)
    growth, rows = Growth(16, 1.0), task.draw_rows("generator", 0)

    def logit() -> float:
        with torch.no_grad():
            images = task.generate(task.network, rows, "generator", 0, growth)
        return _mean_logit(task, images, task.classes_of(rows))

    before = logit()
    task.turns[1].take(task, 0, growth)
    assert logit() > before


@pytest.mark.parametrize(("architecture", "loss"), _cases())
def test_a_step_of_the_discriminator_raises_the_logits_of_real_over_generated_images(
    architecture: str, loss: str
) -> None:
    task = _task(architecture, loss, drift_weight=0.0, clip_weights=10.0, r1_gamma=0.0)
    growth, rows, batch = Growth(16, 1.0), task.draw_rows("discriminator", 0), task.pictures.load(0)
    with torch.no_grad():
        fake = task.generate(task.network, rows, "discriminator", 0, growth)
    classes = batch.classes if task.generator.classes else None

    def gap() -> float:
        return _mean_logit(task, batch.images, classes) - _mean_logit(task, fake, task.classes_of(rows))

    before = gap()
    task.turns[0].take(task, 0, growth)
    assert gap() > before


@pytest.mark.parametrize("architecture", FAMILIES)
def test_a_turn_moves_its_own_networks_only_and_leaves_all_trainable(architecture: str) -> None:
    task = tiny_task(architecture)
    growth = Growth(16, 1.0)
    for turn in task.turns:
        before = {name: deepcopy(network.state_dict()) for name, network in task.networks.items()}
        turn.take(task, 0, growth)
        for name, network in task.networks.items():
            moved = any(not torch.equal(value, before[name][key]) for key, value in network.named_parameters())
            assert moved == (name in turn.updates), name
            assert all(weight.requires_grad for weight in network.parameters())


def test_several_turns_of_the_discriminator_see_pictures_and_latent_vectors_of_their_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    task, seen = _task(discriminator_turns=3, images=8 * 6), []
    load = task.pictures.load
    monkeypatch.setattr(task.pictures, "load", lambda number: seen.append(number) or load(number))
    assert task.images_per_step == 24
    assert task.settings.num_steps == 2
    for index in range(2):
        task.step(index)
    assert seen == [0, 1, 2, 3, 4, 5]


def test_figures_of_repeated_turns_are_their_mean(monkeypatch: pytest.MonkeyPatch) -> None:
    task, figures = _task(discriminator_turns=2), []
    loss = task.discriminator_loss

    def remember(moment: Moment) -> Any:
        figures.append(loss(moment))
        return figures[-1]

    monkeypatch.setattr(task, "discriminator_loss", remember)
    task.turns = task.make_turns()
    mean = task.step(0)["logit_real"]
    assert mean == pytest.approx(sum(figure["logit_real"].detach().item() for _, figure in figures) / 2, rel=1e-5)


def test_weights_are_within_their_bound_after_each_step_of_the_wasserstein_loss() -> None:
    task = _task(loss="wasserstein", optimizer="rmsprop", learning_rate=0.05)
    task.step(0)
    weights = torch.cat([weight.detach().flatten() for weight in task.discriminator.parameters()])
    assert float(weights.abs().max()) == pytest.approx(0.01)
    assert float((weights.abs() == weights.abs().max()).float().mean()) > 0.5, "a large step ends on the bound"


def test_the_losses_are_those_of_their_papers_on_a_few_logits() -> None:
    real, fake = torch.tensor([1.5, -0.3, 0.7]), torch.tensor([-2.0, 0.4, 0.1])
    d_real, d_fake = torch.sigmoid(real), torch.sigmoid(fake)
    table = {
        "logistic": (-d_real.log().mean() - (1 - d_fake).log().mean(), -d_fake.log().mean()),
        "minimax": (-d_real.log().mean() - (1 - d_fake).log().mean(), (1 - d_fake).log().mean()),
        "least-squares": (
            ((real - 1) ** 2).mean() / 2 + (fake**2).mean() / 2,
            ((fake - 1) ** 2).mean() / 2,
        ),
        "hinge": ((1 - real).clamp(min=0).mean() + (1 + fake).clamp(min=0).mean(), -fake.mean()),
        "wasserstein": (fake.mean() - real.mean(), -fake.mean()),
        "wgan-gp": (fake.mean() - real.mean(), -fake.mean()),
    }
    assert table.keys() == LOSSES.keys()
    for name, (discriminator, generator) in table.items():
        torch.testing.assert_close(LOSSES[name].discriminator(real, fake), discriminator)
        torch.testing.assert_close(LOSSES[name].generator(fake), generator)


def test_the_discriminator_may_have_its_own_learning_rate() -> None:
    task = _task(discriminator_learning_rate=4e-3, decay_from=0.0)
    task.step(2)
    rates = {name: optimizer.param_groups[0]["lr"] for name, optimizer in task.optimizers.items()}
    assert rates["discriminator"] == pytest.approx(4 * rates["generator"])


def test_a_discriminator_without_norm_treats_each_image_alone() -> None:
    networks = {norm: _task(discriminator_norm=norm).discriminator for norm in ("batch", "none")}
    images = torch.randn(8, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    alone = {name: torch.cat([network(image[None]) for image in images]) for name, network in networks.items()}
    together = {name: network(images) for name, network in networks.items()}
    torch.testing.assert_close(alone["none"], together["none"])
    assert not torch.allclose(alone["batch"], together["batch"], atol=1e-3)


def test_a_run_of_a_version_with_fewer_settings_can_be_continued(tmp_path: Path) -> None:
    settings = tiny("dcgan", images=16)
    train_generator(settings, Noise(), tmp_path, device="cpu")
    path = tmp_path / "settings.json"
    saved = json.loads(path.read_text())
    for name in ("optimizer", "discriminator_turns", "clip_weights"):
        del saved[name]
    path.write_text(json.dumps(saved))
    train_generator(replace(settings, images=32), Noise(), tmp_path, device="cpu")
    assert json.loads(path.read_text()).items() >= _as_json(replace(settings, images=32)).items()


def test_every_family_says_what_it_is_and_trains_its_generator_first() -> None:
    for name, family in FAMILIES.items():
        assert isinstance(family.recipe, TrainingSettings)
        assert family.recipe.architecture == name
        assert next(iter(family.networks)) == "generator"
        assert "(" in family.title


@pytest.mark.parametrize(
    ("architecture", "changes"),
    [
        *((name, {}) for name in FAMILIES),
        ("dcgan", {"loss": "wgan-gp", "augmentation": ("color", "translation", "cutout")}),
    ],
)
def test_no_turn_draws_from_the_global_random_numbers(architecture: str, changes: dict[str, Any]) -> None:
    task = tiny_task(architecture, **changes)
    state = torch.random.get_rng_state()
    task.step(0)
    assert torch.equal(torch.random.get_rng_state(), state)
