"""Training of an evolutionary GAN: generators have children by three losses, and the fittest children survive.

Each step, after the discriminator's turns, every parent has one child per mutation: its weights and its moments of Adam
after one step down the loss of the mutation. The fitness of a child is its quality plus ``gamma`` times its diversity,
as the discriminator sees them.

Source: Wang et al. 2018, arXiv 1803.00657, Algorithm 1.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from gandissect.core.protocols import PictureSource

from .augmentation import diff_augment
from .engine import Stateful, TrainingTask
from .evolution_settings import EvolutionSettings
from .gan import GANTask
from .growth import Growth
from .losses import Logits, Scalar, logistic_generator, minimax_generator
from .turns import Figures, Moment, Turn


def probability_generator(fake: Logits) -> Scalar:
    """Return ``E[(sigmoid(fake) - 1)^2]``, the least squares of E-GAN, on probabilities.

    Source: Wang et al. 2018, Eq. 4.
    """
    return (torch.sigmoid(fake) - 1).square().mean()


MUTATIONS: Mapping[str, Callable[[Logits], Scalar]] = {
    "minimax": minimax_generator,
    "heuristic": logistic_generator,
    "least_squares": probability_generator,
}
"""Losses of the children by name."""


def quality(fake: Logits) -> Scalar:
    """Return ``E[sigmoid(fake)]``, how real the discriminator finds a child's images.

    Source: Wang et al. 2018, Eq. 5.
    """
    return torch.sigmoid(fake).mean()


def diversity(loss: Scalar, weights: Sequence[Tensor]) -> Scalar:
    """Return ``-log |grad loss|``: where the gradient is small, the discriminator finds nothing to learn.

    Args:
        loss: Loss of the discriminator on real images and a child's.
        weights: Weights of the discriminator.

    Source: Wang et al. 2018, Eq. 6, with the minus sign of the paper.
    """
    gradients = torch.autograd.grad(loss, weights)
    norm = torch.stack([gradient.square().sum() for gradient in gradients]).sum().sqrt()
    return -norm.clamp(min=1e-12).log()


@dataclass(slots=True)
class Population:
    """The surviving generators, the fittest first.

    Attributes:
        members: Weights and optimizer state of each.
    """

    members: list[dict[str, Any]] = field(default_factory=list)

    def state_dict(self) -> dict[str, Any]:
        """Return the survivors."""
        return {"members": self.members}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the survivors."""
        self.members = list(state["members"])


@dataclass(frozen=True, slots=True)
class Child:
    """A child and its figures.

    Attributes:
        mutation: Name of its loss.
        member: Its weights and optimizer state.
        figures: ``fitness``, ``quality`` and ``diversity``.
    """

    mutation: str
    member: dict[str, Any]
    figures: Figures


@dataclass(frozen=True, slots=True)
class Evolution(Turn):
    """The generators' turn: children, their fitness, and the survival of the fittest."""

    def take(self, task: TrainingTask[Any], step: int, growth: Growth) -> dict[str, Float[Tensor, ""]]:
        """Replace the population by its fittest children; return the figures of the fittest and who survives."""
        if not isinstance(task, EvolutionTask):
            raise TypeError(f"task must be an EvolutionTask; got {task!r}")
        return task.evolve(Moment(step, growth))


