"""Train the bundled generators one after the other, and write their weights, samples and cards.

    python examples/train_bundled.py --data-root DATA                       # all, at widths for two CPU cores
    python examples/train_bundled.py --data-root DATA --gpu                 # all, including 128 px, at full width
    python examples/train_bundled.py progan-streets64 --data-root DATA      # one
    python examples/train_bundled.py progan-streets64 --data-root DATA --only-card     # from the training so far

Each training writes ``generators/weights/NAME.safetensors``, ``docs/NAME.png`` and its tables in
``generators/cards.toml``. Rerun the command to continue a stopped training run; finished runs are not repeated.
"""

from __future__ import annotations

import json
import logging
import math
import platform
import re
import shutil
import sys
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import torch
import tyro
from bundled_models import CPU_MODELS, GPU_MODELS, Model

import generators
import segmenters
from apps.commands import sample, train_generator
from gandissect import Yardstick
from gandissect.core import lookup, resolve_device
from gandissect.core.pictures import load_pictures
from gandissect.fidelity.results import Fidelity
from gandissect.stats import Estimate
from gandissect.storage import atomic_path, load_tensors, read_json, sha256_file, write_text
from generators.hub import FORMAT, VERSION
from generators.training.families import FAMILIES
from generators.training.measured import NUM_MEASURED, measure_autoencoder
from generators.training.settings import TrainingSettings
from generators.training.variational import bound
from generators.training.variational_settings import VariationalSettings
from segmenters.datasets import open_pictures

ROOT = Path(__file__).parents[1]
MAX_BYTES = 16 * 10**6
METRICS = "metrics.jsonl"
SHARES = ("precision", "recall", "density", "coverage", "nearest_ratio")
SOME_CLASSES = tuple("0123456789")
"""Classes of a network whose size is estimated, if it has classes."""
LOGITS = ("logit_learned", "logit_held_out")
MEASURED = frozenset({"distance", "elbo"})
"""Figures of which a measured snapshot has at least one."""


