"""E-GAN: its losses and its fitness against plain arithmetic, inheritance, survival, and independence of the order."""

from __future__ import annotations

import json
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import torch
from test_gan_families import _assert_same_end
from tiny_gans import Noise, Stops, count_reads, tiny

from generators.architectures.dcgan import DCGAN, DCGANDiscriminator
from generators.architectures.mlp import MLP, MLPDiscriminator
from generators.training import RECIPES, train_generator
from generators.training.evolution import MUTATIONS, Child, EvolutionTask, diversity, quality
from generators.training.evolution_settings import EvolutionSettings
from generators.training.families import build_networks
from generators.training.growth import Growth
from generators.training.turns import Moment
from segmenters.datasets import Points

MOMENT = Moment(0, Growth(16, 1.0))


def _task(**changes: Any) -> EvolutionTask:
    return EvolutionTask(tiny("egan", **{"augmentation": ()} | changes), Noise(), device="cpu")


def _raise(task: EvolutionTask, parent: int, mutation: str, moment: Moment) -> Child:
    return task._raise(parent, mutation, moment, task.load_judged(moment))


def _weights(member: dict[str, Any]) -> torch.Tensor:
    return torch.cat([value.double().flatten() for value in member["weights"].values()])


def test_the_mutations_and_the_quality_are_those_of_the_paper_on_a_few_logits() -> None:
    fake = torch.tensor([-2.0, 0.4, 0.1])
    d = torch.sigmoid(fake)
    expected = {
        "minimax": (1 - d).log().mean(),
        "heuristic": -d.log().mean(),
        "least_squares": ((d - 1) ** 2).mean(),
    }
    assert expected.keys() == MUTATIONS.keys()
    for name, value in expected.items():
        torch.testing.assert_close(MUTATIONS[name](fake), value)
    torch.testing.assert_close(quality(fake), d.mean())


def test_diversity_falls_with_the_gradient_of_the_discriminator() -> None:
    """The loss ``3 w1 + 4 w2`` has a gradient of length 5; the sign is the paper's: a larger gradient is less fit."""
    weights = [torch.tensor(1.0, requires_grad=True), torch.tensor(2.0, requires_grad=True)]
    assert diversity(3 * weights[0] + 4 * weights[1], weights) == pytest.approx(-torch.tensor(5.0).log())
    assert diversity(30 * weights[0], weights[:1]) < diversity(3 * weights[0], weights[:1])


def test_points_have_perceptrons_and_pictures_a_dcgan() -> None:
    networks = [build_networks(tiny("egan", resolution=size)) for size in (1, 16)]
    kinds = [(type(n["generator"].generator), type(n["discriminator"])) for n in networks]
    assert kinds == [(MLP, MLPDiscriminator), (DCGAN, DCGANDiscriminator)]


def test_the_fittest_of_all_children_survive_in_order() -> None:
    task = _task(survivors=2, fitness_gamma=0.3)
    raised = []
    spy = task._raise

    def remember(*arguments: Any) -> Any:
        raised.append(spy(*arguments))
        return raised[-1]

    task._raise = remember  # type: ignore[method-assign]
    figures = task.evolve(MOMENT)
    assert len(raised) == 2 * len(MUTATIONS)
    for child in raised:
        expected = child.figures["quality"] + 0.3 * child.figures["diversity"]
        torch.testing.assert_close(child.figures["fitness"], expected)
    best = sorted(raised, key=lambda child: float(child.figures["fitness"]), reverse=True)[:2]
    for member, child in zip(task.population.members, best, strict=True):
        assert torch.equal(_weights(member), _weights(child.member))
    shares = [float(figures[f"survived_{name}"]) for name in MUTATIONS]
    assert sum(shares) == pytest.approx(1)
    assert shares == [[child.mutation for child in best].count(name) / 2 for name in MUTATIONS]
    live = {"weights": task.network.state_dict()}
    assert torch.equal(_weights(live), _weights(task.population.members[0])), "the fittest is the one that is averaged"


def test_ties_go_to_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    task = _task()
    equal = {name: torch.tensor(0.5) for name in ("fitness", "quality", "diversity")}
    monkeypatch.setattr(task, "_measure_fitness", lambda *_: equal)
    assert float(task.evolve(MOMENT)["survived_minimax"]) == 1


