"""Calls that reproduce a dissection and its report."""

from __future__ import annotations

import shlex

from ...dissection.results import Dissection, Provenance


def python_call(dissection: Dissection, min_iou: float) -> str:
    """Return the calls in Python; where a translator was put on pictures, they are named in a comment."""
    provenance, drawn = dissection.provenance, dissection.provenance.drawn
    chosen = {"of_classes": drawn.classes, "of_captions": drawn.captions}
    calls = "".join(f".{name}({', '.join(map(repr, values))})" for name, values in chosen.items() if values)
    calls += f".on(pictures)  # {drawn.pictures}" if drawn.pictures else ""
    layers = ", ".join(repr(layer.name) for layer in dissection)
    batches = f"batch_size={provenance.batch_size}, padding={provenance.padding!r}"
    curves = ", curves=True" if _has_curves(dissection) else ""
    labels = f", labels={provenance.labels!r}" if provenance.labels != "output" else ""
    return "\n".join(
        [
            "import generators, segmenters",
            "from gandissect import dissect, write_report",
            "",
            f"G = generators.load({_name_model(provenance)!r}, device={provenance.device!r}){calls}",
            f"S = segmenters.load({provenance.segmenter.name!r}, device={provenance.device!r})",
            "D = dissect(",
            f"    G, S, layers=[{layers}], num_samples={provenance.num_samples}, seed={provenance.seed},",
            f"    quantile={provenance.quantile!r}, {batches}{curves}{labels},",
            ")",
            f'write_report("report", D, min_iou={min_iou!r})',
        ]
    )


def command_line(dissection: Dissection, min_iou: float) -> str:
    """Return the command for a shell; where a translator was put on pictures, with their name."""
    provenance, drawn = dissection.provenance, dissection.provenance.drawn
    words = [
        "gandissect",
        "dissect",
        _name_model(provenance),
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
    for option, values in (("--classes", drawn.classes), ("--caption", drawn.captions)):
        words += [option, *values] if values else []
    words += ["--inputs", drawn.pictures] if drawn.pictures else []
    if _has_curves(dissection):
        words.append("--curves")
    if provenance.labels != "output":
        words += ["--labels", provenance.labels]
    return shlex.join([*words, "--min-iou", f"{min_iou!r}", "--out", "report"])


def _name_model(provenance: Provenance) -> str:
    return provenance.drawn.name_model(provenance.generator.name)


def _has_curves(dissection: Dissection) -> bool:
    return any(layer.curves is not None for layer in dissection)