@dataclass(frozen=True)
class Options:
    """Train the bundled generators, and write their weights, samples and cards.

    Args:
        names: Names of the models to train; all by default.
        data_root: Folder of the photographs, called DATA on the cards.
        gpu: Train at widths for a GPU, including the models of 128 px.
        only_card: Do not train; write the files from the training so far.
        hardware: Hardware to state on the card; by default this machine's GPU or CPU.
        device: Device to train on: auto, cpu, cuda or mps.
    """

    names: tyro.conf.Positional[tuple[str, ...]] = ()
    data_root: Path = Path("data")
    gpu: bool = False
    only_card: bool = False
    hardware: str | None = None
    device: str = "auto"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A snapshot of a run, with the metrics at that time and the duration of the entire run in seconds."""

    path: Path
    images_seen: int
    figures: Mapping[str, float]
    num_measured: int
    seconds: float

    @property
    def distance(self) -> float:
        """Distance from held-out pictures; infinite if it was not measured."""
        return self.figures.get("distance", math.inf)


def bundle(name: str, model: Model, options: Options, root: Path = ROOT) -> None:
    """Start or complete a model's training, and write its weights, samples and card.

    Args:
        name: Name of the model.
        model: Settings of the model.
        options: Command-line options; ``names`` and ``gpu`` are ignored here.
        root: Folder of the repository.

    Raises:
        ValueError: If the weights are too large to bundle, the run has other settings or has not reached its full
            resolution, or ``gandissect train generator`` raises it.
    """
    run = parse_training(model.arguments(name), options, root)
    check_fits(name, count_half_precision_bytes(run.settings))
    if not (options.only_card or is_finished(run)):
        run.run()
    check_settings(run)
    snapshot = choose_snapshot(run.out)
    fidelity = measure_fidelity(run, snapshot, model.pictures.segmenter)
    weights, cards = root / f"generators/weights/{name}.safetensors", root / "generators/cards.toml"
    check_fits(name, snapshot.path.stat().st_size)
    with atomic_path(weights, overwrite=True) as temporary:
        shutil.copyfile(snapshot.path, temporary)
    sample.Options(str(weights), root / f"docs/{name}.png", overwrite=True, device=run.device).run()
    entries: dict[str, str | int] = {"file": weights.name, "sha256": sha256_file(weights)}
    entries |= describe_training(name, model, run, snapshot, options.hardware or name_machine(run.device))
    figures = (
        describe_fidelity(fidelity)
        | describe_dcgan(name, cards)
        | describe_autoencoder(run, snapshot)
        | describe_choice(run, snapshot)
        | {"samples": f"docs/{name}.png"}
    )
    tables = format_table(name, entries) + "\n" + format_table(f"{name}.quality", figures)
    write_text(cards, replace_card(cards.read_text(encoding="utf-8"), name, tables), overwrite=True)
    print(f"{name}, {weights.stat().st_size / 1e6:.1f} MB\n{fidelity}")


def parse_training(arguments: str, options: Options, root: Path) -> train_generator.Options:
    """Return the options that ``gandissect train generator`` parses from these arguments."""
    data_root = str(options.data_root)
    words = [data_root + word.removeprefix("DATA") if word.startswith("DATA/") else word for word in arguments.split()]
    run = tyro.cli(train_generator.Options, args=words)
    return replace(run, out=root / run.out, device=options.device, resume=True)


def count_half_precision_bytes(settings: TrainingSettings) -> int:
    """Return the size of the weights of a generator and its encoder, if it has one, in half precision, in bytes."""
    builds = FAMILIES[settings.architecture].networks
    with torch.device("meta"):
        networks = [builds[name](settings, SOME_CLASSES) for name in ("generator", "encoder") if name in builds]
    weights = [value for network in networks for value in network.state_dict().values()]
    num_weights: int = sum(value.numel() for value in weights)
    return 2 * num_weights


def check_fits(name: str, num_bytes: int) -> None:
    """Check that weights are small enough to be bundled.

    Raises:
        ValueError: If they are too large; the message states the remedy.
    """
    if num_bytes > MAX_BYTES:
        raise ValueError(
            f"{name} must take at most {MAX_BYTES / 1e6:.0f} MB; got {num_bytes / 1e6:.1f} MB; reduce max_width "
            "(dcgan: width)"
        )


def is_finished(run: train_generator.Options) -> bool:
    """Return whether a run has reached the last step of its settings and was evaluated there."""
    lines = read_metrics(run.out) if (run.out / METRICS).exists() else []
    return any(MEASURED & line.keys() and line["step"] >= run.settings.num_steps for line in lines)


def check_settings(run: train_generator.Options) -> None:
    """Check that a run was trained with the settings that its card will state.

    Raises:
        FileNotFoundError: If there is no run.
        ValueError: If it has other settings.
    """
    settings = json.loads(json.dumps(asdict(run.settings)))
    older = {field.name: field.default for field in fields(run.settings)}  # settings newer than the run
    saved = json.loads(json.dumps(older)) | read_json(run.out / "settings.json")
    mismatch = sorted(key for key, value in settings.items() if saved.get(key) != value)
    if mismatch:
        raise ValueError(
            f"{run.out} was trained with different settings ({', '.join(mismatch)}); fix the table of models, or move "
            "the run elsewhere"
        )


def read_metrics(run: Path) -> list[dict[str, Any]]:
    """Return the entries of a run's ``metrics.jsonl``, except a line left incomplete when the run was killed."""
    lines = (run / METRICS).read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines if line.endswith("}")]


