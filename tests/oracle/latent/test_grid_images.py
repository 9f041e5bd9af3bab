"""Images of a grid between four corners, one by one."""

from __future__ import annotations

import pytest
import torch

import generators
from gandissect.latent import corner_grid, generate_grid, on_shell, truncated_w
from generators import LayeredGenerator


def _style_generator() -> LayeredGenerator:
    torch.manual_seed(0)
    return generators.StyleGAN(size=8, width=2, max_width=4, z_dim=4, w_dim=4, mapping_depth=1).eval()


def test_each_image_is_that_of_its_point_of_the_grid() -> None:
    torch.manual_seed(0)
    dcgan = generators.DCGAN(size=16, width=8, z_dim=4).eval()
    z = dcgan.sample_z(4, seed=1)
    grid = corner_grid(z, 2, 3, curved=True).flatten(0, 1)
    images = generate_grid(dcgan, z, 2, 3)
    assert torch.equal(images, dcgan(grid).detach())
    assert torch.equal(images[[0, 2, 3, 5]], dcgan(z).detach())
    style = _style_generator()
    z = style.sample_z(4, seed=1)
    shell = corner_grid(on_shell(z), 2, 2, curved=True).flatten(0, 1)
    assert torch.equal(generate_grid(style, z, 2, 2, "z"), style(shell).detach())
    w = truncated_w(style, z, 1.0)
    straight = style(corner_grid(w, 2, 3).flatten(0, 1)).detach()
    assert torch.equal(generate_grid(style, z, 2, 3, "w"), straight)
    assert torch.equal(generate_grid(style, w, 2, 3, "w"), straight)


def test_a_grid_is_in_a_latent_space() -> None:
    generator = generators.PlantedGenerator(size=8, cells=4)
    with pytest.raises(ValueError, match="space must be z for planted; got 'layer1'"):
        generate_grid(generator, generator.sample_z(4), 2, 2, "layer1")
    with pytest.raises(ValueError, match="space must be z for planted; got 'w'"):
        generate_grid(generator, generator.sample_z(4), 2, 2, "w")
    with pytest.raises(ValueError, match="2 rows and 2 columns"):
        generate_grid(generator, generator.sample_z(4), 2, 1)
