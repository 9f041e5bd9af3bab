"""A cache of label maps, so that no image of a dissection is segmented twice."""

from __future__ import annotations

import zlib
from contextlib import suppress
from tempfile import TemporaryFile, gettempdir
from typing import Self

import numpy as np
import torch
from jaxtyping import Int64
from torch import Tensor

FEW_CONCEPTS = 127
"""Maximum number of concepts whose indices fit in one byte; the indices of all others fit in two."""


class LabelMapCache:
    """Compressed label maps of blocks of samples in a temporary file, which is deleted when the context exits.

    Memory hardly grows with the number of samples; smooth maps take a few hundred bytes per sample on disk.

    Args:
        shape: Channels, rows and columns of a label map.
        num_concepts: Number of concepts, at most 32767.
    """

    def __init__(self, shape: tuple[int, int, int], num_concepts: int) -> None:
        self.shape, self.dtype = shape, np.int8 if num_concepts <= FEW_CONCEPTS else np.int16
        self._file = TemporaryFile(prefix="gandissect-")  # noqa: SIM115 - closed at the end of the context
        self._places: dict[range, tuple[int, int]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):  # a full disk, which `add` has already reported
            self._file.close()

    def add(self, samples: range, labels: Int64[Tensor, "batch channel H W"]) -> None:
        """Store the label maps of a block of samples, int64 ``[batch, channel, H, W]``."""
        packed = zlib.compress(labels.cpu().numpy().astype(self.dtype).tobytes(), level=1)
        self._places[samples] = (self._file.seek(0, 2), len(packed))
        try:
            self._file.write(packed)
            self._file.flush()
        except OSError as error:  # a full disk; name the folder, since the file has no name
            raise OSError(error.errno, error.strerror, gettempdir()) from error

    def holds(self, samples: range) -> bool:
        """Return whether the cache holds the label maps of all of these samples."""
        return sum(len(block) for block in self._places) == len(samples)

    def labels(self, samples: range) -> Int64[Tensor, "batch channel H W"]:
        """Return the label maps of a block of samples, int64 ``[batch, channel, H, W]``, on CPU.

        Raises:
            KeyError: If this block was not added.
        """
        start, length = self._places[samples]
        self._file.seek(start)
        maps = np.frombuffer(zlib.decompress(self._file.read(length)), self.dtype)
        return torch.from_numpy(maps.reshape(len(samples), *self.shape).astype(np.int64))
