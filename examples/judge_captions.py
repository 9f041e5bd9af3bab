"""Judge whether the images of a StackGAN show what their captions say.

    python examples/judge_captions.py stackgan-scenes64 --segmenter unet-scenes --out judged.json

The judge is a classifier of a scene's attributes (place, season, mood, buildings, trees, color of the car and so on),
trained on rendered scenes that neither the generator's training nor this evaluation contains. Captions are those of
held-out scenes. Of each kind of picture, two figures with Wilson's 95% interval:

- *attributes*: how often the judge finds in a picture what its caption states, over all statements and for each word;
- *R-precision*: how often a picture's own caption fits it better than 99 wrong captions, which are not true of the
  scene that the caption is from. How well a caption fits is the sum, over its statements, of the logarithm of the
  judge's probability over its mean probability on held-out scenes.

The kinds are *generated*, by both stages; *first*, the sketches of stage I; *real*, the scenes that the captions are
from, which is the ceiling; and *shuffled*, generated for the next caption, which is the floor.

*Variety* is the standard deviation of a pixel over images of one caption, beside that over images of many captions and
over real scenes. With a segmenter, the Frechet distance from held-out scenes over its features is measured for both
stages, with the enlarged sketches for stage I.

Source: Zhang et al. 2017, arXiv 1612.03242, Sec. 4; Xu et al. 2018, arXiv 1711.10485, Sec. 4 (R-precision).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import tyro
from judge_classes import make_stages
from torch import Tensor, nn
from torch.nn import functional

import generators
import segmenters
from gandissect import Yardstick
from gandissect.core import from_uint8, load_pictures, make_rng, resolve_device
from gandissect.report import write_grid
from gandissect.stats import wilson_interval
from gandissect.storage import load_tensors, save_tensors, write_json
from generators import StackGAN
from segmenters.datasets import Scenes, open_pictures

BATCH = 64
NUM_WRONG = 99
"""Number of wrong captions beside the right one."""
NUM_VARIED, NUM_PER_CAPTION = 64, 16
NUM_ROWS = 8
JUDGE_SEED, HELD_OUT_SEED = 7, 2
"""Seeds of the scenes for the judge and for evaluation; generators learn from seed 0."""
FORMAT = "gandissect-example-judge"

Truth = Mapping[str, Any]
"""What a caption states: values of attributes by name."""


@dataclass(frozen=True)
class Options:
    """Judge whether a generator's images show what their captions say.

    Args:
        generator: Bundled name, file or training folder of a StackGAN of scenes.
        segmenter: Segmenter of the Frechet distances; none are measured without one.
        data: Scenes that the generator was trained on, for the Frechet distances.
        num_samples: Number of captions, one for each of as many held-out scenes.
        steps: Training steps of the judge, of 64 scenes.
        num_scenes: Number of scenes that the judge learns from.
        judge: File of the judge, which is trained and written if it does not exist.
        seed: Seed of noise and judge.
        out: JSON file to write.
        figure: PNG file to write: a held-out scene per row, with three sketches and pictures of its caption.
        device: Device to compute on: auto, cpu, cuda or mps.
    """

    generator: tyro.conf.Positional[str]
    segmenter: str | None = None
    data: str = "captions:scenes:15000"
    num_samples: int = 1_000
    steps: int = 3_000
    num_scenes: int = 12_000
    judge: Path = Path("judge.safetensors")
    seed: int = 0
    out: Path | None = None
    figure: Path | None = None
    device: str = "auto"


@dataclass(frozen=True, slots=True)
class Judged:
    """Which statements of captions a judge finds in pictures.

    Attributes:
        statements: For each statement, its attribute, its value, and whether it was found.
        matched: For each picture, whether its caption fits better than all wrong ones.
    """

    statements: tuple[tuple[str, str, bool], ...]
    matched: tuple[bool, ...]

    def summarize(self) -> dict[str, Any]:
        """Return shares and intervals, over all statements and for each attribute and value."""
        words = sorted({(name, value) for name, value, _ in self.statements})
        return {
            "attributes": share([found for *_, found in self.statements]),
            "r_precision": share(self.matched),
            "by_attribute": {
                name: share([found for other, _, found in self.statements if other == name]) for name in dict(words)
            },
            "by_value": {
                f"{name} {value}": share([found for *word, found in self.statements if word == [name, value]])
                for name, value in words
            },
        }


def share(hits: Sequence[bool]) -> dict[str, Any]:
    """Return a share with its 95% interval and the number of trials."""
    low, high = wilson_interval(sum(hits), len(hits))
    return {"mean": round(sum(hits) / len(hits), 4), "low": round(low, 4), "high": round(high, 4), "n": len(hits)}


class AttributeClassifier(nn.Module):
    """A convolutional network with a softmax over the values of each attribute.

    Args:
        values: Values of each attribute, as text, by its name.
        width: Number of units of the first layer.
    """

    def __init__(self, values: Mapping[str, Sequence[str]], width: int = 24) -> None:
        super().__init__()
        self.values = {name: tuple(choices) for name, choices in values.items()}
        self.stages = nn.Sequential(*make_stages(width))
        self.output = nn.Linear(8 * width, sum(map(len, self.values.values())))

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Return the logarithm of the probability of each value, ``[batch, values]``, by attribute."""
        grid = self.stages(images)
        logits = self.output(torch.cat([grid.mean((2, 3)), grid.amax((2, 3))], dim=1))
        parts = logits.split([len(choices) for choices in self.values.values()], dim=1)
        return {name: part.log_softmax(1) for name, part in zip(self.values, parts, strict=True)}


