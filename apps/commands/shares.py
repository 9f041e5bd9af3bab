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
from ..networks import Model, load_generator, load_segmenter

FIGURE_NAME = "shares.png"
FILES = (ConceptShares.FILE_NAME, FIGURE_NAME)
"""What is written."""


@dataclass(frozen=True)
class Options:
    """Find what a generator leaves out: the shares of the pixels that concepts have in generated and in real pictures.

    Twice as many real pictures as generated ones are looked at. The Frechet segmentation distance of the generated ones
    has that of real from real ones beside it.

    Args:
        generator: A bundled name, the path of a .safetensors file, or the folder of a training (best.safetensors in it
            if it is there, else generator.safetensors).
        segmenter: A bundled name, the path of a .safetensors file, or the folder of a training; by default the one made
            for such pictures.
        data: The real pictures, each scenes, scenes:COUNT, FOLDER or FOLDER@SPLIT (those
            that FOLDER/SPLIT.txt names).
        hold_out: Look only at the pictures that a training with this share held out did not see; 0 for all.
        skip_broken: Leave out the pictures of a folder that cannot be used, with a warning that names them.
        num_samples: How many pictures are generated.
        seed: Seed of the generated pictures and of the choice of real ones.
        out: Folder for the result (shares.safetensors) and its figure (shares.png).
        overwrite: Replace the results of an earlier run in the folder.
        device: auto, cpu, cuda or mps.
        json: Print the figures as JSON.
    """

    generator: Model
    data: tuple[str, ...]
    segmenter: str | None = None
    hold_out: float = 0.0
    skip_broken: bool = False
    num_samples: int = 1_000
    seed: int = 0
    out: Path | None = None
    overwrite: bool = False
    device: str = "auto"
    json: bool = False

    def run(self) -> None:
        """Compare, save where asked to, and print the shares with the largest omission first."""
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
        """Return the shares."""
        generator = load_generator(self.generator, self.device)
        segmenter = load_segmenter(self.segmenter or segmenters.find_for(generator.name), self.device)
        real = self._open_real(generator.image_size[0])
        return measure_concept_shares(generator, segmenter, real, self.num_samples, self.seed)

    def _open_real(self, size: int) -> ImageSource:
        """Return the real pictures.

        Raises:
            ValueError: If none is named or held out.
        """
        if self.hold_out == 0:
            sources = open_sources(self.data, size, skip_broken=self.skip_broken)
            return concat([UnlabeledSource(source) for source in sources])
        held_out = open_pictures(self.data, size, self.hold_out, skip_broken=self.skip_broken)[1]
        if held_out is None:
            raise ValueError("nothing is held out; name a folder without @SPLIT, or scenes, or take --hold-out 0")
        return held_out


def format_table(shares: ConceptShares) -> list[str]:
    """Return lines of text, a concept each, what is left out most first; shares in per cent of the pixels."""
    width = max(len(concept.name) for concept in shares.concepts)
    lines = [f"{'%':<{width}}  generated    real  difference (95 %)              z  log2 ratio"]
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
    """Return everything as plain values."""
    about = shares.provenance
    return {
        "generator": about.generator.name,
        "segmenter": about.segmenter.name,
        "real": about.real,
        "num_samples": about.num_samples,
        "num_real": shares.real.num_images,
        "drawn_from": about.num_real,
        "seed": about.seed,
        "distance": asdict(shares.distance),
        "floor": asdict(shares.floor),
        "concepts": shares.records(),
        "written": [str(path) for path in written],
    }
