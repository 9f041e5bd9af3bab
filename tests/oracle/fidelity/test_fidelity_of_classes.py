"""A generator of classes is measured on images of the classes that the held-out pictures have, one for each."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from torch import Tensor

from gandissect import Yardstick


class Painted:
    """Plain images, bright or dark by their class, plus noise; it draws both classes evenly."""

    name, image_size, noise_dim, z_dim, classes, device = "painted", (4, 4), 3, 5, ("dark", "light"), "cpu"
    drawn: tuple[str, ...] = classes

    def sample_z(self, num_samples: int, seed: int = 0, start: int = 0) -> Tensor:
        rng = torch.Generator().manual_seed(1000 * seed + start)
        noise = torch.randn(num_samples, 3, generator=rng)
        drawn = [self.classes.index(name) for name in self.drawn]
        indices = torch.tensor(drawn)[torch.randint(len(drawn), (num_samples,), generator=rng)]
        return torch.cat([noise, torch.nn.functional.one_hot(indices, 2)], 1)

    def __call__(self, z: Tensor) -> Tensor:
        level = (z[:, 4] - 0.5) + 0.1 * z[:, :3].mean(1)
        return level[:, None, None, None].expand(-1, 3, 4, 4).clamp(-1, 1)


class Pictures:
    """Pictures by the same painter, one in ten of them light."""

    name, size, classes = "pictures", 4, ("dark", "light")

    def __init__(self, count: int, seed: int) -> None:
        self.class_indices = (torch.arange(count) % 10 == 0).long()
        z = torch.cat([Painted().sample_z(count, seed)[:, :3], torch.nn.functional.one_hot(self.class_indices, 2)], 1)
        self.images = ((Painted()(z) + 1) * 127.5).round().to(torch.uint8)

    def __len__(self) -> int:
        return len(self.images)

    def batch(self, indices: list[int], rng: torch.Generator | None = None) -> SimpleNamespace:
        return SimpleNamespace(images=self.images[list(indices)])


def mean_color(images: Tensor) -> Tensor:
    return images.float().mean((2, 3))


def of(classes: tuple[str, ...]) -> Yardstick:
    train, held_out = Pictures(400, 1), Pictures(100, 2)
    return Yardstick("means", mean_color, train.images, held_out.images, num_dims=2, classes=classes)


def names(count: int) -> tuple[str, ...]:
    return tuple(Pictures.classes[index] for index in Pictures(count, 2).class_indices.tolist())


def test_classes_as_frequent_as_in_the_held_out_pictures_reach_the_floor_and_even_ones_do_not() -> None:
    matched, even = of(names(100)).measure(Painted()), of(()).measure(Painted())  # type: ignore[arg-type]
    assert matched.distance < matched.floor + 4 * (matched.distance_std + matched.floor_std)
    assert even.distance > 10 * max(matched.distance, matched.floor)


def test_a_generator_of_chosen_or_other_classes_draws_its_own() -> None:
    chosen, other = Painted(), Painted()
    chosen.drawn, other.classes = ("light",), ("black", "white")
    other.drawn = other.classes
    for generator in (chosen, other):
        found = of(names(100)).measure(generator)  # type: ignore[arg-type]
        assert found.distance == of(()).measure(generator).distance  # type: ignore[arg-type]


def test_a_source_of_pictures_brings_its_classes() -> None:
    train, held_out = Pictures(400, 1), Pictures(100, 2)
    encoder = SimpleNamespace(name="means", encode=lambda images: [images])
    found = Yardstick.of(encoder, train, held_out)  # type: ignore[arg-type]
    assert found._classes == names(100)
    assert Yardstick.of(encoder, train.images, held_out.images)._classes == ()  # type: ignore[arg-type]


def test_a_class_per_picture_is_needed() -> None:
    with pytest.raises(ValueError, match="classes must be one per held-out picture, 100; got 3"):
        of(names(3))
