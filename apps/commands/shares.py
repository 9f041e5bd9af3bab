"""``gandissect shares``."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import tyro

from gandissect import ConceptShares, concept_shares
from gandissect.fidelity.share_results import ConceptShare
from gandissect.stats import Z_95
from gandissect.storage.files import atomic_path
from segmenters.datasets import ImageSource, open_pictures, open_source
from segmenters.datasets.combining import UnlabeledSource, concat

from ..networks import load_generator, load_segmenter

FIGURE_NAME = "shares.png"
GENERATED, REAL = "#c2571a", "#8a93a0"
MAX_CONCEPTS = 40
"""Concepts in the figure, at most: those that real images show most of."""


@dataclass(frozen=True)
class Options:
    """Find what a generator leaves out: the shares of the pixels that concepts have in generated and in real pictures.

    Twice as many real pictures as generated ones are looked at. The Frechet segmentation distance of the generated ones
    has that of real from real ones beside it.

    Args:
        generator: A bundled name, the path of a .safetensors file, or the folder of a training (best.safetensors in it
            if it is there, else generator.safetensors).
        segmenter: A bundled name, the path of a .safetensors file, or the folder of a training.
        data: The real pictures, each scenes, scenes:COUNT, FOLDER or FOLDER@SPLIT (those
            that FOLDER/SPLIT.txt names).
        hold_out: Look only at the pictures that a training with this share held out did not see; 0 for all.
        num_samples: How many pictures are generated.
        seed: Seed of the generated pictures and of the choice of real ones.
        out: Folder for the result (shares.safetensors) and its figure (shares.png).
        device: auto, cpu, cuda or mps.
        json: Print the figures as JSON.
    """

    generator: tyro.conf.Positional[str]
    segmenter: str
    data: tuple[str, ...]
    hold_out: float = 0.0
    num_samples: int = 1_000
    seed: int = 0
    out: Path | None = None
    device: str = "auto"
    json: bool = False

    def run(self) -> None:
        """Compare, save where asked to, and print the shares with the largest omission first."""
        generator = load_generator(self.generator, self.device)
        segmenter = load_segmenter(self.segmenter, self.device)
        real = self._real(generator.image_size[0])
        if self.out is not None:
            self.out.mkdir(parents=True, exist_ok=True)  # before all the work is done
        shares = concept_shares(generator, segmenter, real, self.num_samples, self.seed)
        written = [] if self.out is None else [shares.save(self.out), draw(self.out / FIGURE_NAME, shares)]
        if self.json:
            print(json.dumps(_facts(shares, written), allow_nan=False))
        else:
            print("\n".join([*table(shares), "", str(shares), *map(str, written)]))

    def _real(self, size: int) -> ImageSource:
        """Return the real pictures.

        Raises:
            ValueError: If none is named or held out.
        """
        if self.hold_out == 0:
            return concat([UnlabeledSource(open_source(spec, size)) for spec in self.data])
        held_out = open_pictures(self.data, size, self.hold_out)[1]
        if held_out is None:
            raise ValueError("nothing is held out; name a folder without @SPLIT, or scenes, or take --hold-out 0")
        return held_out


def table(shares: ConceptShares) -> list[str]:
    """Return lines of text, a concept each, what is left out most first; shares in per cent of the pixels."""
    width = max(len(concept.name) for concept in shares.concepts)
    lines = [f"{'%':<{width}}  generated    real  difference (95 %)              z  log2 ratio"]
    for share in sorted(shares, key=lambda share: share.difference):
        low, high = (100 * end for end in share.interval)
        means = f"{100 * share.generated:9.2f} {100 * share.real:7.2f}"
        difference = f"{100 * share.difference:+8.2f} ({low:+7.2f} to {high:+7.2f})"
        scores = f"{_signed(share.z_score, 6)}  {_signed(share.log2_ratio, 10)}"
        lines.append(f"{share.concept:<{width}}  {means}  {difference} {scores}")
    return lines


def draw(path: Path, shares: ConceptShares) -> Path:
    """Draw the shares as a PNG, the commonest real concept first, and return its path.

    Args:
        path: The file.
        shares: What to draw.
    """
    from matplotlib.figure import Figure

    shown = sorted(shares, key=lambda share: (share.real, share.generated), reverse=True)
    shown = [share for share in shown if max(share.real, share.generated) > 0][:MAX_CONCEPTS]
    figure = Figure(figsize=(10, 1.6 + 0.34 * len(shown)), dpi=120, layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=(3, 2))
    _draw_shares(left, shown)
    _draw_differences(right, shown)
    left.set_yticks(range(len(shown)), [share.concept for share in shown])
    left.set_ylim(len(shown) - 0.4, -0.6)
    about = shares.provenance
    figure.suptitle(f"{about.generator}: what it leaves out, as {about.segmenter} sees it\n{shares}", fontsize="medium")
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png")
    return path


def _draw_shares(axes: Any, shown: Sequence[ConceptShare]) -> None:
    """Draw pairs of bars, on a logarithmic axis so that rare concepts can be seen, too."""
    rows = range(len(shown))
    for name, color, offset in (("real", REAL, -0.2), ("generated", GENERATED, 0.2)):
        means = [100 * getattr(share, name) for share in shown]
        reaches = [100 * Z_95 * getattr(share, f"{name}_stderr") for share in shown]
        places = [row + offset for row in rows]
        axes.barh(places, means, 0.38, color=color, label=name, xerr=reaches, error_kw={"lw": 1, "ecolor": "#222222"})
    least = min((mean for share in shown for mean in (share.real, share.generated) if mean > 0), default=1)
    axes.set_xscale("log")
    axes.set_xlim(max(100 * least / 3, 1e-4), 100)
    axes.xaxis.set_major_formatter("{x:g}")
    axes.set_xlabel("share of the pixels, %, with intervals of 95 %")
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2, frameon=False)
    axes.grid(axis="x", alpha=0.3)


def _draw_differences(axes: Any, shown: Sequence[ConceptShare]) -> None:
    """Draw the differences with their intervals."""
    rows = range(len(shown))
    ends = [100 * (share.interval[1] - share.difference) for share in shown]
    axes.axvline(0, color="#222222", lw=1)
    axes.errorbar([100 * share.difference for share in shown], rows, xerr=ends, fmt="o", ms=4, color=GENERATED)
    axes.set_xlabel("generated less real, percentage points")
    axes.grid(axis="x", alpha=0.3)


def _signed(value: float | None, width: int) -> str:
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