class EvolutionTask(GANTask):
    """A population of generators and a discriminator; see `TrainingTask` for the arguments."""

    settings: EvolutionSettings

    def __init__(self, settings: EvolutionSettings, source: PictureSource, *others: Any, **options: Any) -> None:
        super().__init__(settings, source, *others, **options)
        if self.processes.count > 1:
            raise ValueError("an evolutionary GAN trains in one process, which compares all children; got several")
        self.population = Population([self._capture() for _ in range(settings.survivors)])

    def make_turns(self) -> Sequence[Turn]:
        """Return the discriminator's turn and the population's."""
        discriminator, _ = super().make_turns()
        return (discriminator, Evolution(("generator",), self.child_loss))

    @property
    def state(self) -> dict[str, Stateful]:
        """The survivors with their optimizers' states."""
        return {**super().state, "population": self.population}

    def child_loss(
        self, moment: Moment, parent: int = 0, mutation: str = "heuristic"
    ) -> tuple[Float[Tensor, ""], Figures]:
        """Return the loss of a child on images that depend only on the step, the parent and the mutation."""
        stream, number = f"generator-{parent}-{mutation}", moment.number
        rows = self.draw_rows(stream, number)
        fake = self.generate(self.connected["generator"], rows, stream, number, moment.growth)
        loss = MUTATIONS[mutation](self._judge_augmented(fake, f"augment-{stream}", number))
        return loss + self.history_loss("generator"), {}

    def evolve(self, moment: Moment) -> dict[str, Float[Tensor, ""]]:
        """Replace the population by its fittest children; return the figures of the fittest and who survives."""
        parents, real = range(len(self.population.members)), self.load_judged(moment)
        children = [self._raise(parent, mutation, moment, real) for parent in parents for mutation in MUTATIONS]
        children.sort(key=lambda child: float(-child.figures["fitness"]))  # stable: ties go to the first
        survivors = children[: self.settings.survivors]
        self.population.members = [child.member for child in survivors]
        self._restore(0)
        self.observe_history("generator", moment)
        kinds = [child.mutation for child in survivors]
        fitness = survivors[0].figures["fitness"]
        shares = {f"survived_{name}": fitness.new_tensor(kinds.count(name) / len(kinds)) for name in MUTATIONS}
        return {**survivors[0].figures, **shares}

    def make_fakes(self, rows: Tensor, moment: Moment) -> Tensor:
        """Return images for the discriminator, of which each survivor makes an equal share."""
        images = []
        for index, part in enumerate(rows.chunk(len(self.population.members))):
            if len(self.population.members) > 1:
                self._restore(index)
            images.append(self.generate(self.network, part, "discriminator", moment.number, moment.growth))
        return torch.cat(images)

    def load_judged(self, moment: Moment) -> Tensor:
        """Return the real images beside which the children of a step are judged."""
        real = self.pictures.load(moment.number * self.settings.discriminator_turns).images
        draws = self.make_draws("augment-fitness-real", moment.number)
        return diff_augment(real, self.settings.augmentation, draws)

    def _raise(self, parent: int, mutation: str, moment: Moment, real: Tensor) -> Child:
        """Return a parent's child by a mutation, with its fitness."""
        self._restore(parent)
        loss = partial(self.child_loss, parent=parent, mutation=mutation)
        Turn(("generator",), loss).take(self, moment.number, moment.growth)
        return Child(mutation, self._capture(), self._measure_fitness(moment, real))

    def _measure_fitness(self, moment: Moment, real: Tensor) -> Figures:
        """Return a child's fitness on images that are the same rows for all children of a step."""
        number = moment.number
        rows = self.draw_rows("fitness", number)
        with torch.no_grad():
            fake = self.generate(self.network, rows, "fitness", number, moment.growth)
        fake_logits = self._judge_augmented(fake, "augment-fitness-fake", number)
        with self.autocast():
            real_logits = self.discriminator(real).float()
        loss = self.loss.discriminator(real_logits, fake_logits)
        figures = {"quality": quality(fake_logits), "diversity": diversity(loss, [*self.discriminator.parameters()])}
        fitness = figures["quality"] + self.settings.fitness_gamma * figures["diversity"]
        return {name: figure.detach() for name, figure in {"fitness": fitness, **figures}.items()}

    def _judge_augmented(self, images: Tensor, stream: str, number: int) -> Logits:
        images = diff_augment(images, self.settings.augmentation, self.make_draws(stream, number))
        with self.autocast():
            logits: Tensor = self.discriminator(images)
        return logits.float()

    def _capture(self) -> dict[str, Any]:
        weights = {name: value.clone() for name, value in self.network.state_dict().items()}
        return {"weights": weights, "optimizer": self.optimizers["generator"].state_dict()["state"]}

    def _restore(self, index: int) -> None:
        """Put a survivor into the generator and its optimizer, whose learning rate stays."""
        member, optimizer = self.population.members[index], self.optimizers["generator"]
        self.network.load_state_dict(member["weights"])
        moments = {  # copies, as the optimizer updates them in place
            index: {name: value.clone() for name, value in state.items()}
            for index, state in member["optimizer"].items()
        }
        optimizer.load_state_dict(optimizer.state_dict() | {"state": moments})
