"""What each stage of a StackGAN decides: stage I draws one caption, stage II another.

    python examples/stage_roles.py stackgan-scenes64 --judge judge.safetensors --out stages

A picture is drawn from two captions of held-out scenes. Its noise is the same throughout; stage I sees the first
caption, stage II its sketch and the second caption. For each attribute of which both captions state a different value,
the judge of `judge_captions.py` finds the value of the first caption, that of the second, or another one. The share
that has the first caption's value is beside two controls: pictures for which both stages see the first caption, and
those for which both see the second. If stage I decides an attribute, the share is that of the former; if stage II
does, that of the latter.

Then all layers are dissected with a segmenter of the pictures, and for each layer the script prints how many units
match a concept, the best units, and the concepts. The noise is that of other pictures.

Source: Zhang et al. 2017, arXiv 1612.03242, Sec. 3 (the two stages); Bau et al. 2019, arXiv 1811.10597, Sec. 3.1.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import tyro
from judge_captions import BATCH, HELD_OUT_SEED, Options as JudgeOptions, score, share, train_judge
from torch import Tensor

import generators
import segmenters
from gandissect import Dissection, dissect
from gandissect.report import write_grid
from gandissect.storage import write_json
from generators import StackGAN
from segmenters.datasets import Scenes

NUM_ROWS = 6


@dataclass(frozen=True)
class Options:
    """Find what each stage of a StackGAN decides.

    Args:
        generator: Bundled name, file or training folder of a StackGAN of scenes.
        judge: File of the judge, which is trained and written if it does not exist.
        segmenter: Segmenter of the pictures.
        num_pairs: Number of pairs of captions.
        num_samples: Number of samples to dissect on.
        seed: Seed of the noise.
        out: Folder for the figures (stages.json), for pictures of pairs (stages.png), and for the dissection.
        device: Device to compute on: auto, cpu, cuda or mps.
    """

    generator: tyro.conf.Positional[str]
    out: Path
    judge: Path = Path("judge.safetensors")
    segmenter: str = "unet-scenes"
    num_pairs: int = 1_000
    num_samples: int = 1_000
    seed: int = 0
    device: str = "auto"


@torch.inference_mode()
def draw(generator: StackGAN, first: Tensor, second: Tensor) -> Tensor:
    """Return pictures whose stage I sees one set of rows, and stage II another."""
    pairs = zip(torch.split(first, BATCH), torch.split(second, BATCH), strict=True)
    return torch.cat([generator.tail(generator.head(a, "sketch"), "sketch", b).cpu() for a, b in pairs])


def rows_of(generator: StackGAN, scenes: Scenes, seed: int) -> tuple[Tensor, Tensor]:
    """Return rows of each scene's caption, and rows of the same noise with the next scene's."""
    texts = [scenes.caption(index, 1).text for index in range(len(scenes))]
    noise = generator.sample_z(len(texts), seed)[:, : generator.noise_dim]
    embeddings = generator.encode(texts)
    return tuple(generator.join_embedding(noise, part) for part in (embeddings, embeddings.roll(-1, 0)))  # type: ignore[return-value]


def decide(generator: StackGAN, options: Options) -> dict[str, Any]:
    """Return, for each attribute, how often a picture has the value that the first of its two captions states."""
    scenes = Scenes(generator.image_size[0], options.num_pairs, HELD_OUT_SEED)
    judge = train_judge(JudgeOptions(options.generator, judge=options.judge), generator.image_size[0])
    judge = judge.to(generator.device)
    first, second = rows_of(generator, scenes, options.seed)
    kinds = {"first then second": (first, second), "first": (first, first), "second": (second, second)}
    found: dict[str, dict[str, list[bool]]] = {}
    for kind, (sketched, drawn) in kinds.items():
        scores = score(judge, draw(generator, sketched, drawn).to(generator.device))
        for index in range(len(scenes)):
            truths = [scenes.caption(other % len(scenes), 1).truth for other in (index, index + 1)]
            for name, value in contradictions(*truths).items():
                chosen = judge.values[name][int(scores[name][index].argmax())]
                found.setdefault(name, {}).setdefault(kind, []).append(chosen == value)
    return {name: {kind: share(hits) for kind, hits in kinds.items()} for name, kinds in sorted(found.items())}


def contradictions(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, str]:
    """Return the values that the first caption states, where the second states another."""
    return {name: str(value) for name, value in first.items() if name in second and second[name] != value}


def list_layers(dissection: Dissection) -> list[dict[str, Any]]:
    """Return for each layer how many units match which concepts."""
    rows = []
    for layer in dissection:
        matched = [match for match in layer.matches if match.is_interpretable()]
        best = max(layer.matches, key=lambda match: match.iou)
        row = {"layer": layer.name, "units": layer.info.units, "matched": len(matched)}
        concepts = Counter(match.concept for match in matched).most_common()
        rows.append(row | {"concepts": dict(concepts), "best": [best.unit, best.concept, round(best.iou, 3)]})
    return rows


def draw_pairs(generator: StackGAN, options: Options, path: Path) -> None:
    """Write pictures of pairs: of the first caption, of the first in stage I and the second in II, of the second."""
    scenes = Scenes(generator.image_size[0], NUM_ROWS, HELD_OUT_SEED)
    first, second = rows_of(generator, scenes, options.seed)
    columns = [draw(generator, *rows) for rows in ((first, first), (first, second), (second, first), (second, second))]
    write_grid(torch.stack(columns, 1).flatten(0, 1), path, len(columns), overwrite=True)
    print("\n".join(scenes.caption(index, 1).text for index in range(NUM_ROWS)))


def main(options: Options) -> None:
    """Print and write what each stage decides, and what its units match."""
    generator = generators.load(options.generator, options.device)
    if not isinstance(generator, StackGAN):
        raise ValueError(f"the generator must be a stackgan; got {generator.architecture}")
    options.out.mkdir(parents=True, exist_ok=True)
    decided = decide(generator, options)
    for name, kinds in decided.items():
        print(f"{name:15}", *(f"{kinds[kind]['mean']:.3f}" for kind in kinds), f"n = {kinds['first']['n']}")
    draw_pairs(generator, options, options.out / "stages.png")
    layers = [name for name in generator.layers if name != "sketch"]
    segmenter = segmenters.load(options.segmenter, options.device)
    dissection = dissect(generator, segmenter, layers, num_samples=options.num_samples, seed=options.seed)
    dissection.save(options.out / "dissection", overwrite=True)
    rows = list_layers(dissection)
    for row in rows:
        print(*row.values())
    write_json(options.out / "stages.json", {"decided": decided, "layers": rows}, overwrite=True)


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
