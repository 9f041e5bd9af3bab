"""Draw the digits that the explorer translates with unit-digits32: samples of cgan-digits32, as a pair of idx files.

    python examples/draw_digits.py apps/explorer/bundled/digits

Real digits do not ship with the toolkit, and these look like the MNIST digits that both generators learned from.
"""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import numpy as np
import torch
import tyro

import generators
from gandissect.core.images import to_uint8
from gandissect.storage.files import atomic_path
from segmenters.datasets.idx import IMAGES, LABELS

NUM_DIGITS, SEED = 300, 0


def write_idx(path: Path, array: np.ndarray) -> None:
    """Write an array of bytes as a compressed idx file."""
    with atomic_path(path) as part:
        head = bytes((0, 0, 8, array.ndim)) + struct.pack(f">{array.ndim}I", *array.shape)
        part.write_bytes(gzip.compress(head + array.tobytes(), mtime=0))


@torch.inference_mode()
def draw_digits(folder: tyro.conf.Positional[Path], generator: str = "cgan-digits32") -> None:
    """Write as many samples of each class, in turn.

    Args:
        folder: Folder of the two files.
        generator: Bundled name, file or training folder of a generator of digits by class.
    """
    digits = generators.load(generator, "cpu")
    assert isinstance(digits, generators.ConditionalGenerator)
    classes = torch.arange(NUM_DIGITS) % len(digits.classes)
    images = torch.cat([digits(z) for z in digits.sample_z(NUM_DIGITS, SEED, classes=classes).split(50)])
    folder.mkdir(parents=True, exist_ok=True)
    write_idx(folder / f"samples{IMAGES}.gz", to_uint8(images)[:, 0].numpy())
    write_idx(folder / f"samples{LABELS}.gz", classes.numpy().astype(np.uint8))


if __name__ == "__main__":
    tyro.cli(draw_digits, description=__doc__)
