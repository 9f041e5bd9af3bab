"""Uploaded pictures: received within limits, cropped and resized; independent of Streamlit."""

from __future__ import annotations

import hashlib
import threading
from dataclasses import dataclass

from jaxtyping import Float32
from torch import Tensor

from segmenters.datasets import read_image
from segmenters.datasets.decoding import SENT_FORMATS

MAX_MEGABYTES = 20
"""Maximum size of an uploaded file, in MB."""

_ENDINGS = {"JPEG": ("jpg", "jpeg"), "PNG": ("png",), "WEBP": ("webp",)}
ENDINGS = [ending for kind in SENT_FORMATS for ending in _ENDINGS[kind]]
"""Endings of the names of pictures that may be uploaded."""

_ONE_AT_A_TIME = threading.Lock()  # decoding a large picture takes hundreds of megabytes


@dataclass(frozen=True, slots=True)
class Upload:
    """An uploaded picture.

    Args:
        data: Bytes of the file.
        digest: SHA-256 of the bytes, which identifies the picture.
    """

    data: bytes
    digest: str


def receive(data: bytes) -> Upload:
    """Wrap the bytes of an uploaded file.

    Raises:
        ValueError: If the file is too large.
    """
    if len(data) > MAX_MEGABYTES * 2**20:
        raise ValueError(f"the file must have at most {MAX_MEGABYTES} MB; got {len(data) / 2**20:.1f} MB")
    return Upload(data, hashlib.sha256(data).hexdigest())


def decode_upload(upload: Upload, size: int) -> Float32[Tensor, "3 size size"] | str:
    """Return an uploaded picture cropped and resized, ``[3, size, size]``, or the reason why it cannot be read."""
    with _ONE_AT_A_TIME:
        try:
            return read_image(upload.data, size)
        except ValueError as error:
            return str(error)
