"""Label maps kept aside while a dissection counts, so that no picture is segmented twice."""

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
"""So many have indices that fit in a byte; there are never more than fit in two."""


class LabelMapCache:
    """Label maps of blocks of samples, compressed, in a temporary file; a context at whose end it is gone.

    Memory hardly grows with their number, and the disk holds some hundred bytes a sample where the maps are smooth.

    Args:
        shape: Channels, rows and columns of a label map.
        num_concepts: Concepts, at most 32767.
    """

    def __init__(self, shape: tuple[int, int, int], num_concepts: int) -> None:
        self.shape, self.dtype = shape, np.int8 if num_concepts <= FEW_CONCEPTS else np.int16
        self._file = TemporaryFile(prefix="gandissect-")  # noqa: SIM115 - closed at the end of the context
        self._places: dict[range, tuple[int, int]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):  # of a full disk, which was named before
            self._file.close()

    def add(self, samples: range, labels: Int64[Tensor, "batch channel H W"]) -> None:
        """Keep a block's label maps, int64 ``[batch, channel, H, W]``."""
        packed = zlib.compress(labels.cpu().numpy().astype(self.dtype).tobytes(), level=1)
        self._places[samples] = (self._file.seek(0, 2), len(packed))
        try:
            self._file.write(packed)
            self._file.flush()
        except OSError as error:  # of a full disk; the file has no name
            raise OSError(error.errno, error.strerror, gettempdir()) from error

    def holds(self, samples: range) -> bool:
        """Tell whether label maps of all of some samples are kept."""
        return sum(len(block) for block in self._places) == len(samples)

    def labels(self, samples: range) -> Int64[Tensor, "batch channel H W"]:
        """Return the label maps of a block that was added, int64 ``[batch, channel, H, W]``, on CPU.

        Raises:
            KeyError: If it was not.
        """
        start, length = self._places[samples]
        self._file.seek(start)
        maps = np.frombuffer(zlib.decompress(self._file.read(length)), self.dtype)
        return torch.from_numpy(maps.reshape(len(samples), *self.shape).astype(np.int64))
