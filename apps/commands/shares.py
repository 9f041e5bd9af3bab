"""``gandissect shares``."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import segmenters
from gandissect import ConceptShares, draw_shares, measure_concept_shares
from gandissect.storage import output_folder
from segmenters.datasets import ImageSource, check_output, open_pictures, open_sources
from segmenters.datasets.combining import UnlabeledSource, concat

from ..figures import save_figure
from ..networks import Model, limit_samples, load_generator, load_segmenter

FIGURE_NAME = "shares.png"
FILES = (ConceptShares.FILE_NAME, FIGURE_NAME)
"""Files that the command writes."""


@dataclass(frozen=True)
class Options:
    """Report which concepts a generator under- or over-produces: shares of the pixels in generated and real images.

    Twice as many real pictures as generated images are used. The Fréchet segmentation distance of the generated images
    is accompanied by the distance between two sets of real pictures.

    Args:
        generator: Generator: a bundled name, a .safetensors file, or a training folder (its best.safetensors if
            present, else generator.safetensors).
        segmenter: Segmenter: a bundled name, a .safetensors file, or a training folder; by default the bundled one for
            the generator's kind of images.
        data: Real pictures, one or more of scenes, scenes:COUNT, FOLDER, or FOLDER@SPLIT (those listed in
            FOLDER/SPLIT.txt).
        inputs: Pictures that a translator is put on, one or more of scenes, scenes:COUNT, FOLDER, FOLDER@SPLIT, or
            edges: or labels: and one of these; sample i is picture i.
        hold_out: Share held out from training, to use held-out pictures only; 0 uses all pictures.
        skip_broken: Skip unusable pictures, with a warning that names them.
        num_samples: Number of images to generate.
        seed: Seed of the generated images and of the choice of real pictures.
        out: Folder for the result (shares.safetensors) and its figure (shares.png).
        overwrite: Replace the results of an earlier run in the folder.
        device: Device to compute on: auto, cpu, cuda or mps.
        json: Print the results as JSON.
    """

    generator: Model
    data: tuple[str, ...]
    segmenter: str | None = None
    inputs: tuple[str, ...] = ()
    hold_out: float = 0.0
    skip_broken: bool = False
    num_samples: int = 1_000
    seed: int = 0
    out: Path | None = None
    overwrite: bool = False
    device: str = "auto"
    json: bool = False

    def run(self) -> None:
        """Compare the shares, save them if requested, and print them with the largest omission first."""
        out, overwrite = self.out, self.overwrite
        if out is not None:
            check_output(out, self.data)
        with nullcontext() if out is None else output_folder(out, FILES, overwrite=overwrite) as staged:
            shares = self._measure()
            if staged is not None:
                shares.save(staged)
                save_figure(draw_shares(shares), staged / FIGURE_NAME)
        written = [] if out is None else [out / name for name in FILES]
        if self.json:
            print(json.dumps(_facts(shares, written), allow_nan=False))
        else:
            print("\n".join([*format_table(shares), "", str(shares), *map(str, written)]))

    def _measure(self) -> ConceptShares:
        generator = load_generator(self.generator, self.device, inputs=self.inputs)
        segmenter = load_segmenter(self.segmenter or segmenters.find_for(generator.name), self.device)
        real = self._open_real(generator.image_size[0])
        num_samples = limit_samples(generator, self.num_samples)
        return measure_concept_shares(generator, segmenter, real, num_samples, self.seed)

    def _open_real(self, size: int) -> ImageSource:
        """Return the real pictures.

        Raises:
            ValueError: If no pictures are named or held out.
        """
        if self.hold_out == 0:
            sources = open_sources(self.data, size, skip_broken=self.skip_broken)
            return concat([UnlabeledSource(source) for source in sources])
        held_out = open_pictures(self.data, size, self.hold_out, skip_broken=self.skip_broken)[1]
        if held_out is None:
            raise ValueError("no pictures are held out; name a folder without @SPLIT, or scenes, or use --hold-out 0")
        return held_out


def format_table(shares: ConceptShares) -> list[str]:
    """Return a table as lines of text, one per concept, with the largest omission first.

    Args:
        shares: Shares of the concepts, printed in percent of the pixels.
    """
    width = max(len(concept.name) for concept in shares.concepts)
    lines = [f"{'%':<{width}}  generated    real  difference (95%)               z  log2 ratio"]
    for share in sorted(shares, key=lambda share: share.difference):
        low, high = (100 * end for end in share.interval)
        means = f"{100 * share.generated:9.2f} {100 * share.real:7.2f}"
        difference = f"{100 * share.difference:+8.2f} ({low:+7.2f} to {high:+7.2f})"
        scores = f"{_format_signed(share.z_score, 6)}  {_format_signed(share.log2_ratio, 10)}"
        lines.append(f"{share.concept:<{width}}  {means}  {difference} {scores}")
    return lines


def _format_signed(value: float | None, width: int) -> str:
    return f"{'-':>{width}}" if value is None else f"{value:+{width}.2f}"


def _facts(shares: ConceptShares, written: Sequence[Path]) -> dict[str, Any]:
    """Return the shares and their provenance as plain values."""
    provenance = shares.provenance
    return {
        "generator": provenance.generator.name,
        "segmenter": provenance.segmenter.name,
        "real": provenance.real,
        "num_samples": provenance.num_samples,
        "num_real": shares.real.num_images,
        "drawn_from": provenance.num_real,
        "seed": provenance.seed,
        "distance": asdict(shares.distance),
        "floor": asdict(shares.floor),
        "concepts": shares.records(),
        "written": [str(path) for path in written],
    }
