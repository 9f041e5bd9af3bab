"""Judge a translator of several domains, StarGAN or UNIT, by the truth: pictures of the same scenes in all domains.

    python examples/judge_domains.py stargan-scenes64 --segmenter unet-scenes --out judged.json \
        --data noon-summer=scenes:1000@noon@summer dusk-winter=scenes:1000@dusk@winter

The domains are those of the translator, all or some of them, and pictures of the same index show the same. Scenes are
rendered with the evaluation seed, so the translator has seen none. A classifier learns to name domains from four fifths
of the pictures. The last fifth is translated from each domain to each other one:

- *accuracy*: how often the classifier names the domain that was asked for; its accuracy on real pictures of the last
  fifth is the ceiling, and chance is the floor;
- *error*: mean absolute error from the true picture in the other domain, in levels of 0 to 255, for each pair of
  domains; beside it the error of pictures that are not translated, and of the translations of other pictures. On the
  diagonal, pictures are translated to their own domain;
- *identity*: IoU of the translation's segmentation with the true label map; the segmentation of the true picture of
  the other domain is the ceiling, that of the translation of another picture the floor;
- *cycle*: mean absolute error of pictures that are translated and translated back: as they are, with the translation
  rounded to 8 bits, and with noise of two levels added to it, which destroys what is hidden in it;
- *codes*, of UNIT: how often a classifier of codes, trained and tested on the same parts, names the domain and the
  place of the scene. Chance is the floor of both; where domains share a code, the domain is near it.

Source: Choi et al. 2018, arXiv 1711.09020, Sec. 5; Chu et al. 2017, arXiv 1712.02950 (what a cycle hides).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import permutations, product
from pathlib import Path
from typing import Any

import torch
import tyro
from judge_classes import Examples, Options as JudgeOptions, measure, train_classifier
from judge_pairs import label_masks
from torch import Tensor, nn

import generators
import segmenters
from gandissect.core import from_uint8, make_rng, resolve_device
from gandissect.core.pictures import load_pictures
from gandissect.fidelity import ClassAccuracy, overlap
from gandissect.stats.intervals import half_width
from gandissect.storage import write_json
from generators import UNIT, ClassTranslator
from generators.architectures.unit import CodeClassifier
from segmenters.datasets import Scenes, open_source
from segmenters.datasets.specs import parse_specs

BATCH = 50
LEVELS = 127.5
"""Levels of 8 bits per unit of images in [-1, 1]."""
NOISE = 2 / LEVELS
"""Standard deviation of the noise that is added to translations, two levels."""


@dataclass(frozen=True)
class Options:
    """Judge a translator of several domains.

    Args:
        generator: Bundled name, file or training folder of the translator.
        data: Pictures of its domains, NAME=PICTURES; those of the same index show the same scene.
        segmenter: Segmenter of the pictures.
        steps: Training steps of each classifier.
        seed: Seed of the classifiers and of the noise.
        out: JSON file to write.
        device: Device to compute on: auto, cpu, cuda or mps.
    """

    generator: tyro.conf.Positional[str]
    data: tuple[str, ...]
    segmenter: str = "unet-scenes"
    steps: int = 400
    seed: int = 0
    out: Path | None = None
    device: str = "auto"


@dataclass(frozen=True, slots=True)
class Domains:
    """The same scenes in all domains.

    Attributes:
        names: Names of the domains.
        images: Images in [-1, 1], float32 ``[domain, scene, 3, H, W]``.
        labels: True label maps, int64 ``[scene, H, W]``.
        places: Index of each scene's place, int64 ``[scene]``.
    """

    names: tuple[str, ...]
    images: Tensor
    labels: Tensor
    places: Tensor

    @property
    def num_learned(self) -> int:
        """Number of scenes that classifiers learn from, from the first; the others are translated."""
        return self.images.shape[1] * 4 // 5

    def examples(self, *, learned: bool) -> Examples:
        """Return the pictures of one part with their domains."""
        part = slice(self.num_learned) if learned else slice(self.num_learned, None)
        images = self.images[:, part]
        domains = torch.arange(len(self.names)).repeat_interleave(images.shape[1])
        return Examples(images.flatten(0, 1), domains)


def open_domains(specs: Sequence[str], size: int) -> Domains:
    """Return the scenes of specifications, of which each names a domain."""
    parsed = parse_specs(specs)
    if len(parsed) < 2 or any(spec.domain is None for spec in parsed):
        raise ValueError(f"name two domains or more, NAME=PICTURES; got {' '.join(specs)}")
    sources = [open_source(spec.pictures, size, held_out=True) for spec in parsed]
    if not all(isinstance(source, Scenes) and len(source) == len(sources[0]) for source in sources):
        raise ValueError(f"all domains must be scenes, equally many; got {' '.join(specs)}")
    images = torch.stack([from_uint8(load_pictures(source, len(source))) for source in sources])
    labels = sources[0].batch(range(len(sources[0]))).labels
    assert labels is not None and isinstance(sources[0], Scenes)
    return Domains(tuple(str(spec.domain) for spec in parsed), images, labels, sources[0].class_indices)


@torch.no_grad()
def translate(translator: ClassTranslator, images: Tensor, source: str, target: str) -> Tensor:
    """Return translations in [-1, 1], on the CPU; UNIT's classes are directions, StarGAN's are targets."""
    name = f"{source} to {target}" if isinstance(translator, UNIT) else target
    if name not in translator.classes:
        raise ValueError(f"{translator.name} has no class {name!r}; it has {', '.join(translator.classes)}")
    index = translator.classes.index(name)
    parts = []
    for batch in images.split(BATCH):
        classes = torch.full((len(batch),), index, device=translator.device)
        parts.append(translator(translator.join_row(batch.flatten(1).to(translator.device), classes)).cpu())
    return torch.cat(parts)


def absolute_errors(images: Tensor, others: Tensor) -> Tensor:
    """Return the mean absolute error of each image in levels, float64."""
    return LEVELS * (images.double() - others.double()).abs().flatten(1).mean(1)


def summarize(values: Tensor) -> dict[str, Any]:
    """Return the mean of values with its 95% interval; pictures of one scene are averaged first.

    Args:
        values: float64 ``[pair of domains, scene]``.
    """
    means = values.mean(0)
    reach = half_width(float(means.std()) / len(means) ** 0.5, len(means) - 1)
    mean = float(means.mean())
    return {"mean": mean, "interval": [mean - reach, mean + reach], "num_scenes": len(means)}


def judge_domains(options: Options) -> dict[str, Any]:
    """Return the figures by name, JSON values."""
    translator = generators.load(options.generator, options.device)
    if not isinstance(translator, ClassTranslator):
        raise ValueError(f"generator must translate between domains, as stargan and unit do; got {translator.name}")
    domains = open_domains(options.data, translator.image_size[0])
    real = domains.images[:, domains.num_learned :]
    made = {
        (first, second): translate(translator, real[first], domains.names[first], domains.names[second])
        for first, second in product(range(len(domains.names)), repeat=2)
    }
    figures = {
        "accuracy": judge_accuracy(domains, made, options),
        "error": judge_errors(domains.names, real, made),
        "identity": judge_identity(domains, real, made, options),
        "cycle": judge_cycles(translator, domains.names, real, made, options.seed),
    }
    return figures | ({"codes": judge_codes(translator, domains, options)} if isinstance(translator, UNIT) else {})


def judge_accuracy(domains: Domains, made: dict[tuple[int, int], Tensor], options: Options) -> dict[str, Any]:
    """Return how often a classifier names the domain that was asked for, and its accuracy on real pictures."""
    count = len(domains.names)
    settings = JudgeOptions(options.generator, options.data, steps=options.steps, seed=options.seed)
    judge = train_classifier(domains.examples(learned=True), count, settings, "judge")
    pairs = list(permutations(range(count), 2))
    asked = torch.tensor([second for _, second in pairs]).repeat_interleave(made[pairs[0]].shape[0])
    translated = Examples(torch.cat([made[pair] for pair in pairs]), asked)
    found = {"translated": translated, "real": domains.examples(learned=False)}
    return {name: describe(measure(judge, examples, domains.names)) for name, examples in found.items()}


def describe(accuracy: ClassAccuracy) -> dict[str, Any]:
    """Return an accuracy as JSON values."""
    figures = {"accuracy": accuracy.accuracy, "interval": list(accuracy.interval), "chance": accuracy.chance}
    return figures | {"num_images": accuracy.num_images, "confusion": accuracy.confusion.tolist()}


def judge_errors(names: Sequence[str], real: Tensor, made: dict[tuple[int, int], Tensor]) -> dict[str, Any]:
    """Return the error of each pair of domains, and the means of translations, of copies and of others."""
    errors = {pair: absolute_errors(images, real[pair[1]]) for pair, images in made.items()}
    pairs = list(permutations(range(len(names)), 2))
    copied = torch.stack([absolute_errors(real[first], real[second]) for first, second in pairs])
    others = torch.stack([absolute_errors(made[pair].roll(1, 0), real[pair[1]]) for pair in pairs])
    matrix = [[float(errors[first, second].mean()) for second in range(len(names))] for first in range(len(names))]
    return {
        "domains": list(names),
        "from_to": matrix,
        "translated": summarize(torch.stack([errors[pair] for pair in pairs])),
        "copied": summarize(copied),
        "other_pictures": summarize(others),
        "own_domain": summarize(torch.stack([errors[index, index] for index in range(len(names))])),
    }


@torch.no_grad()
def judge_identity(
    domains: Domains, real: Tensor, made: dict[tuple[int, int], Tensor], options: Options
) -> dict[str, Any]:
    """Return the IoU of segmentations with the true label maps."""
    segmenter = segmenters.load(options.segmenter, options.device)
    masks, device = label_masks(segmenter), resolve_device(options.device)
    count = len(segmenter.concepts)
    truth = nn.functional.one_hot(domains.labels[domains.num_learned :] + 1, count + 1)[..., 1:].movedim(3, 1).bool()

    def compare(images: Tensor, shift: int = 0) -> Tensor:
        found = torch.cat([masks(batch.to(device)).cpu() for batch in images.split(BATCH)])
        return overlap(found.roll(shift, 0), truth)

    pairs = list(permutations(range(len(domains.names)), 2))
    return {
        "translated": summarize(torch.stack([compare(made[pair]) for pair in pairs])),
        "true_picture": summarize(torch.stack([compare(images) for images in real])),
        "other_pictures": summarize(torch.stack([compare(made[pair], 1) for pair in pairs])),
    }


def judge_cycles(
    translator: ClassTranslator, names: Sequence[str], real: Tensor, made: dict[tuple[int, int], Tensor], seed: int
) -> dict[str, Any]:
    """Return the errors of pictures that are translated back, as they are and disturbed."""
    found: dict[str, list[Tensor]] = {"clean": [], "rounded": [], "noisy": []}
    for number, (first, second) in enumerate(permutations(range(len(names)), 2)):
        images = made[first, second]
        noise = torch.randn(images.shape, generator=make_rng(seed, "noise", number))
        changed = {"clean": images, "rounded": (images * LEVELS).round() / LEVELS, "noisy": images + NOISE * noise}
        for name, disturbed in changed.items():
            back = translate(translator, disturbed, names[second], names[first])
            found[name].append(absolute_errors(back, real[first]))
    return {name: summarize(torch.stack(errors)) for name, errors in found.items()}


@torch.no_grad()
def encode(translator: UNIT, images: Tensor, domain: str) -> Tensor:
    """Return the codes of pictures of a domain, on the CPU, ``[picture, unit, h, w]``."""
    index = translator.domains.index(domain)
    batches = [batch.to(translator.device) for batch in images.split(BATCH)]
    return torch.cat([translator.encode(x, x.new_full((len(x),), index).long()).cpu() for x in batches])


def judge_codes(translator: UNIT, domains: Domains, options: Options) -> dict[str, Any]:
    """Return how often classifiers of codes name the domain and the place."""
    count, number = domains.images.shape[:2]
    codes = torch.cat([encode(translator, *pair) for pair in zip(domains.images, domains.names, strict=True)])
    rights = {"domain": torch.arange(count).repeat_interleave(number), "place": domains.places.repeat(count)}
    learned = (torch.arange(number) < domains.num_learned).repeat(count)
    figures = {}
    for name, right in rights.items():
        classes, examples = tuple(map(str, range(int(right.max()) + 1))), Examples(codes, right)
        judge = train_on_codes(examples.pick(learned), len(classes), options.steps, options.seed, name)
        figures[name] = describe(measure(judge, examples.pick(~learned), classes))
    return figures


def train_on_codes(examples: Examples, count: int, steps: int, seed: int, stream: str) -> nn.Module:
    """Return a classifier of codes, trained for a number of steps.

    Args:
        examples: Codes, ``[picture, unit, h, w]``, with the index of the class of each.
        count: Number of classes.
        steps: Number of steps, of 64 codes.
        seed: Seed of the initial weights and of the batches.
        stream: Name of the stream of the batches.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = CodeClassifier(examples.images.shape[1], 32, count)
        adam = torch.optim.AdamW(network.parameters(), 2e-3, weight_decay=1e-2)
        for step in range(steps):
            chosen = torch.randint(len(examples.images), (64,), generator=make_rng(seed, f"codes {stream}", step))
            loss = nn.functional.cross_entropy(network(examples.images[chosen]), examples.classes[chosen])
            adam.zero_grad(set_to_none=True)
            loss.backward()
            adam.step()
    return network.eval().requires_grad_(False)


def main(options: Options) -> None:
    """Print the figures, and write them if asked to."""
    figures = judge_domains(options)
    for name, parts in figures.items():
        for part, found in parts.items():
            print(name, part, found)
    if options.out is not None:
        write_json(options.out, figures, overwrite=True)


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
