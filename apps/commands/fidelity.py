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
    """Measure how far a generator's pictures are from held-out real ones, and whether it copies what it learned from.

    Each figure has beside it that of training pictures in the place of generated ones.

    Args:
        generator: A bundled name, the path of a .safetensors file, or the folder of a training (best.safetensors in it
            if it is there, else generator.safetensors).
        data: The pictures that the generator learned from, each scenes, scenes:COUNT, FOLDER or FOLDER@SPLIT (those
            that FOLDER/SPLIT.txt names).
        segmenter: Whose encoder's features are compared: a bundled name, the path of a .safetensors file, or the folder
            of a training.
        inception_weights: Compare the features of FID's Inception network instead, with the weights in this file
            (torch-fidelity's weights-inception-2015-12-05-6726825d.pth; nothing is downloaded). The distances are FID
            and KID then.
        hold_out: Share of each folder without @SPLIT that was kept to judge by.
        skip_broken: Leave out the pictures of a folder that cannot be used, with a warning that names them.
        seed: Seed of the generated pictures.
        num_sets: Sets of generated pictures, each as large as the held-out one.
        device: auto, cpu, cuda or mps.
        json: Print the figures as JSON.
    """

    generator: Model
    data: tuple[str, ...]
    segmenter: str | None = None
    inception_weights: Path | None = None
    hold_out: float = 0.05
    skip_broken: bool = False
    seed: int = 0
    num_sets: int = 5
    device: str = "auto"
    json: bool = False

    def run(self) -> None:
        """Print each figure and its real-against-real value."""
        if self.num_sets < 2:
            raise ValueError(f"num_sets must be 2 or more; got {self.num_sets}")
        generator = load_generator(self.generator, self.device)
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
            f"name the network whose features are compared, either --segmenter or --inception-weights; got {count}"
        )