def list_values(records: Sequence[Truth], stated: set[str]) -> dict[str, list[str]]:
    """Return the values of the stated attributes that occur in scenes."""
    return {name: sorted({str(record[name]) for record in records}) for name in sorted(stated)}


def stated_attributes(scenes: Scenes) -> set[str]:
    """Return the names of the attributes that captions state."""
    return {name for index in range(len(scenes)) for name in scenes.caption(index).truth}


def train_judge(options: Options, size: int) -> AttributeClassifier:
    """Return a judge trained on scenes of its own, mirrored at random, or the one in the file."""
    if options.judge.exists():
        tensors, header = load_tensors(options.judge, FORMAT, 1)
        judge = AttributeClassifier(header["values"])
        judge.load_state_dict(tensors)
        return judge.eval().requires_grad_(False)
    scenes = Scenes(size, options.num_scenes, JUDGE_SEED)
    records = [scenes.attributes(index).record() for index in range(len(scenes))]
    images = load_pictures(scenes, len(scenes))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(options.seed)
        judge = AttributeClassifier(list_values(records, stated_attributes(scenes)))
    targets = {
        name: torch.tensor([choices.index(str(record[name])) for record in records])
        for name, choices in judge.values.items()
    }
    fit(judge, images, targets, options)
    save_tensors(options.judge, judge.state_dict(), {"format": FORMAT, "version": 1, "values": judge.values})
    return judge.eval().requires_grad_(False)


def fit(judge: AttributeClassifier, images: Tensor, targets: Mapping[str, Tensor], options: Options) -> None:
    """Train a judge with a learning rate that falls to 0."""
    adam = torch.optim.AdamW(judge.parameters(), 2e-3, weight_decay=1e-2)
    for step in range(options.steps):
        rng = make_rng(options.seed, "judge", step)
        chosen = torch.randint(len(images), (BATCH,), generator=rng)
        batch = from_uint8(images[chosen]).contiguous(memory_format=torch.channels_last)
        batch = torch.where(torch.rand(BATCH, 1, 1, 1, generator=rng) < 0.5, batch.flip(3), batch)
        with torch.autocast("cpu", torch.bfloat16):
            scores = judge(batch)
        losses = [functional.nll_loss(scores[name].float(), target[chosen]) for name, target in targets.items()]
        for group in adam.param_groups:
            group["lr"] = 2e-3 * (1 - step / options.steps)
        adam.zero_grad(set_to_none=True)
        torch.autograd.backward(torch.stack(losses).sum())
        adam.step()