def choose_snapshot(run: Path) -> Snapshot:
    """Return the snapshot of a run with the smallest distance from held-out pictures, or else the last one.

    Raises:
        FileNotFoundError: If the run has no snapshot.
        ValueError: If a file is damaged.
    """
    lines = read_metrics(run)
    num_measured = sum("distance" in line for line in lines)
    snapshots: list[Snapshot] = []
    for path in (run / "generator.safetensors", run / "best.safetensors"):
        if path.exists() or not snapshots:
            images_seen = load_tensors(path, FORMAT, VERSION)[1]["facts"]["images_seen"]
            figures = {key: value for line in lines if line["images"] == images_seen for key, value in line.items()}
            snapshots.append(Snapshot(path, images_seen, figures, num_measured, lines[-1]["seconds"]))
    return min(snapshots, key=lambda snapshot: snapshot.distance)


def measure_fidelity(run: train_generator.Options, snapshot: Snapshot, segmenter: str) -> Fidelity:
    """Measure what ``gandissect fidelity`` reports with a segmenter.

    Raises:
        ValueError: If the snapshot's images are smaller than the run's final resolution.
    """
    generator, size = generators.load(snapshot.path, run.device), run.settings.resolution
    if generator.image_size[0] != size:
        raise ValueError(
            f"{snapshot.path} must make images of {size} px; got {generator.image_size[0]} px; continue the training"
        )
    train, held_out = open_pictures(run.data, size, run.hold_out)
    assert held_out is not None
    return Yardstick.of(segmenters.load(segmenter, run.device), train, held_out).measure(generator)


def describe_autoencoder(run: train_generator.Options, snapshot: Snapshot) -> dict[str, Any]:
    """Return the entries of a card about an autoencoder on held-out pictures; none for other generators."""
    if not isinstance(run.settings, VariationalSettings) or not generators.has_encoder(snapshot.path):
        return {}
    generator, encoder = generators.load(snapshot.path, run.device), generators.load_encoder(snapshot.path, run.device)
    _, held_out = open_pictures(run.data, run.settings.resolution, run.hold_out)
    assert held_out is not None
    pictures = load_pictures(held_out, NUM_MEASURED)
    measured = measure_autoencoder(generator, encoder, pictures, run.settings.seed, resolve_device(run.device))
    floor = bound(measured.mean_picture_mse, 0.0, pictures[0].numel()).nats
    figures = measured.figures | {"mean_picture_elbo": floor}
    return {key: round(value, 4) for key, value in figures.items()} | {
        "num_pictures": len(pictures),
        "about": "elbo and reconstruction_mse: on held-out pictures, in nats and in [-1, 1]; mean_picture: of a "
        "normal distribution around the mean picture, the floor; standard_divergence: from N(0, 1). Pixelwise errors "
        "blur, which alone keeps images far from real pictures (docs/results/autoencoders.md).",
    }


def describe_training(
    name: str, model: Model, run: train_generator.Options, snapshot: Snapshot, hardware: str
) -> dict[str, str | int]:
    """Return the entries of a card about a model's training."""
    settings, pictures, seconds = run.settings, model.pictures, snapshot.seconds
    units = f"{settings.width} units in the last layer"
    return {
        "family": model.title,
        "summary": f"{pictures.shows.capitalize()}, {settings.resolution} px: {model.title}, {units}.",
        "dataset": pictures.dataset,
        "command": f"gandissect train generator {model.arguments(name)}",
        "seed": settings.seed,
        "images_seen": snapshot.images_seen,
        "hardware": hardware,
        "duration": f"{seconds / 60:.0f} minutes" if seconds >= 120 else f"{seconds:.0f} seconds",
        "license": pictures.license,
    }


