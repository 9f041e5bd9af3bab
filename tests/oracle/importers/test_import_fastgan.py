"""Checkpoints of projected_gan's FastGAN against its forward pass in float64."""

from __future__ import annotations

import pickle
from itertools import pairwise

import pytest
import torch
from foreign import Draw, assert_agree, assert_contract, assert_every_name_counts, assert_says, built, doubles
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import spectral_norm

from gandissect import Ablation, Insertion, UnitSet, generate, intervene, trace
from generators.architectures.fastgan import FastGAN, FixedNoise
from generators.importers import import_checkpoint
from generators.importers.families.fastgan import LAYOUTS

(FASTGAN,) = LAYOUTS
OPENED = {64: 4, 128: 8, 256: 16, 512: 32}
"""The grid that excites a grid."""


def projected_fastgan(units: list[int], larger: int = 0, z_dim: int = 5, colors: int = 3) -> dict[str, Tensor]:
    """A `G_ema` with these numbers of units at 4 x 4, 8 x 8, ...; the last ``larger`` grids are not used."""
    draw = Draw(0)
    t = _normal_weight(draw, "init.init.0", z_dim, 2 * units[0], 4, 4, outputs=1)
    t |= draw.norm("init.init.1", 2 * units[0])
    by_side = {4 * 2**level: count for level, count in enumerate(units)}
    for side, (before, after) in zip(list(by_side)[1:], pairwise(units), strict=True):
        deep = side in {8, 32, 128, 512}
        for place, inside in ((1, before), (5, after)) if deep else ((1, before),):
            t |= _normal_weight(draw, f"feat_{side}.{place}", 2 * after, inside, 3, 3)
            t |= draw.norm(f"feat_{side}.{place + 1 + deep}", 2 * after)
            if deep:
                t[f"feat_{side}.{place + 1}.weight"] = draw.normal(1)
        if side in OPENED:
            t |= _normal_weight(draw, f"se_{side}.main.1", after, by_side[OPENED[side]], 4, 4)
            t |= _normal_weight(draw, f"se_{side}.main.3", after, after, 1, 1)
    t |= _normal_weight(draw, "to_big", colors, units[-1 - larger], 3, 3)
    return {f"synthesis.{name}": value for name, value in (t | {"to_big.bias": draw.normal(colors)}).items()}


def _normal_weight(draw: Draw, name: str, *shape: int, outputs: int = 0) -> dict[str, Tensor]:
    """A weight with spectral normalization: u and v after many steps of the power iteration."""
    weight = draw.normal(*shape)
    rows = weight.transpose(0, outputs).flatten(1)
    u, _, v = torch.linalg.svd(rows)
    return {f"{name}.weight_orig": weight, f"{name}.weight_u": u[:, 0], f"{name}.weight_v": v[0]}


def _images(tensors: dict[str, Tensor], z: Tensor, noise: dict[str, Tensor], side: int) -> Tensor:
    """Grid after grid, weights divided by their largest singular value by SVD."""
    t = {name.removeprefix("synthesis."): value for name, value in doubles(tensors).items()}
    x = z.double() / (z.double().square().mean(dim=1, keepdim=True) + 1e-8).sqrt()
    weight = _divided(t, "init.init.0", outputs=1)
    grids = {4: _gated(_norm(t, "init.init.1", torch.einsum("bz,zuhw->buhw", x, weight)))}
    at = 4
    while at < side:
        x, at = grids[at].repeat_interleave(2, 2).repeat_interleave(2, 3), 2 * at
        deep = at in {8, 32, 128, 512}
        for place in (1, 5) if deep else (1,):
            x = functional.conv2d(x, _divided(t, f"feat_{at}.{place}"), padding=1)
            if deep:
                x = x + t[f"feat_{at}.{place + 1}.weight"] * noise[f"{at}.{place}"].double()
            x = _gated(_norm(t, f"feat_{at}.{place + 1 + deep}", x))
        if at in OPENED:
            small = functional.adaptive_avg_pool2d(grids[OPENED[at]], 4)
            small = torch.einsum("bihw,oihw->bo", small, _divided(t, f"se_{at}.main.1"))
            small = small * torch.sigmoid(small)
            x = x * torch.sigmoid(small @ _divided(t, f"se_{at}.main.3")[:, :, 0, 0].T)[:, :, None, None]
        grids[at] = x
    return functional.conv2d(grids[side], _divided(t, "to_big"), t["to_big.bias"], padding=1)


def _divided(t: dict[str, Tensor], name: str, outputs: int = 0) -> Tensor:
    weight = t[f"{name}.weight_orig"]
    return weight / torch.linalg.svdvals(weight.transpose(0, outputs).flatten(1))[0]


def _norm(t: dict[str, Tensor], name: str, x: Tensor) -> Tensor:
    scale, offset, mean, var = (
        t[f"{name}.{part}"][:, None, None] for part in ("weight", "bias", "running_mean", "running_var")
    )
    return (x - mean) / (var + 1e-5).sqrt() * scale + offset


def _gated(x: Tensor) -> Tensor:
    value, gate = x.chunk(2, dim=1)
    return value * torch.sigmoid(gate)


def _noise(generator: FastGAN) -> dict[str, Tensor]:
    """The noise of each convolution, keyed by the side of its grid and its position in the layer."""
    places = {name: part.noise for name, part in generator.named_modules() if isinstance(part, FixedNoise)}
    split = {name.removeprefix("layer").partition(".")[::2]: noise for name, noise in places.items()}
    return {f"{2 ** (int(number) + 1)}.{int(place) - 1}": noise for (number, place), noise in split.items()}


