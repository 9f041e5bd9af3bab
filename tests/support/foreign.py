"""What tests of foreign layouts share: random tensors, and the checks that every imported network must pass."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import generators
from generators.importers.layouts import Layout


class Draw:
    """Random tensors of one seed, standard normal unless said otherwise."""

    def __init__(self, seed: int) -> None:
        self._rng = torch.Generator().manual_seed(seed)

    def normal(self, *shape: int, scale: float = 1.0, mean: float = 0.0) -> Tensor:
        return torch.randn(shape, generator=self._rng) * scale + mean

    def positive(self, *shape: int) -> Tensor:
        return torch.rand(shape, generator=self._rng) * 1.5 + 0.5

    def norm(self, name: str, units: int) -> dict[str, Tensor]:
        """The tensors of a batch normalization in eval mode."""
        return {
            f"{name}.weight": self.normal(units, scale=0.2, mean=1),
            f"{name}.bias": self.normal(units, scale=0.2),
            f"{name}.running_mean": self.normal(units, scale=0.3),
            f"{name}.running_var": self.positive(units),
            f"{name}.num_batches_tracked": torch.tensor(77),
        }


def doubles(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: value.double() for name, value in tensors.items()}


def built(layout: Layout, tensors: Mapping[str, Tensor], facts: Any = None, options: Any = None) -> Any:
    """The generator, after the layout has said that the tensors are its own."""
    fit = layout.fit(tensors, facts or {})
    assert fit.is_whole, fit
    generator = layout.build(tensors, facts or {}, options or {})
    assert fit.settings["architecture"] == generator.architecture
    assert fit.settings["z_dim"] == generator.noise_dim
    assert fit.settings.get("classes", 0) == len(generator.classes)
    return generator


def assert_agree(images: Tensor, wanted: Tensor, tolerance: float = 1e-5) -> None:
    """Float32 images are those of float64 to 1e-5 of the largest number (of 1, if that is less)."""
    assert images.dtype == torch.float32
    assert wanted.dtype == torch.float64
    assert images.shape == wanted.shape
    assert wanted.std() > 0.02, "an image that is nearly constant proves nothing"
    assert (images - wanted).abs().max() <= tolerance * max(1.0, float(wanted.abs().max()))


def assert_contract(generator: Any, tmp_path: Path) -> None:
    """Every layer can be cut at, and a saved one is loaded again as it was, to half precision."""
    z = generator.sample_z(2, seed=5)
    image = generator(z)
    assert image.shape == (2, 3, *generator.image_size)
    for layer in generator.layers:
        assert torch.equal(generator.tail(generator.head(z, layer), layer, z), image)
    generators.save(generator, tmp_path / "imported.safetensors", overwrite=True)
    again = generators.load(tmp_path / "imported.safetensors", device="cpu")
    assert again.settings == generator.settings
    for name, value in generator.state_dict().items():
        torch.testing.assert_close(again.state_dict()[name], value, rtol=1e-3, atol=1e-6)


def assert_says(layout: Layout, tensors: Mapping[str, Tensor], words: Iterable[str], **options: Any) -> None:
    """It is refused in these words, by build; fit does not call it whole and does not raise."""
    if not options:
        assert not layout.fit(tensors, {}).is_whole
    with pytest.raises(ValueError) as caught:
        layout.build(tensors, {}, options)
    for word in words:
        assert word in str(caught.value), str(caught.value)


def assert_every_name_counts(layout: Layout, tensors: Mapping[str, Tensor], optional: Iterable[str] = ()) -> None:
    """Any name left out is missing, any one added is unexpected, and any other shape is refused."""
    for name in tensors:
        less = {other: value for other, value in tensors.items() if other != name}
        if name in set(optional):
            assert layout.fit(less, {}).is_whole, name
            continue
        assert not layout.fit(less, {}).is_whole, name
        with pytest.raises(ValueError):
            layout.build(less, {}, {})
        assert not layout.fit({**tensors, name: torch.zeros(0, 3)}, {}).is_whole, name
        assert not layout.fit({**tensors, name: torch.zeros(2, 3, 5, 7, 11, 13)}, {}).is_whole, name
    assert layout.fit({**tensors, "one.more": torch.zeros(1)}, {}).unexpected == ["one.more"]
    assert_says(layout, {**tensors, "one.more": torch.zeros(1)}, ["one.more", "unexpected"])