def describe_fidelity(fidelity: Fidelity) -> dict[str, Any]:
    """Return the entries of a card about fidelity, each next to its value for real training pictures."""
    return {
        "frechet_distance": round(fidelity.distance, 2),
        "frechet_distance_std": round(fidelity.distance_std, 2),
        "real_against_real": round(fidelity.floor, 2),
        "real_against_real_std": round(fidelity.floor_std, 2),
        **{
            share: _compare_with_real(getattr(fidelity.generated, share), getattr(fidelity.real, share))
            for share in SHARES
        },
        "features": f"encoder of {fidelity.network}, coarsest grid averaged, {fidelity.num_dims} random dimensions; "
        "not comparable with FID",
        "num_images": fidelity.num_images,
        "num_sets": fidelity.num_sets,
        "num_train": fidelity.num_train,
        "seed": fidelity.seed,
    }


def describe_dcgan(name: str, cards: Path) -> dict[str, str]:
    """Return the entry of a card that compares it with the DCGAN trained on the same pictures."""
    with cards.open("rb") as file:
        known = tomllib.load(file)
    other = "dcgan-" + name.partition("-")[2]
    if other == name or other not in known:
        return {}
    figures = known[other]["quality"]
    return {"beside": f"{other}: {figures['frechet_distance']} ± {figures['frechet_distance_std']}"}


def _compare_with_real(generated: Estimate, real: Estimate) -> dict[str, float]:
    figures = {"mean": generated.mean, "std": generated.std, "real": real.mean, "real_std": real.std}
    return {key: round(value, 3) for key, value in figures.items()}


def describe_choice(run: train_generator.Options, snapshot: Snapshot) -> dict[str, Any]:
    """Return the entries of a card about overfitting and the choice of the snapshot."""
    own = {key: round(snapshot.figures[key], 3) for key in LOGITS if key in snapshot.figures}
    seen, images = snapshot.images_seen, run.settings.images
    count = snapshot.num_measured
    reason = f"the nearest of {count} to the held-out pictures" if count else "the last"
    return {**own, "snapshot": f"at {seen:,} of {images:,} images, {reason}"}


def name_machine(device: str) -> str:
    """Return the name of the GPU, or of the CPU with its number of threads."""
    if (resolved := resolve_device(device)).type == "cuda":
        return torch.cuda.get_device_name(resolved)
    cpuinfo = Path("/proc/cpuinfo")
    text = cpuinfo.read_text(encoding="utf-8") if cpuinfo.exists() else ""
    model = re.search(r"^model name\s*: (.*)$", text, re.MULTILINE)
    return f"{torch.get_num_threads()} threads of {model[1] if model else platform.machine()}, no GPU"


def format_table(name: str, entries: Mapping[str, Any]) -> str:
    """Return a TOML table."""
    return "".join([f"[{name}]\n", *(f"{key} = {_format_value(value)}\n" for key, value in entries.items())])


def _format_value(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {_format_value(entry)}" for key, entry in value.items()) + " }"
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


def replace_card(text: str, name: str, tables: str) -> str:
    """Return ``cards.toml`` with the tables of one card replaced in place, or appended."""
    start = rf"^\[{re.escape(name)}[.\]]"
    own = re.compile(rf"{start}.*?(?=^\[(?!{re.escape(name)}[.\]])|\Z)", re.DOTALL | re.MULTILINE)
    if not (match := own.search(text)):
        return f"{text.rstrip()}\n\n{tables}"
    after = text[match.end() :]
    return text[: match.start()] + tables + ("\n" + after if after else "")


def main(options: Options) -> int:
    """Train and bundle the models one after the other, and return the number that failed."""
    models = GPU_MODELS if options.gpu else CPU_MODELS
    chosen = {name: lookup(models, name, "model") for name in options.names or models}
    failed = []
    for name, model in chosen.items():
        try:
            bundle(name, model, options)
        except Exception:  # continue with the others, since time on the machine may be limited
            logging.exception("%s failed", name)
            failed.append(name)
    num_done = len(chosen) - len(failed)
    print(f"{num_done} of {len(chosen)} models bundled" + "".join(f"; {name} failed" for name in failed))
    return len(failed)


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    sys.exit(main(tyro.cli(Options, description=__doc__)) > 0)