@pytest.mark.parametrize(
    ("units", "larger"),
    [([6, 5], 0), ([6, 5, 4, 4, 3, 3], 0), ([4, 4, 3, 3, 2, 2, 1], 0), ([4, 4, 3, 3, 2, 2, 1], 1)],
    ids=["8", "128", "256", "128 of 256"],
)
def test_images_are_those_of_the_paper(units: list[int], larger: int, tmp_path) -> None:
    t = projected_fastgan(units, larger)
    generator = built(FASTGAN, t)
    assert isinstance(generator, FastGAN)
    side = 2 ** (len(units) - larger + 1)
    assert generator.image_size == (side, side)
    z = generator.sample_z(2)
    assert_agree(generator(z), _images(t, z, _noise(generator), side))
    assert_contract(generator, tmp_path)


def test_every_name_counts() -> None:
    t = projected_fastgan([4, 4, 3, 3, 2])
    assert_every_name_counts(FASTGAN, {name: t[name] for name in t if "num_batches" not in name})


class _Synthesis(nn.Module):
    """The smallest network of the project, of torch's own layers."""

    def __init__(self) -> None:
        super().__init__()
        first = spectral_norm(nn.ConvTranspose2d(5, 12, 4, bias=False))
        self.init = nn.ModuleDict({"init": nn.Sequential(first, nn.BatchNorm2d(12), nn.GLU(1))})
        convolutions = [spectral_norm(nn.Conv2d(width, 8, 3, padding=1, bias=False)) for width in (6, 4)]
        up = [nn.Upsample(scale_factor=2), convolutions[0], _Noise(), nn.BatchNorm2d(8), nn.GLU(1)]
        self.feat_8 = nn.Sequential(*up, convolutions[1], _Noise(), nn.BatchNorm2d(8), nn.GLU(1))
        self.to_big = spectral_norm(nn.Conv2d(4, 3, 3, padding=1))

    def forward(self, z: Tensor) -> Tensor:
        unit = z / (z.square().mean(dim=1, keepdim=True) + 1e-8).sqrt()
        return self.to_big(self.feat_8(self.init["init"](unit[:, :, None, None])))


class _Noise(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.weight


@pytest.mark.filterwarnings("ignore:.*spectral_norm.*")
def test_a_whole_module_in_a_pickle_makes_the_images_that_torch_makes(tmp_path) -> None:
    """Spectral normalization is torch's, with u and v far from convergence; the noise has strength 0."""
    torch.manual_seed(0)
    network = nn.ModuleDict({"synthesis": _Synthesis()})
    network["synthesis"](torch.randn(16, 5))  # moves u, v and the running statistics
    (tmp_path / "network-snapshot.pkl").write_bytes(pickle.dumps({"G": network, "G_ema": network.eval()}))
    generator = import_checkpoint(tmp_path / "network-snapshot.pkl")
    assert isinstance(generator, FastGAN)
    z = generator.sample_z(3)
    with torch.no_grad():
        wanted = network["synthesis"](z)
    assert_agree(generator(z), wanted.double())


def test_an_excited_layer_is_edited_as_it_is_multiplied() -> None:
    """A hook on the layer sees and edits the output of `head`."""
    generator = built(FASTGAN, projected_fastgan([4, 4, 3, 3, 2]))
    z, edits = generator.sample_z(2), [Insertion(UnitSet("layer5", (1,)), 2.0), Ablation(UnitSet("layer1", (0,)))]
    with trace(generator, ["layer5"]) as seen:
        generator(z)
    assert torch.equal(seen["layer5"], generator.head(z, "layer5"))
    with intervene(generator, edits):
        images = generator(z)
    assert torch.equal(images, generate(generator, z, edits))
    forced = generator.forcing(UnitSet("layer5", (1,)), [2.0])
    assert torch.equal(forced.head(z, "layer5")[:, 1], torch.full((2, 64, 64), 2.0))


@pytest.mark.parametrize("layer", [1, 3])
def test_what_a_layer_excites_follows_an_edit_of_that_layer_alone(layer: int) -> None:
    """Layer 5 is multiplied by the gate from layer 1, whichever layer between them is edited."""
    generator = built(FASTGAN, projected_fastgan([4, 4, 3, 3, 2]))
    z = generator.sample_z(2)
    edited = x = 2 * generator.head(z, f"layer{layer}")
    gate = generator.excitations["5"](edited if layer == 1 else generator.head(z, "layer1"))
    for number in range(layer + 1, 6):
        x = generator.get_submodule(f"layer{number}")(x)
    torch.testing.assert_close(generator.tail(edited, f"layer{layer}", z), generator.output(x * gate))


def test_what_is_wrong_is_named() -> None:
    t = projected_fastgan([6, 5, 4])
    assert_says(FASTGAN, {**t, "synthesis.embed.weight": torch.ones(3, 5)}, ["synthesis.embed.weight", "unexpected"])
    gray = projected_fastgan([6, 5, 4], colors=1)
    generator = built(FASTGAN, gray)
    assert torch.equal(generator(generator.sample_z(1))[:, 0], generator(generator.sample_z(1))[:, 2])
    for units in ([4], [4, 0], [4] * 10):
        with pytest.raises(ValueError, match="units must be two to nine numbers"):
            FastGAN(3, units)
