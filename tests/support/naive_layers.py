"""Convolutions and norms in float64, position by position, for forward passes that are written from papers."""

from __future__ import annotations

import numpy as np


def conv(x: np.ndarray, weight: np.ndarray, bias: np.ndarray | None, stride: int, pad: int) -> np.ndarray:
    """Return a convolution with zero padding."""
    x = np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)))
    side = weight.shape[2]
    rows, columns = ((length - side) // stride + 1 for length in x.shape[2:])
    out = np.zeros((len(x), len(weight), rows, columns))
    for i in range(rows):
        for j in range(columns):
            window = x[:, :, stride * i : stride * i + side, stride * j : stride * j + side]
            out[:, :, i, j] = np.tensordot(window, weight, ([1, 2, 3], [1, 2, 3]))
    return out if bias is None else out + bias[:, None, None]


def up(x: np.ndarray, weight: np.ndarray, bias: np.ndarray | None, crop: int, more: int) -> np.ndarray:
    """Return a transposed convolution of stride 2: each position adds its kernel to the output, which is cropped."""
    side, (height, width) = weight.shape[2], x.shape[2:]
    out = np.zeros((len(x), weight.shape[1], 2 * (height - 1) + side + more, 2 * (width - 1) + side + more))
    for i in range(height):
        for j in range(width):
            out[:, :, 2 * i : 2 * i + side, 2 * j : 2 * j + side] += np.tensordot(x[:, :, i, j], weight, (1, 0))
    out = out[:, :, crop : out.shape[2] - crop, crop : out.shape[3] - crop]
    return out if bias is None else out + bias[:, None, None]


def instance_norm(x: np.ndarray) -> np.ndarray:
    """Return each map of each image with mean 0 and variance 1."""
    return (x - x.mean((2, 3), keepdims=True)) / np.sqrt(x.var((2, 3), keepdims=True) + 1e-5)


def reflect(x: np.ndarray, pad: int) -> np.ndarray:
    """Return maps that are mirrored at their borders."""
    return np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)), mode="reflect")
