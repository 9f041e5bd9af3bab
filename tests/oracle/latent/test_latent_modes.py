"""Every public function of the latent space that runs a generator refuses one that running would change."""

from __future__ import annotations

import inspect

import pytest
import torch
from torch import Tensor, nn

import generators
from gandissect import Ablation, UnitSet, generate, latent, repair
from gandissect.core.types import Concept
from segmenters.palette import PaletteSegmenter

SEGMENTER = PaletteSegmenter((Concept(0, "dark", (60, 60, 60)), Concept(1, "light", (190, 190, 190))))
QUIET = {"progress": False}
RUN_NOTHING = {"capabilities", "hold_class", "truncated_z"}


class _Normed(nn.Module):
    """A mapping whose z go through batch normalization first."""

    def __init__(self, mapping: nn.Module) -> None:
        super().__init__()
        self.norm, self.mapping, self.num_ws = nn.BatchNorm1d(6), mapping, mapping.num_ws

    @property
    def w_avg(self) -> Tensor:
        return self.mapping.w_avg

    def forward(self, z: Tensor, *more: object) -> Tensor:
        return self.mapping(self.norm(z), *more)


def _made() -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        made = generators.StyleGAN(size=8, width=2, z_dim=6, w_dim=5, mapping_depth=1)
    made.mapping = _Normed(made.mapping)
    return made.eval().requires_grad_(False)


def _z(generator: nn.Module, num: int = 2) -> Tensor:
    return generator.sample_z(num, seed=1)


def _direction(generator: nn.Module, space: str = "z") -> latent.Direction:
    return latent.Direction.of(generator, "d", torch.ones(6 if space == "z" else 5), space=space)


ON = _made()
Z, W = _z(ON), ON.mapping(_z(ON))
CORNERS = _z(ON, 4)
IN_Z, IN_W = _direction(ON), _direction(ON, "w")
FOUND = latent.invert(ON, torch.zeros(1, 3, 8, 8), num_candidates=4, num_starts=1, num_steps=0, **QUIET)
WALK = latent.Walk(ON, Z)
HERE = UnitSet("layer1", (0,))
SPATIAL = torch.ones(ON.layers["layer1"].units, 4, 4)

CALLS = {
    "as_w": lambda g: latent.as_w(g, Z),
    "closed_form_directions": lambda g: latent.closed_form_directions(g, 1),
    "component_directions": lambda g: latent.component_directions(g, 1, "layer1", 8, **QUIET),
    "cross_over": lambda g: latent.cross_over(g, W, W, 1),
    "find_boundaries": lambda g: latent.find_boundaries(g, SEGMENTER, ["dark"], 30, **QUIET),
    "find_directions": lambda g: latent.find_directions(g, SEGMENTER, "sefa", num_samples=10, **QUIET),
    "generate_grid": lambda g: latent.generate_grid(g, CORNERS, 2, 2),
    "find_boundary": lambda g: latent.find_boundary(g, SEGMENTER, "dark", 30, **QUIET),
    "images_with_noise": lambda g: latent.images_with_noise(g, Z, 1),
    "invert": lambda g: latent.invert(g, torch.zeros(1, 3, 8, 8), num_candidates=4, num_starts=1, **QUIET),
    "keep_unchanged": lambda g: latent.keep_unchanged(g, IN_W, [IN_W]),
    "label_direction": lambda g: latent.label_direction(g, SEGMENTER, IN_Z, **QUIET),
    "mix_styles": lambda g: latent.mix_styles(g, W, W, [0]),
    "mixing_table": lambda g: latent.mixing_table(g, Z, W, [0]),
    "move": lambda g: latent.move(g, Z, IN_Z, [1]),
    "noise_effects": lambda g: latent.noise_effects(g, Z, 2),
    "path_length": lambda g: latent.path_length(g, "pixels", lambda x: x.flatten(1), num_samples=4, **QUIET),
    "rescore_layers": lambda g: latent.rescore_layers(g, SEGMENTER, IN_W, "dark", num_samples=2, **QUIET),
    "style_groups": lambda g: latent.style_groups(g),
    "swap_activations": lambda g: latent.swap_activations(g, Z, Z, "layer1"),
    "swapping_table": lambda g: latent.swapping_table(g, Z, Z, "layer1"),
    "truncated_w": lambda g: latent.truncated_w(g, Z),
}
MORE = {
    "Direction.of": lambda g: latent.Direction.of(g, "d", SPATIAL, space="activation", layer="layer1"),
    "Inversion.generate": lambda g: FOUND.generate(g),
    "Walk": lambda g: latent.Walk(g, Z),
    "Walk.images": lambda g: WALK.images(torch.tensor([0.5])),
    "Walk.even_positions": lambda g: WALK.even_positions(2),
    "generate": lambda g: generate(g, Z, [Ablation(HERE)]),
    "generate nothing": lambda g: generate(g, Z),
    "repair": lambda g: repair(g, HERE, "mean"),
}


def test_no_public_function_is_left_out() -> None:
    functions = {name: getattr(latent, name) for name in latent.__all__ if inspect.isfunction(getattr(latent, name))}
    running = {name for name, each in functions.items() if "generator" in inspect.signature(each).parameters}
    assert running - RUN_NOTHING == set(CALLS)


@pytest.mark.parametrize("name", [*CALLS, *MORE])
def test_a_generator_in_training_mode_is_refused_and_stays_as_it_is(name: str) -> None:
    before = {key: value.clone() for key, value in ON.state_dict().items()}
    ON.train()
    try:
        with pytest.raises(ValueError, match=r"stylegan is in training mode.*call \.eval\(\)"):
            (CALLS | MORE)[name](ON)
    finally:
        ON.eval()
    assert all(torch.equal(value, before[key]) for key, value in ON.state_dict().items())