@torch.no_grad()
def score(judge: AttributeClassifier, images: Tensor) -> dict[str, Tensor]:
    """Return a judge's log probabilities of images in [-1, 1], by attribute."""
    parts = [judge(part) for part in torch.split(images, BATCH)]
    return {name: torch.cat([part[name] for part in parts]) for name in judge.values}


def judge_pictures(
    judge: AttributeClassifier,
    scores: Mapping[str, Tensor],
    prior: Mapping[str, Tensor],
    truths: Sequence[Truth],
    wrong: Sequence[Sequence[Truth]],
) -> Judged:
    """Return which statements are found in pictures, and whose caption fits better than the wrong ones.

    Args:
        judge: Classifier of attributes.
        scores: Its log probabilities of the pictures, by attribute.
        prior: Logarithms of its mean probabilities on held-out scenes.
        truths: What the caption of each picture states.
        wrong: What the wrong captions of each picture state.
    """
    statements: list[tuple[str, str, bool]] = []
    matched = []
    for index, truth in enumerate(truths):
        for name, value in truth.items():
            found = judge.values[name][int(scores[name][index].argmax())]
            statements.append((name, str(value), found == str(value)))

        def fit_of(stated: Truth, index: int = index) -> float:
            places = [(name, judge.values[name].index(str(value))) for name, value in stated.items()]
            return sum(float(scores[name][index, k] - prior[name][k]) for name, k in places)

        matched.append(fit_of(truth) > max(map(fit_of, wrong[index])))
    return Judged(tuple(statements), tuple(matched))


def pick_wrong(scenes: Scenes, count: int, seed: int) -> list[list[Truth]]:
    """Return what wrong captions of each scene state: captions of other scenes that are not true of it."""
    captions = [scenes.caption(index, 1) for index in range(count)]
    picked = []
    for index in range(count):
        order = torch.randperm(count, generator=make_rng(seed, "wrong", index)).tolist()
        wrong = [captions[k].truth for k in order if not captions[k].is_true_of(scenes.attributes(index))]
        if len(wrong) < NUM_WRONG:
            raise ValueError(f"num_samples (--num-samples) must be enough for {NUM_WRONG} wrong captions; got {count}")
        picked.append(wrong[:NUM_WRONG])
    return picked


@torch.no_grad()
def generate(generator: StackGAN, captions: Sequence[str], seed: int) -> tuple[Tensor, Tensor]:
    """Return the images of captions, and the enlarged sketches that they began with."""
    noise = generator.sample_z(len(captions), seed)[:, : generator.noise_dim]
    rows = generator.join_embedding(noise, generator.encode(captions))
    sketches = torch.cat([generator.head(part, "sketch").cpu() for part in torch.split(rows, BATCH)])
    images = torch.cat([generator(part).cpu() for part in torch.split(rows, BATCH)])
    return images, enlarge(sketches)


def enlarge(images: Tensor) -> Tensor:
    """Return images of twice the size."""
    return functional.interpolate(images, scale_factor=2, mode="bilinear")


def measure_variety(generator: StackGAN, captions: Sequence[str], real: Tensor, seed: int) -> dict[str, float]:
    """Return the standard deviation of a pixel over images of one caption, of many captions, and over real scenes."""
    chosen = captions[:NUM_VARIED]
    images, _ = generate(generator, [text for text in chosen for _ in range(NUM_PER_CAPTION)], seed)
    groups = images.reshape(len(chosen), NUM_PER_CAPTION, *images.shape[1:])
    deviations = {"one_caption": groups.std(1).mean(), "many_captions": groups[:, 0].std(0).mean()}
    deviations["real"] = real[:NUM_VARIED].std(0).mean()
    return {name: round(float(value), 4) for name, value in deviations.items()}


