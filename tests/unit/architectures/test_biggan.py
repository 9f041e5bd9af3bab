"""BigGAN: hierarchical noise, projected batch norm and discriminator against plain re-implementations from the paper."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_gans import Noise, enliven, tiny, tiny_task
from torch import Tensor, nn
from torch.nn import functional

import generators
from generators.architectures.biggan import BigGAN, BigGANDiscriminator, ProjectedBatchNorm
from generators.architectures.resnet import Attention
from generators.training import RECIPES, train_generator
from generators.training.families import build_networks

NAMES = ["cat", "dog", "owl"]
UNITS = [6, 5, 8, 4]


def _draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def _make(noise_dim: int = 9, units: list[int] = UNITS, **options: Any) -> BigGAN:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        generator = BigGAN(noise_dim, units, 3, NAMES, **options)
    for module in generator.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.copy_(0.3 * _draw(module.num_features, seed=1))
            module.running_var.copy_(_draw(module.num_features, seed=2).exp())
    return enliven(generator).eval().requires_grad_(False)  # type: ignore[return-value]


def _block_by_hand(G: BigGAN, layer: str, x: Tensor, condition: Tensor) -> Tensor:
    """Return the output of a block before its attention, from the weights by name."""
    weights = {name.removeprefix(f"{layer}."): v for name, v in G.state_dict().items() if name.startswith(f"{layer}.")}

    def normalize(t: Tensor, name: str) -> Tensor:
        mean, variance = (weights[f"{name}.norm.running_{which}"][None, :, None, None] for which in ("mean", "var"))
        gain, offset = (condition @ weights[f"{name}.{which}.weight"].T for which in ("gain", "offset"))
        return (t - mean) / (variance + 1e-5).sqrt() * (1 + gain[..., None, None]) + offset[..., None, None]

    def up(t: Tensor) -> Tensor:
        return functional.interpolate(t, scale_factor=2, mode="nearest")

    residual = functional.conv2d(up(normalize(x, "norm1").relu()), weights["conv1.weight"], padding=1)
    residual = functional.conv2d(
        normalize(residual, "norm2").relu(), weights["conv2.weight"], weights["conv2.bias"], padding=1
    )
    return residual + functional.conv2d(up(x), weights["skip.weight"])


@pytest.mark.parametrize(
    ("noise_dim", "hierarchical", "lengths"),
    [(8, True, [2, 2, 2, 2]), (11, True, [5, 2, 2, 2]), (4, True, [1, 1, 1, 1]), (5, False, [5, 0, 0, 0])],
)
def test_the_generator_is_a_chain_of_blocks_by_hand(noise_dim: int, hierarchical: bool, lengths: list[int]) -> None:
    G = _make(noise_dim, hierarchical=hierarchical, attention=[3])
    classes = torch.tensor([2, 0, 1])
    z = G.sample_z(3, seed=4, classes=classes)
    first, *others = z[:, :noise_dim].split(lengths, dim=1)
    x = functional.linear(first, G.layer1[1].weight, G.layer1[1].bias).view(3, 6, 4, 4)
    torch.testing.assert_close(G.head(z, "layer1"), x)
    for layer, part in zip(("layer2", "layer3", "layer4"), others, strict=True):
        x = _block_by_hand(G, layer, x, torch.cat([G.embedding[classes], part], dim=1))
        attention = G.find_stage(layer).attention
        assert isinstance(attention, Attention) == (layer == "layer3")
        x = attention(x)
        torch.testing.assert_close(G.head(z, layer), x, rtol=1e-4, atol=1e-4)
    norm, conv = G.output[0], G.output[2]
    x = functional.batch_norm(x, norm.running_mean, norm.running_var, norm.weight, norm.bias).relu()
    torch.testing.assert_close(G(z), functional.conv2d(x, conv.weight, conv.bias, padding=1).tanh(), atol=1e-4, rtol=0)
    assert G.image_size == (32, 32)


@pytest.mark.parametrize("training", [True, False])
def test_projected_batch_norm_without_gains_is_batch_norm(training: bool) -> None:
    projected, plain = ProjectedBatchNorm(5, 3), nn.BatchNorm2d(5, affine=False)
    for value in projected.parameters():
        value.data.zero_()
    for norm in (projected, plain):
        norm.train(training)
    x = 3 * _draw(4, 5, 2, 3) + 1
    assert torch.equal(projected(x, _draw(4, 3)), plain(x))
    assert torch.equal(projected.norm.running_var, plain.running_var)


def test_each_part_of_the_noise_acts_from_its_own_layer_on() -> None:
    G = _make(8)
    z = G.sample_z(1, seed=1)
    for index, layer in enumerate(G.layers):
        other = z.clone()
        other[:, 2 * index : 2 * index + 2] += 1
        changed = [not torch.equal(G.head(z, name), G.head(other, name)) for name in G.layers]
        assert changed == [number >= index for number in range(4)], layer


def test_a_mixture_of_classes_has_the_mixed_embedding() -> None:
    G, H = _make(), _make()
    H.embedding[0] = 0.3 * G.embedding[0] + 0.7 * G.embedding[2]
    mixed = G.sample_z(2, seed=1, classes=0)
    mixed[:, 9:] = torch.tensor([0.3, 0.0, 0.7])
    torch.testing.assert_close(G(mixed), H(H.sample_z(2, seed=1, classes=0)))


def test_the_attention_map_is_the_softmax_over_the_keys() -> None:
    G = _make(attention=[3])
    classes = torch.tensor([2, 0])
    z = G.sample_z(2, seed=1, classes=classes)
    condition = torch.cat([G.embedding[classes], z[:, 5:7]], dim=1)  # parts of 3, 2, 2 and 2
    x = _block_by_hand(G, "layer3", G.head(z, "layer2"), condition)
    attention = G.find_stage("layer3").attention
    keys = functional.max_pool2d(attention.key(x), 2).flatten(2)
    expected = (attention.query(x)[:, :, 3, 5][:, None] @ keys).softmax(2).view(2, 8, 8)
    torch.testing.assert_close(G.attention_map(z, 3, 5), expected, rtol=1e-3, atol=1e-5)
    assert _make(attention=[4, 3]).attentive_layer == "layer3"
    with pytest.raises(ValueError, match="biggan has no layer with self-attention; train or import one that has"):
        _make().attention_map(z, 0, 0)


def test_the_latent_maps_are_the_derivatives_of_the_first_grid_and_of_the_gains_and_offsets() -> None:
    G = _make(11)
    (matrix,) = G.latent_maps()
    z = G.sample_z(1, seed=2)

    def first_maps(noise: Tensor) -> Tensor:
        row = torch.cat([noise, z[:, 11:]], dim=1)
        parts = [G.layer1[1](G.input(row).flatten(1))]
        for layer, condition in zip(("layer2", "layer3", "layer4"), G.context(row), strict=True):
            block = G.find_stage(layer)
            parts += [linear(condition) for norm in (block.norm1, block.norm2) for linear in (norm.gain, norm.offset)]
        return torch.cat(parts, dim=1)[0]

    derivative = torch.autograd.functional.jacobian(first_maps, z[:, :11])[:, 0]
    torch.testing.assert_close(matrix[:, :11], derivative)
    assert not matrix[:, 11:].any()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"noise_dim": 3},
            r"noise_dim \(--z-dim\) must be at least 4, one entry per layer, for hierarchical noise; got 3",
        ),
        ({"units": [4]}, r"at least two numbers, all of them, side and embedding_dim at least 1; got \[4\], 4 and 3"),
        ({"units": [4, 0]}, r"at least 1; got \[4, 0\]"),
        ({"side": 0}, r"got \[6, 5, 8, 4\], 0 and 3"),
        ({"attention": [1]}, r"attention must be numbers of layers in \[2, 4\]; got \[1\]"),
    ],
    ids=str,
)
def test_wrong_settings_say_what_is_allowed(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        _make(**change)


def _sum_plainly(D: BigGANDiscriminator, image: Tensor) -> Tensor:
    """Return the pooled features of one image: each block by hand, with average pooling by reshaping."""

    def conv(t: Tensor, layer: nn.Conv2d, padding: int) -> Tensor:
        return functional.conv2d(t, layer.weight, layer.bias, padding=padding)

    def halve(t: Tensor) -> Tensor:
        units, height, width = t.shape
        return t.view(units, height // 2, 2, width // 2, 2).mean((2, 4))

    x, stages = image, list(D.stages)[:-1]
    for number, block in enumerate(stages):
        if isinstance(block, Attention):
            x = block(x[None])[0]
            continue
        one, two = block.residual[1], block.residual[3]
        residual = conv(conv(x if number == 0 else x.relu(), one, 1).relu(), two, 1)
        if number == len(stages) - 1:
            x = residual + (x if isinstance(block.skip, nn.Identity) else conv(x, block.skip, 0))
        else:
            x = halve(residual) + conv(halve(x), block.skip[1], 0)
    return x.relu().sum((1, 2))


@pytest.mark.parametrize("max_width", [8, 16])
def test_the_logit_is_a_linear_one_plus_the_projection_of_the_class(max_width: int) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        D = enliven(BigGANDiscriminator(16, 4, max_width, num_classes=3)).eval()
    images, classes = _draw(4, 3, 16, 16), torch.tensor([2, 0, 1, 2])
    for image, logit, index in zip(images, D(images, classes), classes, strict=True):
        pooled = _sum_plainly(D, image)
        assert pooled.min() >= 0
        expected = pooled @ D.logit.weight[0] + D.logit.bias[0] + pooled @ D.vectors.weight[index]
        torch.testing.assert_close(logit, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("size", [8, 16, 32, 64, 128])
def test_both_networks_attend_at_32_pixels_or_at_half_the_size(size: int) -> None:
    networks = build_networks(tiny("biggan", resolution=size), tuple(NAMES))
    seen: list[int] = []
    for network in networks.values():
        for module in network.modules():
            if isinstance(module, Attention):
                module.register_forward_pre_hook(lambda _, x: seen.append(x[0].shape[2]))
    G, D = networks["generator"].generator, networks["discriminator"]
    D(G(G.sample_z(2)), torch.tensor([0, 2]))
    side = min(32, max(8, size // 2))
    assert seen == ([side, side] if size > 8 else [8])


def test_weights_begin_orthogonal_and_biases_zero() -> None:
    for network in (_fresh(), BigGANDiscriminator(16, 4, 8, 3)):
        for name, weight in network.named_parameters():
            if name.endswith("bias"):
                assert not weight.any(), name
            elif weight.ndim > 1:
                matrix = weight.detach().flatten(1)
                matrix = matrix if len(matrix) <= matrix.shape[1] else matrix.T
                torch.testing.assert_close(matrix @ matrix.T, torch.eye(len(matrix)), rtol=0, atol=1e-5, msg=name)


def _fresh() -> BigGAN:
    return BigGAN(9, UNITS, 3, NAMES, attention=[3])


def test_spectral_norm_is_in_all_layers_of_the_generator_but_not_in_the_embedding() -> None:
    task = tiny_task("biggan", augmentation=())
    for index in range(12):
        task.step(index)
    network = task.networks["generator"].eval()
    layers = [m for m in network.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    values = [float(torch.linalg.matrix_norm(layer.weight.flatten(1), 2).detach()) for layer in layers]
    assert len(values) > 10
    assert values == pytest.approx([1.0] * len(values), rel=0.05)
    assert "generator.embedding" in dict(network.named_parameters())


def test_the_generator_that_is_saved_is_plain_and_the_trained_one_in_eval_mode(tmp_path: Path) -> None:
    task = tiny_task("biggan")
    for index in range(2):
        task.step(index)
    task.network.eval()
    plain = task.network.export(16)
    z = plain.sample_z(3, seed=1)
    assert torch.equal(plain(z), task.generator(z))
    assert not any("parametrizations" in name for name in plain.state_dict())
    path = train_generator(tiny("biggan", images=16), Noise(), tmp_path, device="cpu")
    loaded = generators.load(path, device="cpu")
    assert set(loaded.state_dict()) == set(plain.state_dict())
    assert loaded.classes == Noise.classes


def test_the_recipe_has_two_turns_of_the_discriminator_and_orthogonal_regularization() -> None:
    recipe = RECIPES["biggan"]
    assert (recipe.loss, recipe.beta1, recipe.beta2, recipe.discriminator_turns) == ("hinge", 0.0, 0.999, 2)
    assert recipe.orthogonal_weight == 1e-4
    assert recipe.z_dim % 5 == 0, "at 64 px every layer has a part of the same length"
