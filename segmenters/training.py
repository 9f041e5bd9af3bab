"""Train a segmenter; every random draw is a function of (seed, step)."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal

import torch
from jaxtyping import Float32, Int64
from torch import Tensor

from gandissect.core.defaults import plain_defaults
from gandissect.core.environment import resolve_device
from gandissect.core.images import from_uint8
from gandissect.core.lookup import check_choice
from gandissect.core.ranges import POSITIVE, Range, check_number, check_settings
from gandissect.core.sampling import derive_seed, make_rng
from gandissect.storage import runs

from .augmentation import Augmentation, augment
from .datasets.combining import groups_of, require_labels
from .datasets.source import ImageSource
from .evaluation import evaluate
from .hub import LAST
from .images import image_size, resize
from .losses import concept_weights, segmentation_loss
from .pictures import save_grid
from .unet import UNetArchitecture, UNetSegmenter, build_network, network_size, read_architecture

Precision = Literal["bfloat16", "float32"]


@dataclass(frozen=True, slots=True)
class SegmenterSettings:
    """Settings that, together with the pictures, define a training run.

    Args:
        num_steps: Total number of steps, which the learning rate's schedule spans.
        batch_size: Number of pictures per step.
        seed: Seed of the initial weights, the order of the pictures and their augmentation.
        learning_rate: Peak learning rate of AdamW.
        warmup: Share of the steps in which the learning rate rises from 0; then it falls to 0 along a cosine.
        weight_decay: Weight decay of AdamW, except for norms and biases.
        dice_weight: Weight of the Dice loss, which is added to the cross-entropy.
        balance: Exponent of the inverse frequency that weights a concept in the cross-entropy; 0 weights all pixels
            equally, 1 all concepts.
        ema_half_life: Half-life of the averaged weights, which are the ones saved, in images.
        precision: Precision of the computation: bfloat16 (mixed precision) or float32.
        architecture: Architecture of the network.
        augmentation: Random augmentation of the training pictures.
    """

    num_steps: int = 6000
    batch_size: int = 16
    seed: int = 0
    learning_rate: float = 2e-3
    warmup: float = 0.05
    weight_decay: float = 0.02
    dice_weight: float = 0.5
    balance: float = 0.3
    ema_half_life: float = 4000.0
    precision: Precision = "bfloat16"
    architecture: UNetArchitecture = field(default_factory=UNetArchitecture)
    augmentation: Augmentation = field(default_factory=Augmentation)

    def __post_init__(self) -> None:
        check_settings(self, _RANGES)
        check_choice(self.precision, Precision, "precision (--precision)")
        for name, kind in (("architecture", UNetArchitecture), ("augmentation", Augmentation)):
            if not isinstance(getattr(self, name), kind):
                raise TypeError(f"{name} must be of class {kind.__name__}; got {getattr(self, name)!r}")

    def to_json(self) -> dict[str, Any]:
        """Return the settings as JSON values."""
        values = asdict(self)
        values["architecture"]["decoder_channels"] = list(self.architecture.decoder_channels)
        return values

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> SegmenterSettings:
        """Return settings from the JSON values that `to_json` returned.

        Args:
            values: JSON values of the settings.

        Raises:
            ValueError: If an entry is missing, unknown or out of range.
        """
        try:
            architecture = read_architecture(values["architecture"])
            return cls(
                **{**values, "architecture": architecture, "augmentation": Augmentation(**values["augmentation"])}
            )
        except (KeyError, TypeError) as error:
            raise ValueError(f"values must be the settings of a segmenter's training: {error}") from error


_RANGES = {
    "num_steps": POSITIVE,
    "batch_size": Range(2, whole=True),
    "seed": Range(whole=True),
    "learning_rate": Range(0, 1, above=True),
    "warmup": Range(0, 1, below=True),
    "weight_decay": Range(0),
    "dice_weight": Range(0),
    "balance": Range(0),
    "ema_half_life": Range(0, above=True),
}


def learning_rate(settings: SegmenterSettings, step: int) -> float:
    """Return the learning rate of a step: linear warmup, then a cosine decay to 0."""
    num_warmup = max(1, round(settings.warmup * settings.num_steps))
    if step < num_warmup:
        return settings.learning_rate * (step + 1) / num_warmup
    share = (step - num_warmup) / max(1, settings.num_steps - num_warmup)
    return settings.learning_rate * 0.5 * (1 + math.cos(math.pi * min(1.0, share)))


class SegmenterTraining:
    """Training task for `runs.train`: step ``i`` depends only on the state and on ``(seed, i)``.

    Args:
        settings: Training settings.
        sources: Labeled training pictures with the same concepts; consecutive steps cycle through the sources.
        held_out: Labeled pictures to evaluate snapshots on.
        device: Device to compute on.
    """

    def __init__(
        self,
        settings: SegmenterSettings,
        sources: Sequence[ImageSource],
        held_out: ImageSource,
        device: str = "auto",
    ) -> None:
        _check_sources(sources, held_out)
        self.settings, self.sources, self.held_out = settings, tuple(sources), held_out
        self.images_per_step = settings.batch_size
        self.device = resolve_device(device)
        with plain_defaults(), torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive_seed(settings.seed, "weights"))
            network = build_network(settings.architecture, len(held_out.concepts))
        self.network = network.to(self.device).to(memory_format=torch.channels_last).train()
        self.average = copy.deepcopy(self.network)
        self._weights = concept_weights(sources, settings.balance).to(self.device)
        self._optimizer = torch.optim.AdamW(_parameter_groups(self.network, settings.weight_decay))

    def step(self, index: int) -> dict[str, float]:
        """Train on one batch."""
        settings = self.settings
        for group in self._optimizer.param_groups:
            group["lr"] = learning_rate(settings, index)
        source = self.sources[index % len(self.sources)]
        images, labels = self._batch(source, index)
        logits = resize(self._forward(images), image_size(labels))
        cross_entropy, dice = segmentation_loss(logits, labels, groups_of(source), self._weights, settings.dice_weight)
        self._optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(cross_entropy + dice)
        norm = torch.nn.utils.clip_grad_norm_(self.network.parameters(), 5.0)
        self._optimizer.step()
        decay = runs.ema_decay(settings.ema_half_life, settings.batch_size)
        runs.update_ema(self.average, self.network, min(decay, (1 + index) / (10 + index)))
        return {"cross_entropy": cross_entropy.item(), "dice": dice.item(), "gradient_norm": norm.item()}

    def build_segmenter(self, name: str = "unet") -> UNetSegmenter:
        """Return a segmenter with a copy of the averaged weights."""
        return UNetSegmenter(
            copy.deepcopy(self.average), self.settings.architecture, self.held_out.concepts, name, str(self.device)
        )

    def snapshot(self, folder: Path, images_seen: int) -> dict[str, float]:
        """Evaluate, and write ``segmenter.safetensors`` and a grid of held-out pictures with predictions."""
        segmenter = self.build_segmenter(folder.name)
        evaluation = evaluate(segmenter, self.held_out, max_images=256)
        training = self._describe(images_seen) | {"held_out": evaluation.record()}
        segmenter.save(folder / LAST, training, overwrite=True)
        save_grid(folder / f"grid-{images_seen:09d}.png", segmenter, self.held_out, overwrite=True)
        return {"mean_iou": evaluation.mean_iou, "accuracy": evaluation.accuracy}

    def export(self, folder: Path, images_seen: int) -> None:
        """Write ``segmenter.safetensors``."""
        self.build_segmenter(folder.name).save(folder / LAST, self._describe(images_seen), overwrite=True)

    def _describe(self, images_seen: int) -> dict[str, Any]:
        return {"settings": self.settings.to_json(), "images_seen": images_seen}

    def state_dict(self) -> dict[str, Any]:
        """Return the complete state that the next step depends on."""
        return {
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self._optimizer.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore a state that `state_dict` returned."""
        self.network.load_state_dict(state["network"])
        self.average.load_state_dict(state["average"])
        self._optimizer.load_state_dict(state["optimizer"])

    def _batch(
        self, source: ImageSource, index: int
    ) -> tuple[Float32[Tensor, "batch 3 H W"], Int64[Tensor, "batch H W"]]:
        turn = index // len(self.sources)
        batch = source.batch(
            sample_order(len(source), turn * self.images_per_step, self.images_per_step, self.settings.seed),
            make_rng(self.settings.seed, "view", index),
        )
        labels = require_labels(source, batch)
        size = min(source.size, self.settings.architecture.input_size or source.size)
        rng = make_rng(self.settings.seed, "augment", index)
        images, labels = augment(from_uint8(batch.images), labels, size, self.settings.augmentation, rng)
        return images.to(self.device), labels.to(self.device)

    def _forward(self, images: Float32[Tensor, "batch 3 H W"]) -> Float32[Tensor, "batch concept h w"]:
        size = network_size(image_size(images), self.settings.architecture)
        ready = resize(images, size).contiguous(memory_format=torch.channels_last)
        mixed = self.settings.precision == "bfloat16"
        with torch.autocast(self.device.type, torch.bfloat16, enabled=mixed):
            logits: Tensor = self.network(ready)
        return logits.float()


