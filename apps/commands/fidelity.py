"""``gandissect fidelity``."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from gandissect import Inception, Segmenter, Yardstick

from ..networks import Model, load_generator, load_segmenter
from ..real_pictures import open_with_held_out


@dataclass(frozen=True)
class Options:
    """Measure the distance of a generator's images from held-out real pictures, and check for copies of training ones.

    Each value is accompanied by a baseline, with training pictures in place of generated images.

    Args:
        generator: Generator: a bundled name, a .safetensors file, or a training folder (its best.safetensors if
            present, else generator.safetensors).
        data: Training pictures of the generator, one or more of scenes, scenes:COUNT, FOLDER, or FOLDER@SPLIT (those
            listed in FOLDER/SPLIT.txt).
        segmenter: Segmenter whose encoder's features are compared: a bundled name, a .safetensors file, or a training
            folder.
        inception_weights: Weights of FID's Inception network, to compare its features instead (torch-fidelity's
            weights-inception-2015-12-05-6726825d.pth; nothing is downloaded). The distances are then FID and KID.
        inputs: Pictures that a translator is put on, one or more of scenes, scenes:COUNT, FOLDER, FOLDER@SPLIT, or
            edges: or labels: and one of these; sample i is picture i.
        hold_out: Share of each folder without @SPLIT that was held out from training.
        skip_broken: Skip unusable pictures, with a warning that names them.
        seed: Seed of the generated images.
        num_sets: Number of sets of generated images, each as large as the held-out set.
        device: Device to compute on: auto, cpu, cuda or mps.
        json: Print the results as JSON.
    """

    generator: Model
    data: tuple[str, ...]
    segmenter: str | None = None
    inception_weights: Path | None = None
    inputs: tuple[str, ...] = ()
    hold_out: float = 0.05
    skip_broken: bool = False
    seed: int = 0
    num_sets: int = 5
    device: str = "auto"
    json: bool = False

    def run(self) -> None:
        """Print each value and its real-against-real baseline."""
        if self.num_sets < 2:
            raise ValueError(f"num_sets must be at least 2; got {self.num_sets}")
        generator = load_generator(self.generator, self.device, inputs=self.inputs)
        network = self._load_network()
        train, held_out = open_with_held_out(
            self.data, generator.image_size[0], self.hold_out, skip_broken=self.skip_broken
        )
        fidelity = Yardstick.of(network, train, held_out).measure(generator, self.seed, self.num_sets)
        print(json.dumps(asdict(fidelity)) if self.json else fidelity)

    def _load_network(self) -> Segmenter | Inception:
        if self.segmenter is not None and self.inception_weights is None:
            return load_segmenter(self.segmenter, self.device)
        if self.segmenter is None and self.inception_weights is not None:
            return Inception(self.inception_weights, self.device)
        count = "neither" if self.segmenter is None else "both"
        raise ValueError(
            f"either --segmenter or --inception-weights must name the network whose features are compared; got {count}"
        )
