"""SAGAN: attention, conditional batch norm and projection against plain re-implementations from the papers."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tiny_gans import Noise, enliven, tiny, tiny_task
from torch import Tensor, nn
from torch.nn import functional

import generators
from gandissect.core import UnitSet
from generators.architectures.resnet import Attention
from generators.architectures.sagan import SAGAN, ConditionalBatchNorm, SAGANDiscriminator
from generators.training import RECIPES, train_generator

NAMES = ["cat", "dog", "owl"]


def _draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def _make(size: int = 32) -> SAGAN:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        generator = SAGAN(size, 4, 8, 6, NAMES)
    for module in generator.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.copy_(0.3 * _draw(module.num_features, seed=1))
            module.running_var.copy_(_draw(module.num_features, seed=2).exp())
    for name, value in generator.named_parameters():
        if name.endswith((".scale", ".offset", "key.weight", "query.weight")):
            value.data.add_(_draw(*value.shape, seed=len(name)))
    return enliven(generator).eval().requires_grad_(False)  # type: ignore[return-value]


def _attend_plainly(attention: Attention, x: Tensor) -> tuple[Tensor, Tensor]:
    """Return the output and the shares, one query after another: Zhang et al. 2019, Eq. 1 to 3, with pooled keys.

    Args:
        attention: Module whose weights to use.
        x: Activations of one image, float64 ``[unit, h, w]``.
    """
    weights = {name: value.double().flatten(1) for name, value in attention.state_dict().items() if value.ndim == 4}
    units, height, width = x.shape
    f, h = (torch.einsum("ku,uyx->kyx", weights[f"{name}.weight"], x) for name in ("key", "value"))
    pooled = [
        torch.stack([t[:, y : y + 2, z : z + 2].amax((1, 2)) for y in range(0, height, 2) for z in range(0, width, 2)])
        for t in (f, h)
    ]
    shares, output = torch.zeros(height, width, len(pooled[0])).double(), x.clone()
    for row in range(height):
        for column in range(width):
            g = weights["query.weight"] @ x[:, row, column]
            exponentials = (pooled[0] @ g).exp()
            shares[row, column] = exponentials / exponentials.sum()
            mean = sum(share * value for share, value in zip(shares[row, column], pooled[1], strict=True))
            output[:, row, column] += float(attention.strength) * (weights["mix.weight"] @ mean)
    assert output.shape == (units, height, width)
    return output, shares


def _attention(units: int = 16) -> Attention:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        return Attention(units).requires_grad_(False)


def test_attention_is_what_the_paper_says_one_pixel_at_a_time() -> None:
    attention = _attention()
    attention.query.weight.mul_(4)
    attention.strength.fill_(0.7)
    x = _draw(2, 16, 4, 6)
    for image, output, shares in zip(x, attention(x), attention.shares(x), strict=True):
        plain, plain_shares = _attend_plainly(attention, image.double())
        torch.testing.assert_close(output, plain.float())
        torch.testing.assert_close(shares, plain_shares.flatten(0, 1).float())
    assert float(attention.shares(x).max()) > 0.3, "attention is far from uniform"


def test_attention_begins_as_the_identity() -> None:
    attention, x = _attention(), _draw(2, 16, 4, 4)
    assert float(attention.strength) == 0
    assert torch.equal(attention(x), x)


def test_attention_has_a_unit_at_least_however_few_the_layer_has() -> None:
    assert [len(_attention(3).get_parameter(f"{name}.weight")) for name in ("query", "key", "value")] == [1, 1, 1]
    assert [len(_attention(32).get_parameter(f"{name}.weight")) for name in ("query", "key", "value")] == [4, 4, 16]


@pytest.mark.parametrize("training", [True, False])
def test_conditional_batch_norm_with_equal_classes_is_batch_norm(training: bool) -> None:
    conditional, plain = ConditionalBatchNorm(5, 3), nn.BatchNorm2d(5)
    scale, offset = _draw(2, 5)
    with torch.no_grad():
        for value, own, shared in ((scale, plain.weight, conditional.scale), (offset, plain.bias, conditional.offset)):
            own.copy_(value)
            shared.copy_(value.expand(3, 5))
    classes = functional.one_hot(torch.tensor([2, 0, 1, 2]), 3).float()
    for norm in (conditional, plain):
        norm.train(training)
    for seed in (1, 2):
        x = 3 * _draw(4, 5, 2, 3, seed=seed) + 1
        torch.testing.assert_close(conditional(x, classes), plain(x))
    torch.testing.assert_close(conditional.norm.running_var, plain.running_var)
    torch.testing.assert_close(conditional.norm.running_mean, plain.running_mean)


def test_conditional_batch_norm_takes_scale_and_offset_of_each_images_class() -> None:
    norm = ConditionalBatchNorm(4, 3).eval().requires_grad_(False)
    norm.scale.copy_(_draw(3, 4))
    norm.offset.copy_(_draw(3, 4, seed=1))
    x, classes = _draw(3, 4, 2, 2, seed=2), [1, 1, 0]
    output = norm(x, functional.one_hot(torch.tensor(classes), 3).float())
    for row, index in enumerate(classes):
        for unit in range(4):
            expected = x[row, unit] / (1 + 1e-5) ** 0.5 * norm.scale[index, unit] + norm.offset[index, unit]
            torch.testing.assert_close(output[row, unit], expected)


def _block_by_hand(G: SAGAN, layer: str, x: Tensor, classes: Tensor) -> Tensor:
    """Return the output of a block before its attention, from the weights by name."""
    weights = {name.removeprefix(f"{layer}."): v for name, v in G.state_dict().items() if name.startswith(f"{layer}.")}

    def normalize(t: Tensor, name: str) -> Tensor:
        mean, variance = weights[f"{name}.norm.running_mean"], weights[f"{name}.norm.running_var"]
        t = (t - mean[:, None, None]) / (variance[:, None, None] + 1e-5).sqrt()
        return (
            t * weights[f"{name}.scale"][classes][:, :, None, None]
            + weights[f"{name}.offset"][classes][:, :, None, None]
        )

    def up(t: Tensor) -> Tensor:
        return functional.interpolate(t, scale_factor=2, mode="nearest")

    residual = functional.conv2d(up(normalize(x, "norm1").relu()), weights["conv1.weight"], padding=1)
    residual = functional.conv2d(normalize(residual, "norm2").relu(), weights["conv2.weight"], padding=1)
    return residual + functional.conv2d(up(x), weights["skip.weight"])


def test_the_generator_is_a_chain_of_blocks_by_hand() -> None:
    G = _make(16)
    classes = torch.tensor([2, 0, 1])
    z = G.sample_z(3, seed=4, classes=classes)
    x = functional.linear(z[:, :6], G.layer1[1].weight, G.layer1[1].bias).view(3, 8, 4, 4)
    for layer in ("layer2", "layer3"):
        x = _block_by_hand(G, layer, x, classes)
        if layer == G.attentive_layer:
            x = torch.stack([_attend_plainly(G.layer2.attention, image.double())[0].float() for image in x])
        torch.testing.assert_close(G.head(z, layer), x, rtol=1e-4, atol=1e-4)
    norm, conv = G.output[0], G.output[2]
    x = functional.batch_norm(x, norm.running_mean, norm.running_var, norm.weight, norm.bias).relu()
    torch.testing.assert_close(G(z), functional.conv2d(x, conv.weight, conv.bias, padding=1).tanh(), atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    ("size", "layer", "side"),
    [(8, "layer2", 8), (16, "layer2", 8), (32, "layer3", 16), (64, "layer4", 32), (128, "layer4", 32)],
)
def test_attention_is_at_32_pixels_or_at_half_the_size(size: int, layer: str, side: int) -> None:
    G, D = SAGAN(size, 2, 8, 4, NAMES), SAGANDiscriminator(size, 2, 8, 3)
    attentive = [name for name in G.layers if isinstance(getattr(G.find_stage(name), "attention", None), Attention)]
    assert attentive == [layer] == [G.attentive_layer]
    assert G.layers[layer].height == side
    seen: list[int] = []
    for module in D.modules():
        if isinstance(module, Attention):
            module.register_forward_pre_hook(lambda _, x: seen.append(x[0].shape[2]))
    D(_draw(2, 3, size, size), torch.tensor([0, 2]))
    assert seen == ([side] if size > 8 else [])


def test_the_attention_map_of_a_cell_is_its_softmax_over_the_keys() -> None:
    G = _make()
    classes = torch.tensor([1, 2])
    z = G.sample_z(2, seed=1, classes=classes)
    x = _block_by_hand(G, "layer3", G.head(z, "layer2"), classes)
    for image, shares in enumerate(_attend_plainly(G.layer3.attention, x[i].double())[1] for i in range(2)):
        for row, column in ((0, 0), (3, 5), (15, 15)):
            mapped = G.attention_map(z, row, column)
            assert mapped.shape == (2, 8, 8)
            expected = shares[row, column].view(8, 8).float()
            torch.testing.assert_close(mapped[image], expected, rtol=1e-3, atol=1e-5)
            torch.testing.assert_close(mapped.sum(dim=(1, 2)), torch.ones(2))
    assert float(mapped.max()) > 3 / 64, "the map is not uniform"


def test_the_attention_map_follows_forced_units_of_earlier_layers() -> None:
    G = _make()
    z = G.sample_z(2, seed=1)
    before = G.attention_map(z, 3, 4)
    later = G.forcing(UnitSet("layer3", [0]), [9.0])
    earlier = G.forcing(UnitSet("layer2", range(8)), [9.0] * 8)
    assert torch.equal(later.attention_map(z, 3, 4), before)
    assert not torch.allclose(earlier.attention_map(z, 3, 4), before)


@pytest.mark.parametrize(("cell", "name"), [((16, 0), "row"), ((0, -1), "column"), ((0.5, 0), "row")])
def test_cells_outside_the_grid_are_refused(cell: tuple[int, int], name: str) -> None:
    G = _make()
    with pytest.raises(ValueError, match=rf"{name} must be .* in \[0, 15\]; got"):
        G.attention_map(G.sample_z(1), *cell)


def test_the_latent_map_is_that_of_the_noise() -> None:
    G = _make()
    (matrix,) = G.latent_maps()
    z = G.sample_z(4, seed=3)
    linear = (z @ matrix.T).view(4, 8, 4, 4) + G.layer1[1].bias.view(8, 4, 4)
    torch.testing.assert_close(G.head(z, "layer1"), linear)


def test_the_class_acts_through_the_norms() -> None:
    G = _make()
    rows = [G.sample_z(2, seed=1, classes=name) for name in NAMES]
    assert torch.equal(G.head(rows[0], "layer1"), G.head(rows[1], "layer1"))
    assert not torch.allclose(G.head(rows[0], "layer2"), G.head(rows[1], "layer2"))
    for name, value in G.named_parameters():
        if name.endswith((".scale", ".offset")):
            value.copy_(value[:1].expand_as(value))
    assert torch.equal(G(rows[0]), G(rows[2]))


def test_the_logit_is_a_linear_one_plus_the_projection_of_the_class() -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        D = SAGANDiscriminator(16, 4, 8, num_classes=3).eval()
    images, classes = _draw(4, 3, 16, 16), torch.tensor([2, 0, 1, 2])
    h = D.stages(images)
    assert h.min() >= 0
    for row, (logit, index) in enumerate(zip(D(images, classes), classes, strict=True)):
        pooled = h[row].flatten(1).sum(1)
        expected = pooled @ D.logit.weight[0] + D.logit.bias[0] + pooled @ D.vectors.weight[index]
        torch.testing.assert_close(logit, expected)


def test_every_weight_of_the_trained_networks_has_a_largest_singular_value_of_1() -> None:
    task = tiny_task("sagan", augmentation=())
    for index in range(12):
        task.step(index)
    for network in task.networks.values():
        network.eval()
        layers = [m for m in network.modules() if isinstance(m, nn.Conv2d | nn.Linear | nn.Embedding)]
        values = [float(torch.linalg.matrix_norm(layer.weight.flatten(1), 2).detach()) for layer in layers]
        assert len(values) > 10
        assert values == pytest.approx([1.0] * len(values), rel=0.05)


def test_the_generator_that_is_saved_is_plain_and_the_trained_one_in_eval_mode(tmp_path: Path) -> None:
    task = tiny_task("sagan")
    for index in range(2):
        task.step(index)
    task.network.eval()
    plain = task.network.export(16)
    z = plain.sample_z(3, seed=1)
    assert type(plain) is SAGAN
    assert torch.equal(plain(z), task.generator(z))
    assert not any("parametrizations" in name for name in plain.state_dict())
    path = train_generator(tiny("sagan", images=16), Noise(), tmp_path, device="cpu")
    loaded = generators.load(path, device="cpu")
    assert set(loaded.state_dict()) == set(plain.state_dict())
    assert loaded.attention_map(z, 0, 0).shape == (3, 4, 4)


def test_the_recipe_has_the_papers_loss_and_two_learning_rates() -> None:
    recipe = RECIPES["sagan"]
    assert (recipe.loss, recipe.beta1, recipe.beta2) == ("hinge", 0.0, 0.9)
    assert [recipe.learning_rate_of(name) for name in ("generator", "discriminator")] == [1e-4, 4e-4]