def sample_order(length: int, start: int, count: int, seed: int) -> list[int]:
    """Return the pictures of the draws ``start .. start + count - 1``, in a new permutation each epoch."""
    order: list[int] = []
    for epoch in range(start // length, (start + count - 1) // length + 1):
        permutation = torch.randperm(length, generator=make_rng(seed, "order", epoch), device="cpu").tolist()
        first = max(0, start - epoch * length)
        order += permutation[first : start + count - epoch * length]
    return order


@torch.inference_mode(False)
@torch.enable_grad()
def train_segmenter(
    settings: SegmenterSettings,
    sources: Sequence[ImageSource],
    held_out: ImageSource,
    folder: Path | str,
    *,
    device: str = "auto",
    snapshot_every: int = 1000,
    checkpoint_every: int = 250,
    resume: bool = True,
) -> Path:
    """Train a segmenter, or continue the training in ``folder``.

    Args:
        settings: Training settings.
        sources: Labeled training pictures with the same concepts; consecutive steps cycle through the sources.
        held_out: Labeled pictures with the same concepts, never trained on, to evaluate snapshots on.
        folder: Folder of the run; created if missing.
        device: Device to compute on; ``"auto"`` prefers CUDA, then MPS.
        snapshot_every: Number of steps between evaluations; each writes ``segmenter.safetensors`` and a grid.
        checkpoint_every: Number of steps between checkpoints.
        resume: Continue from the folder's checkpoint, if any; if False, a folder with a checkpoint raises.

    Returns:
        Path of the trained ``segmenter.safetensors``.

    Raises:
        TypeError: If the settings or the sources are of the wrong type.
        ValueError: If the sources' concepts differ, or the folder holds another run or one with other pictures.
        FloatingPointError: If the training diverges.
    """
    _check_types(settings, sources, held_out)
    check_number("snapshot_every (--snapshot-every)", snapshot_every, POSITIVE)
    check_number("checkpoint_every (--checkpoint-every)", checkpoint_every, POSITIVE)
    task = SegmenterTraining(settings, sources, held_out, device)
    identity = _identify(settings, sources, held_out)
    run = runs.train(
        task,
        folder,
        identity,
        num_steps=settings.num_steps,
        snapshot_every=snapshot_every,
        checkpoint_every=checkpoint_every,
        resume=resume,
        adopt=partial(_adopt, identity),
    )
    return run / LAST


def _identify(settings: SegmenterSettings, sources: Sequence[ImageSource], held_out: ImageSource) -> dict[str, Any]:
    """Return the JSON values that identify a training run."""
    return {
        "settings": settings.to_json(),
        "sources": [source.name for source in sources],
        "held_out": held_out.name,
        "pictures": [len(source) for source in sources],
        "sizes": [source.size for source in sources],
        "held_out_pictures": len(held_out),
        "concepts": [concept.name for concept in held_out.concepts],
    }


RECORDED_LATER = ("pictures", "sizes", "held_out_pictures", "concepts")
"""Entries about pictures that runs of version 0.1 did not record."""


def _adopt(identity: dict[str, Any], saved: dict[str, Any], _steps_done: int) -> dict[str, Any]:
    """Return a saved run's identity, completed with the entries that were not recorded.

    Raises:
        ValueError: If the runs differ only in the number of steps.
    """
    saved = {name: identity[name] for name in RECORDED_LATER} | saved
    old, new = saved.get("settings"), identity["settings"]
    if isinstance(old, dict) and saved | {"settings": old | {"num_steps": new["num_steps"]}} == identity != saved:
        raise ValueError(
            f"a training run of {old.get('num_steps')} steps cannot continue with {new['num_steps']}, since its "
            "learning rate follows a cosine that spans num_steps (--num-steps); train in another folder (--out)"
        )
    return saved


def _check_types(settings: object, sources: object, held_out: object) -> None:
    if not isinstance(settings, SegmenterSettings):
        raise TypeError(f"settings must be SegmenterSettings; got {settings!r}")
    if not isinstance(sources, Sequence) or not all(isinstance(source, ImageSource) for source in sources):
        raise TypeError(f"sources must be a list of {_LABELED}; got {sources!r}")
    if not isinstance(held_out, ImageSource):
        raise TypeError(f"held_out must be {_LABELED}; got {held_out!r}")


_LABELED = "labeled pictures, such as segmenters.datasets.open_source(FOLDER, 160)"


def _check_sources(sources: Sequence[ImageSource], held_out: ImageSource) -> None:
    if not sources:
        raise ValueError("a training run needs at least one source of labeled pictures")
    for source in sources:
        if source.concepts != held_out.concepts or not source.concepts:
            raise ValueError(
                f"{source.name} and {held_out.name} must have the same concepts, at least one; remap one of them"
            )


def _parameter_groups(network: torch.nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Return AdamW's parameter groups, which exempt norms and biases from weight decay."""
    decayed = [p for p in network.parameters() if p.ndim > 1]
    others = [p for p in network.parameters() if p.ndim <= 1]
    return [{"params": decayed, "weight_decay": weight_decay}, {"params": others, "weight_decay": 0.0}]
