"""The calls that make a dissection and its report again."""

from __future__ import annotations

import shlex

from ...dissection.results import Dissection


def python_call(dissection: Dissection, min_iou: float) -> str:
    """Return the call in Python."""
    made = dissection.provenance
    layers = ", ".join(repr(layer.name) for layer in dissection)
    curves = ", curves=True" if _has_curves(dissection) else ""
    return "\n".join(
        [
            "import generators, segmenters",
            "from gandissect import dissect, write_report",
            "",
            f"G = generators.load({made.generator!r}, device={made.device!r})",
            f"S = segmenters.load({made.segmenter!r}, device={made.device!r})",
            "D = dissect(",
            f"    G, S, layers=[{layers}], num_samples={made.num_samples}, seed={made.seed},",
            f"    quantile={made.quantile!r}, batch_size={made.batch_size}, padding={made.padding!r}{curves},",
            ")",
            f'write_report("report", D, min_iou={min_iou!r})',
        ]
    )


def command_line(dissection: Dissection, min_iou: float) -> str:
    """Return the call for a shell."""
    made = dissection.provenance
    words = [
        "gandissect",
        "dissect",
        "--generator",
        made.generator.name,
        "--segmenter",
        made.segmenter.name,
        "--layers",
    ]
    words += [layer.name for layer in dissection]
    words += [
        "--padding",
        made.padding,
        "--num-samples",
        str(made.num_samples),
        "--seed",
        str(made.seed),
        "--quantile",
        f"{made.quantile!r}",
    ]
    if _has_curves(dissection):
        words.append("--curves")
    return shlex.join([*words, "--min-iou", f"{min_iou!r}", "--out", "report"])


def _has_curves(dissection: Dissection) -> bool:
    return any(layer.curves is not None for layer in dissection)
