"""Judge translators between two domains of labeled pictures by what labels of one domain say about the other.

    python examples/judge_transfer.py unit-digits32 --data mnist=DATA/mnist10k usps=DATA/usps@train \
        --unseen usps=DATA/usps@test --hold-out 0.5 --out judged.json

No translator saw a class. For each domain, classifiers learn the classes from the pictures that the translators were
trained on, and are tested on pictures that no training saw. Each figure has Wilson's 95% interval:

- *usps by labels of mnist*: how often a classifier that learned from real pictures of the first domain is right on
  pictures of the other, translated to the first. The floor is the same classifier on pictures that are not translated,
  the ceiling a classifier that learned from the other domain's own labels;
- *codes of usps by labels of mnist*, of UNIT: the same for a classifier of codes, which needs no translation; beside
  it one of codes that learned from the own labels;
- *domain of pictures*: how often a classifier of real pictures names the domain that a translation should be of; its
  accuracy on real pictures is the ceiling;
- *domain of codes*, of UNIT: how often a classifier names the domain that a code is of. Where the code is common to the
  domains it is near chance, 0.5. Both classifiers of domains learn from, and are tested on, equally many pictures of
  each class in either domain, so that the frequencies of the classes tell nothing.

All translators that are named have the same classifiers of pictures, and one Markdown table.

Source: Liu et al. 2017, arXiv 1703.00848, Sec. 4 (domain adaptation); Royer et al. 2017, arXiv 1711.05139.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import tyro
from judge_classes import Examples, Options as JudgeOptions, measure, read_examples, train_classifier
from judge_domains import describe, encode, train_on_codes, translate
from torch import Tensor

import generators
from gandissect.core.protocols import as_classed
from gandissect.fidelity import ClassAccuracy, Judge
from gandissect.report import write_grid
from gandissect.storage import write_json
from generators import UNIT, ClassTranslator
from segmenters.datasets import open_pictures, open_source
from segmenters.datasets.specs import Spec, parse_specs


@dataclass(frozen=True)
class Options:
    """Judge translators between two domains of labeled pictures.

    Args:
        generators: Bundled names, files or training folders of the translators.
        data: Pictures of the two domains that they were trained on, NAME=PICTURES, with classes.
        unseen: Pictures of a domain that they never saw, NAME=PICTURES, in place of those that were held out.
        hold_out: Share that was held out from the training, of each folder without a split.
        steps: Training steps of each classifier of pictures, of 128.
        code_steps: Training steps of each classifier of codes, of 64.
        seed: Seed of the classifiers.
        out: JSON file to write.
        pictures: PNG to write for the first translator: an unseen picture of each class of the first domain, below them
            their translations, then pictures of the second domain and their translations.
        device: Device to compute on: auto, cpu, cuda or mps.
    """

    generators: tyro.conf.Positional[tuple[str, ...]]
    data: tuple[str, str]
    unseen: tuple[str, ...] = ()
    hold_out: float = 0.05
    steps: int = 400
    code_steps: int = 400
    seed: int = 0
    out: Path | None = None
    pictures: Path | None = None
    device: str = "auto"


@dataclass(frozen=True, slots=True)
class Domain:
    """Pictures of one domain with what they show.

    Attributes:
        name: Name of the domain.
        learned: Pictures that the translators were trained on.
        unseen: Pictures that they never saw.
    """

    name: str
    learned: Examples
    unseen: Examples


@dataclass(frozen=True, slots=True)
class Judges:
    """Classifiers of pictures.

    Attributes:
        classes: Names of the classes.
        by_labels: The classifier that learned from the labels of each domain.
        domain: The classifier of domains.
    """

    classes: tuple[str, ...]
    by_labels: tuple[Judge, ...]
    domain: Judge


def open_domains(options: Options, size: int) -> tuple[tuple[Domain, ...], tuple[str, ...]]:
    """Return the pictures of both domains, and the names of the classes."""
    specs, instead = parse_specs(options.data), {spec.domain: spec for spec in parse_specs(options.unseen)}
    names = [spec.domain for spec in specs]
    if None in names or len(set(names)) < 2 or not set(instead) <= set(names):
        raise ValueError(
            "data must name two domains, NAME=PICTURES, and unseen pictures be of them; got "
            f"{' '.join(options.data)} and {' '.join(options.unseen) or 'none'}"
        )
    opened = [_open_domain(spec, instead.get(spec.domain), options.hold_out, size) for spec in specs]
    if len({classes for _, classes in opened}) > 1:
        raise ValueError(f"both domains must have the same classes; got {' and '.join(str(c) for _, c in opened)}")
    return tuple(domain for domain, _ in opened), opened[0][1]


def _open_domain(spec: Spec, instead: Spec | None, hold_out: float, size: int) -> tuple[Domain, tuple[str, ...]]:
    learned, unseen = open_pictures([spec.pictures], size, hold_out)
    if instead is not None:
        unseen = open_source(instead.pictures, size)
    if unseen is None:
        raise ValueError(f"no pictures of {spec.domain} are held out; set --unseen {spec.domain}=PICTURES")
    domain, classed = Domain(str(spec.domain), read_examples(learned), read_examples(unseen)), as_classed(learned)
    assert classed is not None  # read_examples has checked it
    return domain, tuple(classed.classes)


def balance(parts: Sequence[Examples]) -> list[Tensor]:
    """Return the indices of equally many examples of each class in every part: the first ones of each class."""
    chosen: list[list[Tensor]] = [[] for _ in parts]
    for index in range(max(int(part.classes.max()) for part in parts) + 1):
        found = [(part.classes == index).nonzero()[:, 0] for part in parts]
        count = min(len(indices) for indices in found)
        for own, indices in zip(chosen, found, strict=True):
            own.append(indices[:count])
    return [torch.cat(own).sort().values for own in chosen]


def join(parts: Sequence[Examples]) -> Examples:
    """Return equally many examples of each class of every part, with the index of their part as their class."""
    chosen = balance(parts)
    images = torch.cat([part.images[indices] for part, indices in zip(parts, chosen, strict=True)])
    return Examples(images, torch.arange(len(parts)).repeat_interleave(len(chosen[0])))


def train_judges(domains: Sequence[Domain], classes: tuple[str, ...], options: Options) -> Judges:
    """Return the classifiers of pictures."""
    settings = JudgeOptions("", options.data, steps=options.steps, seed=options.seed, device=options.device)
    by_labels = [train_classifier(domain.learned, len(classes), settings, domain.name) for domain in domains]
    learned = join([domain.learned for domain in domains])
    return Judges(classes, tuple(by_labels), train_classifier(learned, len(domains), settings, "domain"))


def judge_real(domains: Sequence[Domain], judges: Judges) -> dict[str, ClassAccuracy]:
    """Return the figures of pictures that are not translated, and of classifiers that learned from the own labels."""
    names = tuple(domain.name for domain in domains)
    figures = {"domain of pictures": measure(judges.domain, join([domain.unseen for domain in domains]), names)}
    for domain in domains:
        for name, judge in zip(names, judges.by_labels, strict=True):
            figures[f"{domain.name} by labels of {name}"] = measure(judge, domain.unseen, judges.classes)
    return figures


def judge_translations(
    translator: ClassTranslator, domains: Sequence[Domain], judges: Judges
) -> dict[str, ClassAccuracy]:
    """Return how often the classes of translations are named, by labels of the other domain, and their domains."""
    figures, parts = {}, []
    for domain, other, judge in zip(domains, domains[::-1], judges.by_labels[::-1], strict=True):
        images = translate(translator, domain.unseen.images, domain.name, other.name)
        parts.append(Examples(images, domain.unseen.classes))
        figures[f"{domain.name} by labels of {other.name}"] = measure(judge, parts[-1], judges.classes)
    joined = join(parts)
    asked = Examples(joined.images, 1 - joined.classes)  # each is translated to the other domain
    return figures | {"domain of pictures": measure(judges.domain, asked, tuple(d.name for d in domains))}


def judge_codes(
    translator: UNIT, domains: Sequence[Domain], classes: tuple[str, ...], options: Options
) -> dict[str, ClassAccuracy]:
    """Return how often classifiers of codes name the classes, by labels of either domain, and the domain."""
    learned, unseen = (
        [Examples(encode(translator, part.images, domain.name), part.classes) for domain, part in parts]
        for parts in ([(d, d.learned) for d in domains], [(d, d.unseen) for d in domains])
    )
    names, figures = tuple(domain.name for domain in domains), {}
    for name, examples in zip(names, learned, strict=True):
        judge = train_on_codes(examples, len(classes), options.code_steps, options.seed, name)
        for tested, part in zip(names, unseen, strict=True):
            figures[f"codes of {tested} by labels of {name}"] = measure(judge, part, classes)
    judge = train_on_codes(join(learned), len(names), options.code_steps, options.seed, "domain")
    return figures | {"domain of codes": measure(judge, join(unseen), names)}


def show_classes(translator: ClassTranslator, domains: Sequence[Domain]) -> Tensor:
    """Return a row of unseen pictures of each domain, one of each class, and after each row one of their translations.

    Returns:
        float32 ``[4 * classes, 3, H, W]`` in [-1, 1].
    """
    rows = []
    for domain, other in zip(domains, domains[::-1], strict=True):
        found = domain.unseen.classes
        first = [int((found == index).nonzero()[0, 0]) for index in found.unique().tolist()]
        images = domain.unseen.images[first]
        rows += [images, translate(translator, images, domain.name, other.name)]
    return torch.cat(rows)


def judge(options: Options) -> dict[str, dict[str, ClassAccuracy]]:
    """Return the figures of real pictures, then those of each translator, by name."""
    translators = {name: generators.load(name, options.device) for name in options.generators}
    sizes = {translator.image_size for translator in translators.values()}
    if len(sizes) != 1 or not all(isinstance(t, ClassTranslator) for t in translators.values()):
        raise ValueError(f"generators must be translators between domains, of one size; got {options.generators}")
    domains, classes = open_domains(options, sizes.pop()[0])
    judges = train_judges(domains, classes, options)
    figures = {"real pictures": judge_real(domains, judges)}
    for name, translator in translators.items():
        assert isinstance(translator, ClassTranslator)
        figures[name] = judge_translations(translator, domains, judges)
        if isinstance(translator, UNIT):
            figures[name] |= judge_codes(translator, domains, classes, options)
        if options.pictures is not None and name == options.generators[0]:
            write_grid(show_classes(translator, domains), options.pictures, len(classes), overwrite=True)
    return figures


def print_table(figures: dict[str, dict[str, ClassAccuracy]]) -> None:
    """Print the figures as a Markdown table, a row for each translator and one for real pictures."""
    heads = list(dict.fromkeys(head for found in figures.values() for head in found))
    print(f"| | {' | '.join(heads)} |\n|{'---|' * (len(heads) + 1)}")
    for name, found in figures.items():
        cells = [_format(found[head]) if head in found else "" for head in heads]
        print(f"| {name} | {' | '.join(cells)} |")


def _format(accuracy: ClassAccuracy) -> str:
    low, high = accuracy.interval
    return f"{accuracy.accuracy:.3f} ({low:.3f} to {high:.3f}), n = {accuracy.num_images}"


def main(options: Options) -> None:
    """Print the figures, and write them if asked to."""
    figures = judge(options)
    print_table(figures)
    if options.out is not None:
        described = {name: {key: describe(value) for key, value in found.items()} for name, found in figures.items()}
        write_json(options.out, described, overwrite=True)


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