class FirstStage:
    """Stage I of a StackGAN, whose sketches are enlarged, as a generator.

    Args:
        generator: Both stages.
    """

    def __init__(self, generator: StackGAN) -> None:
        self.generator = generator

    def __getattr__(self, name: str) -> Any:
        return getattr(self.generator, name)

    def __call__(self, z: Tensor) -> Tensor:
        """Return the enlarged sketches of rows."""
        return enlarge(self.generator.head(z, "sketch"))


def measure_distances(generator: StackGAN, options: Options) -> dict[str, Any]:
    """Return the Frechet distances of both stages from held-out scenes, with that of real scenes."""
    train, held_out = open_pictures([options.data], generator.image_size[0])
    assert held_out is not None
    segmenter = segmenters.load(str(options.segmenter), options.device)
    yardstick = Yardstick.of(segmenter, train, held_out)
    whole, first = yardstick.measure(generator), yardstick.measure(FirstStage(generator))
    return {
        "second": [round(whole.distance, 2), round(whole.distance_std, 2)],
        "first_enlarged": [round(first.distance, 2), round(first.distance_std, 2)],
        "real": [round(whole.floor, 2), round(whole.floor_std, 2)],
        "num_images": whole.num_images,
    }


def judge_generator(options: Options) -> dict[str, Any]:
    """Return the figures by name."""
    generator = generators.load(options.generator, options.device)
    if not isinstance(generator, StackGAN):
        raise ValueError(f"the generator must be a stackgan; got {generator.architecture}")
    size, count, resolved = generator.image_size[0], options.num_samples, resolve_device(options.device)
    judge, scenes = train_judge(options, size).to(resolved), Scenes(size, options.num_samples, HELD_OUT_SEED)
    captions = [scenes.caption(index, 1) for index in range(count)]
    texts, truths = [caption.text for caption in captions], [caption.truth for caption in captions]
    real = from_uint8(load_pictures(scenes, count))
    images, sketches = generate(generator, texts, options.seed)
    scores = {
        name: score(judge, pictures.to(resolved))
        for name, pictures in {"generated": images, "first": sketches, "real": real}.items()
    }
    scores["shuffled"] = {name: values.roll(-1, 0) for name, values in scores["generated"].items()}
    prior = {name: values.exp().mean(0).log() for name, values in scores["real"].items()}
    wrong = pick_wrong(scenes, count, options.seed)
    figures: dict[str, Any] = {
        kind: judge_pictures(judge, values, prior, truths, wrong).summarize() for kind, values in scores.items()
    }
    figures["variety"] = measure_variety(generator, texts, real, options.seed)
    if options.segmenter is not None:
        figures["distances"] = measure_distances(generator, options)
    return figures


def draw_figure(options: Options, path: Path) -> None:
    """Write held-out scenes, each with sketches and pictures of its caption, and print the captions."""
    generator = generators.load(options.generator, options.device)
    assert isinstance(generator, StackGAN)
    scenes = Scenes(generator.image_size[0], NUM_ROWS, HELD_OUT_SEED)
    texts = [scenes.caption(index, 1).text for index in range(NUM_ROWS)]
    drawn = [generate(generator, texts, options.seed + column) for column in range(1, 4)]
    real = from_uint8(load_pictures(scenes, NUM_ROWS))
    columns = [real, *(part for images, sketches in drawn for part in (sketches, images))]
    write_grid(torch.stack(columns, 1).flatten(0, 1), path, len(columns), overwrite=True)
    print("\n".join(texts))


def main(options: Options) -> None:
    """Print the figures, and write them if asked to."""
    figures = judge_generator(options)
    if options.figure is not None:
        draw_figure(options, options.figure)
    for kind in ("generated", "first", "real", "shuffled"):
        print(kind, figures[kind]["attributes"], figures[kind]["r_precision"])
    for name in figures["real"]["by_attribute"]:
        row = [figures[kind]["by_attribute"][name]["mean"] for kind in ("generated", "first", "real", "shuffled")]
        print(f"{name:15}", *row)
    print(figures["variety"], figures.get("distances"))
    if options.out is not None:
        write_json(options.out, figures, overwrite=True)


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
