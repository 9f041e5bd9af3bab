"""Pictures of points in the plane, generated and real."""

from __future__ import annotations

from pathlib import Path

import torch

from gandissect.core.protocols import PictureSource
from gandissect.storage.files import atomic_path

from ..architectures.base import LayeredGenerator

NUM_POINTS = 2_500


def draw_points(generator: LayeredGenerator, source: PictureSource, path: Path) -> None:
    """Draw generated points over real ones, and write the picture as PNG.

    Args:
        generator: Generator of points: images of one pixel, whose first two channels are x and y.
        source: Real points.
        path: File to write.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    count = min(NUM_POINTS, len(source))
    real = source.batch(range(count)).images[:, :2, 0, 0]
    with torch.inference_mode():
        fake = generator(generator.sample_z(NUM_POINTS, seed=1))[:, :2, 0, 0].cpu()
    figure = Figure(figsize=(4, 4), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.scatter(real[:, 0].numpy(), real[:, 1].numpy(), s=4, color="0.8", linewidths=0, label="real")
    axes.scatter(fake[:, 0].numpy(), fake[:, 1].numpy(), s=2, color="tab:red", linewidths=0, label="generated")
    bound = 1.3 * float(real.abs().max())
    axes.set(xlim=(-bound, bound), ylim=(-bound, bound), aspect="equal")
    axes.legend(loc="upper right", markerscale=3)
    with atomic_path(path, overwrite=True) as temporary:
        figure.savefig(temporary, format="png")
