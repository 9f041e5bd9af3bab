"""StyleGAN3's parts by what they must do to signals; whole images are checked in tests/oracle."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from gandissect import latent
from generators.architectures.stylegan3 import StyleGAN3, Waves
from generators.architectures.stylegan3_canvas import Filtering, LayerCanvas
from generators.architectures.stylegan3_filters import apply_on_finer_grid, lowpass


def _generator(rotation: bool = False) -> StyleGAN3:
    torch.manual_seed(2)
    kernel = 1 if rotation else 3
    layers = [(8, 36, 2), (8, 52, 4), (6, 52, 2), (6, 32, 2)]
    filterings = [
        {"units": units, "side": side, "kernel": kernel, "up": up, "up_taps": 6 * up} for units, side, up in layers
    ]
    generator = StyleGAN3(32, waves=8, side=36, filterings=filterings, z_dim=6, w_dim=5)
    return generator.eval().requires_grad_(False)


def _cosine(n: int, rate: float) -> Tensor:
    """A slow wave, sampled around the center of a canvas."""
    line = (torch.arange(n, dtype=torch.float64) + 0.5 - n / 2) / rate
    return torch.cos(2 * torch.pi * (1.5 * line[:, None] + 1.0 * line + 0.1)).float()[None, None]


@pytest.mark.parametrize(("up", "down"), [(2, 2), (4, 2), (2, 4), (4, 4), (2, 1)])
@pytest.mark.parametrize("square", [False, True])
def test_a_slow_wave_is_the_same_wave_on_another_grid(up: int, down: int, square: bool) -> None:
    """Without a function in between, resampling evaluates the continuous signal at other positions, with the same center."""
    n, side, rate = 38, 16 * up // down, 16
    rise, fall = lowpass(8 * up, up), lowpass(8 * down, down)
    fall = torch.outer(fall, fall) if square else fall
    result = apply_on_finer_grid(_cosine(n, rate), lambda x: x, (up, rise), (down, fall if down > 1 else None), side)
    wanted = _cosine(side, rate * up / down)
    assert (result - wanted).abs().max() < 0.02


def test_the_filter_keeps_what_is_slow_and_stops_what_is_fast() -> None:
    row = lowpass(24, 4).double().numpy()
    response = abs(np.fft.rfft(row, 4096))
    frequency = np.arange(len(response)) / 4096
    assert row.sum() == pytest.approx(1, abs=1e-6)
    np.testing.assert_allclose(row, row[::-1], atol=1e-9)
    assert (response[frequency < 0.03] > 0.98).all()
    assert (response[frequency > 0.25] < 1e-3).all()
    assert response[np.argmin(abs(frequency - 0.125))] == pytest.approx(0.5, abs=0.02)


def test_a_w_that_turns_and_moves_the_waves_turns_and_moves_the_picture() -> None:
    """Shifted right by two samples of the first grid, and rotated by 90 degrees: aliasing is small."""
    generator = _generator(rotation=True)
    affine = generator.layer1.affine
    ws = generator.mapping(generator.sample_z(1))
    before = generator(ws)
    affine.bias[2] = 2 / 16
    moved = generator(ws)
    inner = slice(8, 24)
    assert (moved[:, :, inner, inner] - before[:, :, inner, 4:20]).abs().max() < 0.05 * before.std()
    affine.bias.copy_(torch.tensor([0.0, 3.0, 0.0, 0.0]))  # whatever its length
    turned = generator(ws)
    assert (turned - torch.rot90(before, 1, dims=(2, 3))).abs().max() < 1e-4 * before.std()


def test_waves_are_those_of_their_formula() -> None:
    torch.manual_seed(0)
    waves = Waves(3, rate=4, w_dim=2)
    places = torch.rand(1, 2, 6, 6) - 0.5
    canvas = LayerCanvas(torch.zeros(1, 1, 2))
    shown = waves(places, torch.zeros(1, 2), canvas).detach().double().numpy()
    x, y = places[0].double().numpy()
    each = [
        np.sin(2 * np.pi * (f[0] * x + f[1] * y + phase))
        for f, phase in zip(waves.frequencies.double().numpy(), waves.phases.double().numpy(), strict=True)
    ]
    mixed = np.tensordot(waves.weight.detach().double().numpy(), np.array(each), axes=1) / np.sqrt(3)
    np.testing.assert_allclose(shown[0], mixed[:, 1:5, 1:5], atol=1e-5)
    np.testing.assert_allclose(canvas.whole[0].detach().double().numpy(), mixed, atol=1e-5)
    assert float(waves.frequencies.norm(dim=1).max()) <= 2


def test_each_latent_vector_reaches_its_layer() -> None:
    generator = _generator()
    ws = generator.mapping(generator.sample_z(2))
    generator.layer1.affine.weight.normal_(generator=torch.Generator().manual_seed(0))
    for index in range(generator.mapping.num_ws):
        changed = ws.clone()
        changed[:, index] += 1
        same = [torch.equal(generator.head(ws, layer), generator.head(changed, layer)) for layer in generator.layers]
        assert same == [number < index for number in range(5)]
        assert not torch.equal(generator(ws), generator(changed))


def test_it_has_w_and_no_noise() -> None:
    generator = _generator()
    assert latent.capabilities(generator) == latent.Capabilities(has_w=True, has_noise=False, normalizes_z=True)
    z = generator.sample_z(2)
    ws = generator.mapping(z)
    assert torch.equal(generator.synthesis(ws), generator(z))
    assert latent.mix_styles(generator, ws[:1], ws[1:], ["layer2"])[0, 1].equal(ws[1, 1])
    assert [len(each) for each in generator.latent_maps()] == [4, 8, 8, 8, 6, 6]
    assert len(latent.closed_form_directions(generator, 2)) == 2
    with pytest.raises(ValueError, match="adds no noise"):
        generator.random_noise(1, torch.Generator())
    with pytest.raises(ValueError, match="adds no noise"):
        generator.synthesis(ws, [None])


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"size": 30}, ValueError, "integer number of samples|cannot contain"),
        ({"side": 15}, ValueError, "a canvas of 15 cannot contain"),
        ({"side": 10**9}, ValueError, "a canvas of 1000000000 cannot contain"),
        ({"side": 17}, ValueError, "a canvas of 17 cannot contain an image of 16"),
        ({"filterings": []}, ValueError, "a canvas of 16 cannot contain an image of 32"),
        ({"filterings": [{"units": 4, "side": 20}]}, ValueError, "cannot contain|the image"),
        ({"filterings": [{"units": 4, "side": 32, "taps": 3}]}, TypeError, "taps"),
        ({"filterings": [{"units": 0, "side": 32}]}, ValueError, "units must be at least 1"),
        ({"filterings": [{"units": 4.5, "side": 32}]}, TypeError, "must be integers"),
        ({"filterings": [{"units": 4, "side": 32, "up": 10**9}]}, ValueError, r"down_taps must be in \[1, 256\]"),
        ({"filterings": [{"units": 4, "side": 32, "kernel": 5}]}, ValueError, "kernel 1 or 3"),
    ],
    ids=str,
)
def test_settings_that_make_no_network_are_refused(change: dict[str, object], error: type, message: str) -> None:
    settings = {"size": 32, "waves": 4, "side": 16, "filterings": [{"units": 4, "side": 32, "up": 4, "up_taps": 24}]}
    StyleGAN3(**settings)
    with pytest.raises(error, match=message):
        StyleGAN3(**settings | change)


def test_a_filtering_is_that_of_the_paper_by_default() -> None:
    assert Filtering(4, 36) == Filtering(4, 36, kernel=3, up=2, up_taps=12, down=2, down_taps=12, radial=False)
