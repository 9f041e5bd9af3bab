"""What ``examples/draw_digits.py`` writes is read as the samples of the generator."""

from __future__ import annotations

from pathlib import Path

import draw_digits
import pytest
import torch

from generators import ConditionalDCGAN
from segmenters.datasets import IdxPictures


def test_the_files_hold_samples_and_their_classes_and_are_the_same_each_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(draw_digits, "NUM_DIGITS", 7)
    digits = ConditionalDCGAN(16, 4, 3, ("0", "1", "2"), gray=True).eval()
    monkeypatch.setattr(draw_digits.generators, "load", lambda *_: digits)
    for name in ("a", "b"):
        draw_digits.draw_digits(tmp_path / name)
    written = [{path.name: path.read_bytes() for path in (tmp_path / name).iterdir()} for name in ("a", "b")]
    assert written[0] == written[1]
    source = IdxPictures(tmp_path / "a", 16)
    classes = torch.tensor([0, 1, 2, 0, 1, 2, 0])
    assert torch.equal(source.class_indices, classes)
    with torch.inference_mode():
        images = digits(digits.sample_z(7, 0, classes=classes))
    assert source.batch(range(7)).images.sub((images + 1) * 127.5).abs().max() <= 0.51
