"""Mixing, swapping and noise: what all, none, and a part of them must give."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

import generators
from gandissect.latent import (
    NoiseEffects,
    capabilities,
    cross_over,
    images_with_noise,
    mix_styles,
    mixing_table,
    noise_effects,
    style_groups,
    swap_activations,
    swapping_table,
)


def _made(architecture: str) -> torch.nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        made = getattr(generators, architecture)(size=16, width=4, z_dim=6).eval().requires_grad_(False)
        for value in made.state_dict().values():
            if value.is_floating_point() and not value.any():  # what begins as zero, so that a mistake shows
                value.normal_(0, 0.3)
    return made


@pytest.fixture(params=["StyleGAN", "StyleGAN2"])
def styled(request: pytest.FixtureRequest) -> torch.nn.Module:
    return _made(request.param)


@pytest.fixture(params=["DCGAN", "ProGAN"])
def plain(request: pytest.FixtureRequest) -> torch.nn.Module:
    return _made(request.param)


def test_all_styles_give_the_one_and_none_the_other_bit_for_bit(styled: torch.nn.Module) -> None:
    a, b = styled.mapping(styled.sample_z(2, seed=0)), styled.mapping(styled.sample_z(2, seed=1))
    every = range(styled.mapping.num_ws)
    kept = a.clone()
    assert torch.equal(styled(mix_styles(styled, a, b, every)), styled(b))
    assert torch.equal(styled(mix_styles(styled, a, b, [])), styled(a))
    assert torch.equal(cross_over(styled, a, b, "layer1"), b)
    mixed = mix_styles(styled, a, b, ["layer2", 3])
    for index in every:
        assert torch.equal(mixed[:, index], (b if index in {1, 3} else a)[:, index])
    crossed = cross_over(styled, a, b, "layer3")
    assert torch.equal(crossed[:, :2], a[:, :2])
    assert torch.equal(crossed[:, 2:], b[:, 2:])
    assert torch.equal(a, kept)


def test_styles_of_late_layers_leave_early_activations_alone(styled: torch.nn.Module) -> None:
    a, b = styled.mapping(styled.sample_z(2, seed=0)), styled.mapping(styled.sample_z(2, seed=1))
    crossed = cross_over(styled, a, b, "layer4")
    assert torch.equal(styled.head(crossed, "layer3"), styled.head(a, "layer3"))
    assert not torch.equal(styled.head(crossed, "layer4"), styled.head(a, "layer4"))


def test_the_groups_part_the_styles_by_the_grids_of_their_layers(styled: torch.nn.Module) -> None:
    groups = style_groups(styled)
    assert list(groups) == ["coarse", "middle"], "there is nothing fine in 16 px"
    assert sorted(sum(groups.values(), ())) == list(range(styled.mapping.num_ws))
    heights = [info.height for info in styled.layers.values()]
    assert [heights[index] for index in groups["coarse"]] == [side for side in heights if side < 16]
    large = style_groups(generators.StyleGAN(size=64, width=2, max_width=2))
    assert large == {"coarse": (0, 1, 2, 3), "middle": (4, 5, 6, 7), "fine": (8, 9)}


def test_a_table_is_its_cells_one_by_one(styled: torch.nn.Module) -> None:
    rows, columns = styled.mapping(styled.sample_z(2, seed=0)), styled.mapping(styled.sample_z(3, seed=1))
    table = mixing_table(styled, rows, columns, [0, 1])
    assert table.shape == (2, 3, 3, 16, 16)
    assert torch.equal(mixing_table(styled, rows, columns, iter([0, 1])), table)
    cell = mix_styles(styled, rows[1:], columns[2:], [0, 1])
    torch.testing.assert_close(table[1, 2], styled(cell)[0])


@pytest.mark.wrong_shape
def test_mixing_refuses_what_cannot_be(styled: torch.nn.Module) -> None:
    w = styled.mapping(styled.sample_z(2, seed=0))
    num_ws = w.shape[1]
    for layer in (-1, num_ws, 1.7, True, None):
        with pytest.raises(ValueError, match=f"must be in 0 to {num_ws - 1}; got {layer}"):
            mix_styles(styled, w, w, [layer])
    with pytest.raises(KeyError, match="did you mean 'layer"):
        mix_styles(styled, w, w, ["layr1"])
    with pytest.raises(ValueError, match="w_a and w_b must have the same shape"):
        mix_styles(styled, w, w[:1], [0])
    with pytest.raises(ValueError, match=r"G.mapping\(z\) returns such w"):
        mix_styles(styled, w[:, 0], w[:, 0], [0])
    with pytest.raises(ValueError, match=r"w of .* must be float"):
        mix_styles(styled, w[:, 1:], w[:, 1:], [0])
    with pytest.raises(ValueError, match="has no w, only z"):
        mix_styles(_made("DCGAN"), w, w, [0])


def test_a_swap_everywhere_is_the_other_image_and_nowhere_the_own(plain: torch.nn.Module) -> None:
    a, b = plain.sample_z(2, seed=0), plain.sample_z(2, seed=1)
    for layer, info in plain.layers.items():
        for region in (None, torch.ones(info.height, info.width), torch.ones(plain.image_size, dtype=torch.bool)):
            assert torch.equal(swap_activations(plain, a, b, layer, region), plain(b))
        assert torch.equal(swap_activations(plain, a, b, layer, torch.zeros(2, 16, 16)), plain(a))


def test_a_swap_with_styles_goes_on_with_the_styles_of_the_first(styled: torch.nn.Module) -> None:
    a, b = styled.sample_z(2, seed=0), styled.sample_z(2, seed=1)
    found = swap_activations(styled, a, b, "layer2")
    assert torch.equal(found, styled.tail(styled.head(b, "layer2"), "layer2", a))
    assert not torch.equal(found, styled(b))
    assert torch.equal(swap_activations(styled, styled.mapping(a), styled.mapping(b), "layer2"), found)


def test_a_swap_in_a_region_is_cell_by_cell(plain: torch.nn.Module) -> None:
    a, b = plain.sample_z(1, seed=0), plain.sample_z(1, seed=1)
    info = plain.layers["layer2"]
    mask = torch.rand(info.height, info.width, generator=torch.Generator().manual_seed(0))
    own, theirs = plain.head(a, "layer2"), plain.head(b, "layer2")
    mixed = own.clone()
    for row in range(info.height):
        for column in range(info.width):
            share = mask[row, column]
            mixed[..., row, column] = (1 - share) * own[..., row, column] + share * theirs[..., row, column]
    found = swap_activations(plain, a, b, "layer2", mask)
    torch.testing.assert_close(found, plain.tail(mixed, "layer2", a), atol=1e-5, rtol=1e-4)
    table = swapping_table(plain, a, torch.cat([a, b]), "layer2", mask)
    torch.testing.assert_close(table[0, 0], plain(a)[0], atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(table[0, 1], found[0], atol=1e-5, rtol=1e-4)


@pytest.mark.wrong_shape
def test_a_swap_refuses_what_cannot_be(plain: torch.nn.Module) -> None:
    z = plain.sample_z(2, seed=0)
    with pytest.raises(KeyError, match="unknown layer 'layer99'"):
        swap_activations(plain, z, z, "layer99")
    with pytest.raises(ValueError, match="z_a and z_b must have the same shape"):
        swap_activations(plain, z, z[:1], "layer1")
    with pytest.raises(ValueError, match=r"z of .* must be float \[batch, 6\]"):
        swap_activations(plain, z[:, :5], z[:, :5], "layer1")
    with pytest.raises(ValueError, match="region must have the size of the grid of 'layer1'"):
        swap_activations(plain, z, z, "layer1", torch.ones(5, 5))
    with pytest.raises(ValueError, match=r"region must be in \[0, 1\]"):
        swap_activations(plain, z, z, "layer1", 2 * torch.ones(4, 4))


def test_noise_is_none_or_that_of_its_seed_and_index(styled: torch.nn.Module) -> None:
    z = styled.sample_z(3, seed=0)
    three = images_with_noise(styled, z, 4)
    others = torch.cat([z[2:], styled.sample_z(2, seed=9)])  # as many: how sums are rounded depends on that
    assert torch.equal(images_with_noise(styled, others, 4, start=2)[0], three[2])
    assert not torch.equal(images_with_noise(styled, z, 5), three)
    silent = _made(type(styled).__name__)
    for name, value in silent.state_dict().items():
        if name.endswith("noise_strength"):
            value.zero_()
    torch.testing.assert_close(images_with_noise(styled, z, None), silent(z))
    torch.testing.assert_close(images_with_noise(silent, z, 7), silent(z))
    with pytest.raises(ValueError, match="dcgan adds no noise"):
        images_with_noise(_made("DCGAN"), z, None)


def test_the_effect_of_noise_is_the_deviation_of_pixels_layer_by_layer(styled: torch.nn.Module, tmp_path) -> None:
    from gandissect.core.sampling import make_rng

    for name, value in styled.state_dict().items():
        if name == "layer3.noise_strength":
            value.zero_()
    z, own = styled.sample_z(2, seed=0), [getattr(styled, name).noise for name in styled.layers]
    found = noise_effects(styled, z, num_draws=3, seed=9)
    assert found.of_layers["layer3"] == 0
    assert found.of_layers["layer1"] > 0
    drawn = []
    for index in range(3):
        noise = list(own)
        noise[1] = torch.randn(own[1].shape, generator=make_rng(9, "noise of a layer", "layer2", index))
        drawn.append(styled.synthesis(styled.mapping(z), noise))
    wanted = torch.stack(drawn).double().var(dim=0).mean(dim=(0, 1)).sqrt()
    torch.testing.assert_close(found.stds[1].double(), wanted, atol=1e-5, rtol=1e-3)
    again = NoiseEffects.load(found.save(tmp_path))
    assert (again.layers, torch.equal(again.stds, found.stds)) == (found.layers, True)
    assert math.isclose(found.of_layers["layer2"], float(wanted.square().mean().sqrt()), rel_tol=1e-3)
    with pytest.raises(ValueError, match="need at least 2 draws"):
        noise_effects(styled, z, num_draws=1)
    for wrong in (
        {"stds": found.stds * math.nan},
        {"stds": -found.stds - 1},
        {"num_images": 0},
        {"num_draws": 1},
        {"layers": found.layers[:1] * len(found.layers)},
    ):
        with pytest.raises(ValueError, match=r"must be finite|must be at least 0|at least 2 draws"):
            replace(found, **wrong)


def test_a_generator_that_says_nothing_can_do_nothing_more() -> None:
    assert capabilities(object()).spaces == ("z",)
    assert capabilities(_made("StyleGAN")).spaces == ("z", "w")
    assert capabilities(_made("ProGAN")).normalizes_z