def test_a_child_takes_one_step_from_its_parents_weights_and_moments() -> None:
    """A plain Adam step by hand, in the second generation, where the moments are not zero."""
    task = _task(learning_rate=1e-2, beta1=0.5, beta2=0.9)
    task.evolve(MOMENT)
    parent = deepcopy(task.population.members[0])
    moment = Moment(1, MOMENT.growth)
    child = _raise(task, 0, "heuristic", moment).member
    task._restore(0)
    loss, _ = task.child_loss(moment, 0, "heuristic")
    gradients = torch.autograd.grad(loss, list(task.network.parameters()))
    names = [name for name, _ in task.network.named_parameters()]
    for index, (name, gradient) in enumerate(zip(names, gradients, strict=True)):
        state = parent["optimizer"][index]
        mean = 0.5 * state["exp_avg"] + 0.5 * gradient
        square = 0.9 * state["exp_avg_sq"] + 0.1 * gradient.square()
        step = (mean / (1 - 0.5**2)) / ((square / (1 - 0.9**2)).sqrt() + 1e-8)
        torch.testing.assert_close(child["weights"][name], parent["weights"][name] - 1e-2 * step, rtol=1e-4, atol=1e-6)


def test_a_child_does_not_depend_on_those_before_it() -> None:
    moment = Moment(1, MOMENT.growth)
    order = [(parent, mutation) for parent in range(2) for mutation in MUTATIONS]
    runs = []
    for pairs in (order, order[::-1]):
        task = _task(survivors=2)
        task.evolve(MOMENT)
        runs.append({pair: _raise(task, *pair, moment) for pair in pairs})
    for pair in order:
        one, other = (run[pair] for run in runs)
        torch.testing.assert_close(_weights(one.member), _weights(other.member))
        torch.testing.assert_close(one.figures["fitness"], other.figures["fitness"])


@pytest.mark.parametrize("survivors", [1, 2])
def test_a_resumed_run_has_the_same_survivors(survivors: int, tmp_path: Path) -> None:
    settings = tiny("egan", survivors=survivors, discriminator_turns=3, images=24 * 5, decay_from=0.4)
    train_generator(settings, Noise(), tmp_path / "whole", device="cpu")
    assert count_reads(settings) == 4, "three turns of the discriminator and one look at the children"
    with pytest.raises(KeyboardInterrupt):
        train_generator(settings, Stops(10), tmp_path / "part", checkpoint_images=24, device="cpu")
    train_generator(settings, Noise(), tmp_path / "part", checkpoint_images=24, device="cpu")
    _assert_same_end(tmp_path / "whole", tmp_path / "part")


def test_the_discriminator_sees_images_of_every_survivor() -> None:
    task = _task(survivors=2)
    task.evolve(MOMENT)
    rows = task.draw_rows("discriminator", 0)
    with torch.no_grad():
        fakes = task.make_fakes(rows, MOMENT)
        for index, part in enumerate((slice(0, 4), slice(4, 8))):
            task._restore(index)
            expected = task.generate(task.network, rows[part], "discriminator", 0, MOMENT.growth)
            torch.testing.assert_close(fakes[part], expected)


def test_a_step_of_each_mutation_raises_the_logit_of_its_images() -> None:
    for mutation in MUTATIONS:
        task = _task(learning_rate=1e-3, beta1=0.0)

        def logit(task: EvolutionTask = task, mutation: str = mutation) -> float:
            stream = f"generator-0-{mutation}"
            with torch.no_grad():
                images = task.generate(task.network, task.draw_rows(stream, 0), stream, 0, MOMENT.growth)
                return float(task.discriminator(images).mean())

        before = logit()
        _raise(task, 0, mutation, MOMENT)
        assert logit() > before


def test_which_mutation_survives_is_logged(tmp_path: Path) -> None:
    settings = tiny("egan", resolution=1, images=50 * 8, discriminator_turns=1)
    train_generator(settings, Points("ring8", 100), tmp_path, device="cpu")
    line = json.loads((tmp_path / "metrics.jsonl").read_text().splitlines()[0])
    assert sum(line[f"survived_{name}"] for name in MUTATIONS) == pytest.approx(1)
    assert {"fitness", "quality", "diversity"} <= line.keys()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"survivors": 0}, r"survivors \(--survivors\) must be an integer of at least 1; got 0"),
        ({"survivors": 3}, "batch_size .* must be a multiple of survivors .*; got batch_size 8, survivors 3"),
        ({"fitness_gamma": -0.1}, r"fitness_gamma \(--fitness-gamma\) must be a number of at least 0; got -0.1"),
        ({"resolution": 8}, "one of 1, 16, 32, 64, 128, 256 for egan"),
    ],
)
def test_settings_out_of_range_are_named(changes: dict[str, Any], words: str) -> None:
    assert isinstance(RECIPES["egan"], EvolutionSettings)
    with pytest.raises(ValueError, match=words):
        tiny("egan", **changes)
