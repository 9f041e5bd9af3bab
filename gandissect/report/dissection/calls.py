"""Calls that reproduce a dissection and its report."""

from __future__ import annotations

import shlex

from ...dissection.results import Dissection


def python_call(dissection: Dissection, min_iou: float) -> str:
    """Return the calls in Python."""
    provenance = dissection.provenance
    layers = ", ".join(repr(layer.name) for layer in dissection)
    batches = f"batch_size={provenance.batch_size}, padding={provenance.padding!r}"
    curves = ", curves=True" if _has_curves(dissection) else ""
    labels = f", labels={provenance.labels!r}" if provenance.labels != "output" else ""
    return "\n".join(
        [
            "import generators, segmenters",
            "from gandissect import dissect, write_report",
            "",
            f"G = generators.load({provenance.generator.name!r}, device={provenance.device!r})",
            f"S = segmenters.load({provenance.segmenter.name!r}, device={provenance.device!r})",
            "D = dissect(",
            f"    G, S, layers=[{layers}], num_samples={provenance.num_samples}, seed={provenance.seed},",
            f"    quantile={provenance.quantile!r}, {batches}{curves}{labels},",
            ")",
            f'write_report("report", D, min_iou={min_iou!r})',
        ]
    )


def command_line(dissection: Dissection, min_iou: float) -> str:
    """Return the command for a shell."""
    provenance = dissection.provenance
    words = [
        "gandissect",
        "dissect",
        provenance.generator.name,
        "--segmenter",
        provenance.segmenter.name,
        "--layers",
    ]
    words += [layer.name for layer in dissection]
    words += [
        "--padding",
        provenance.padding,
        "--num-samples",
        str(provenance.num_samples),
        "--seed",
        str(provenance.seed),
        "--quantile",
        f"{provenance.quantile!r}",
    ]
    if _has_curves(dissection):
        words.append("--curves")
    if provenance.labels != "output":
        words += ["--labels", provenance.labels]
    return shlex.join([*words, "--min-iou", f"{min_iou!r}", "--out", "report"])


def _has_curves(dissection: Dissection) -> bool:
    return any(layer.curves is not None for layer in dissection)
