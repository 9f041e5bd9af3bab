"""Judge a translator of pictures where the truth is known: by labels, by true pairs, and by the way back.

    python examples/judge_translations.py pix2pix-scenes64 --inputs scenes:1000@noon --targets scenes:1000@noon
    python examples/judge_translations.py cyclegan-dusk-scenes64 --back cyclegan-noon-scenes64
        --inputs scenes:1000@noon --targets scenes:1000@dusk

Scenes are those of the evaluation seed, which no model was trained on; input i and target i show the same scene.

- *FCN-score*: a segmenter labels the translations, which should show what the labels of the inputs say: pixel accuracy,
  class accuracy and mean IoU. Beside them the targets' score (ceiling), and that with the labels of other pictures
  (floor).
- *Paired error* in levels of 0 to 255: translations against targets, beside the inputs as they are, and against other
  targets.
- *Cycle error* in levels, with --back: pictures translated and translated back, also with the picture in between
  rounded to 8 bits, and with noise of 2 levels.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tyro

import generators
import segmenters
from gandissect.fidelity import (
    CycleErrors,
    FCNScore,
    LabelScore,
    PairedErrors,
    measure_cycle_errors,
    measure_fcn_score,
    measure_paired_errors,
)
from gandissect.storage import write_json
from generators import LayeredGenerator, Translator
from segmenters.datasets import open_inputs


@dataclass(frozen=True)
class Options:
    """Judge a translator.

    Args:
        generator: Bundled name, file or training folder of the translator.
        inputs: Labeled pictures to translate; their label maps, if the translator takes these.
        targets: Their true translations, in the same order.
        back: Translator back, for the cycle error.
        segmenter: Segmenter of the translations, with the concepts of the inputs.
        num_samples: Number of pictures.
        out: JSON file to write.
        device: Device to compute on: auto, cpu, cuda or mps.
    """

    generator: tyro.conf.Positional[str]
    inputs: tuple[str, ...]
    targets: tuple[str, ...]
    back: str | None = None
    segmenter: str = "unet-scenes"
    num_samples: int = 1_000
    out: Path | None = None
    device: str = "auto"


def judge(options: Options) -> dict[str, FCNScore | PairedErrors | CycleErrors]:
    """Return the figures by name."""
    translator = _load(options.generator, options.device)
    size, count = translator.input_shape[1], options.num_samples
    takes_labels = bool(translator.input_concepts)
    placed = translator.on(open_inputs(options.inputs, size, label_maps=takes_labels))
    targets = open_inputs(options.targets, size)
    segmenter = segmenters.load(options.segmenter, options.device)
    figures: dict[str, FCNScore | PairedErrors | CycleErrors] = {
        "fcn_score": measure_fcn_score(placed, segmenter, targets, count),
        "paired_error": measure_paired_errors(placed, targets, count),
    }
    if options.back is not None:
        back = _load(options.back, options.device)
        figures["cycle_error"] = measure_cycle_errors(placed, lambda images: back(images.flatten(1)), count)
    return figures


def describe(figures: FCNScore | PairedErrors | CycleErrors) -> dict[str, Any]:
    """Return figures as JSON values, each with its interval and its number of pictures."""
    parts = {name: getattr(figures, name) for name in figures.__slots__}
    return {name: _describe_one(part) for name, part in parts.items() if part is not None}


def main(options: Options) -> None:
    """Print the figures, and write them if asked to."""
    found = judge(options)
    for name, figures in found.items():
        for part, values in describe(figures).items():
            print(f"{name} {part}: {values}")
    if options.out is not None:
        write_json(options.out, {name: describe(figures) for name, figures in found.items()}, overwrite=True)


def _describe_one(part: Any) -> dict[str, Any]:
    if isinstance(part, LabelScore):
        scores = {
            name: {"mean": round(getattr(part, name), 4), "low": round(low, 4), "high": round(high, 4)}
            for name, (low, high) in part.intervals.items()
        }
        return scores | {"num_images": len(part.confusion)}
    low, high = part.interval
    return {"mean": round(part.mean, 2), "low": round(low, 2), "high": round(high, 2), "num_images": len(part.values)}


def _load(name: str, device: str) -> Translator:
    loaded: LayeredGenerator = generators.load(name, device)
    if not isinstance(loaded, Translator):
        raise ValueError(f"{loaded.name} is not a translator of pictures")
    return loaded


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
