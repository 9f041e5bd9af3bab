"""The improved techniques against plain re-implementations, and what each promises while it trains."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from test_gan_families import _assert_same_end
from tiny_gans import Noise, Stops, count_reads, tiny
from torch import Tensor, nn

import generators
from generators.architectures.dcgan import DCGANDiscriminator
from generators.architectures.minibatch import DISTANCE, MinibatchDiscrimination, MinibatchDiscriminator
from generators.architectures.mlp import MLPDiscriminator
from generators.architectures.virtual_norm import (
    NUM_REFERENCES,
    Moments,
    VirtualBatchNorm,
    VirtualNormDCGAN,
    VirtualNormMLP,
)
from generators.training import GANTask, train_generator
from generators.training.growth import Growth
from generators.training.losses import logistic_discriminator
from generators.training.techniques import History, match_features, smoothed_logistic_discriminator

SWITCHES: dict[str, dict[str, Any]] = {
    "feature matching": {"feature_matching": True},
    "minibatch discrimination": {"minibatch_kernels": 3},
    "label smoothing": {"label_smoothing": 0.1},
    "historical averaging": {"historical_averaging": 0.1},
    "virtual batch norm": {"virtual_batch_norm": True},
    "all": {
        "feature_matching": True,
        "minibatch_kernels": 3,
        "label_smoothing": 0.1,
        "historical_averaging": 0.1,
        "virtual_batch_norm": True,
    },
}


def _rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _task(architecture: str = "dcgan", **changes: Any) -> GANTask:
    return GANTask(tiny(architecture, **{"augmentation": ()} | changes), Noise(), device="cpu")


@pytest.mark.parametrize("architecture", ["gan", "dcgan"])
@pytest.mark.parametrize("switch", SWITCHES)
def test_each_switch_trains_every_weight(architecture: str, switch: str) -> None:
    task = _task(architecture, bf16=switch == "all", **SWITCHES[switch])
    before = {f"{n}.{k}": v.clone() for n, network in task.networks.items() for k, v in network.named_parameters()}
    for index in range(2):
        assert all(math.isfinite(value) for value in task.step(index).values())
    for name, network in task.networks.items():
        for key, value in network.named_parameters():
            assert not torch.equal(value, before[f"{name}.{key}"]), f"{name}.{key}"


@pytest.mark.parametrize("architecture", ["gan", "dcgan"])
def test_a_run_with_every_technique_resumes_bit_equal(architecture: str, tmp_path: Path) -> None:
    settings = tiny(architecture, images=8 * 5, **SWITCHES["all"])
    train_generator(settings, Noise(), tmp_path / "whole", device="cpu")
    assert count_reads(settings) == 2, "one for the discriminator and one to match"
    with pytest.raises(KeyboardInterrupt):
        train_generator(settings, Stops(5), tmp_path / "part", checkpoint_images=8, device="cpu")
    train_generator(settings, Noise(), tmp_path / "part", checkpoint_images=8, device="cpu")
    _assert_same_end(tmp_path / "whole", tmp_path / "part")


def test_the_techniques_are_off_in_every_recipe_and_leave_the_checkpoint_as_it_was() -> None:
    assert _task().state == {}
    assert list(_task(historical_averaging=0.1).state) == ["history"]


def test_feature_matching_is_the_squared_distance_of_means_in_closed_form() -> None:
    real, fake = torch.tensor([[1.0, 0.0], [3.0, 4.0]]), torch.tensor([[0.0, 0.0], [2.0, -2.0]])
    assert match_features(real, fake) == pytest.approx((2 - 1) ** 2 + (2 - -1) ** 2)
    assert match_features(real, real.flip(0)) == 0


def test_the_features_are_those_the_logit_is_a_linear_map_of() -> None:
    images = torch.randn(4, 3, 16, 16, generator=_rng())
    for judge in (MLPDiscriminator(16, 4, 8), DCGANDiscriminator(16, 4)):
        last = judge.stages[-1]
        assert isinstance(last, nn.Linear | nn.Conv2d)
        logits = judge.features(images).flatten(1) @ last.weight.flatten(1).T + last.bias
        torch.testing.assert_close(judge(images), logits.squeeze(1))


def test_a_step_of_feature_matching_brings_the_means_closer() -> None:
    task, growth = _task(feature_matching=True, learning_rate=1e-3, beta1=0.0), Growth(16, 1.0)

    def distance() -> float:
        rows = task.draw_rows("generator", 0)
        with torch.no_grad():
            fake = task.generate(task.network, rows, "generator", 0, growth)
            features: Any = task.discriminator.features
            return float(match_features(features(task.pictures.load(0).images), features(fake)))

    before = distance()
    task.turns[1].take(task, 0, growth)
    assert distance() < before


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.5])
def test_smoothing_is_the_cross_entropy_with_a_smaller_target_for_real_images_only(smoothing: float) -> None:
    real, fake = torch.randn(9, generator=_rng()), torch.randn(9, generator=_rng(1))
    bce = nn.functional.binary_cross_entropy_with_logits
    expected = bce(real, torch.full_like(real, 1 - smoothing)) + bce(fake, torch.zeros_like(fake))
    torch.testing.assert_close(smoothed_logistic_discriminator(real, fake, smoothing), expected)
    if not smoothing:
        assert smoothed_logistic_discriminator(real, fake, 0.0) == logistic_discriminator(real, fake)


def test_history_is_the_plain_mean_of_all_past_weights() -> None:
    network, history, past = nn.Linear(3, 2), History(), []
    assert history.distance("net", network) == 0, "without a past"
    for seed in range(4):
        for weight in network.parameters():
            weight.data.normal_(generator=_rng(seed))
        past.append(torch.cat([weight.detach().flatten() for weight in network.parameters()]))
        history.observe("net", network)
    expected = (past[-1] - torch.stack(past).mean(0)).square().sum()
    torch.testing.assert_close(history.distance("net", network).detach(), expected)
    restored = History()
    restored.load_state_dict(history.state_dict())
    assert torch.equal(restored.distance("net", network), history.distance("net", network))
    history.distance("net", network).backward()
    gradient = torch.cat([weight.grad.flatten() for weight in network.parameters() if weight.grad is not None])
    torch.testing.assert_close(gradient, 2 * (past[-1] - torch.stack(past).mean(0)))


def test_both_networks_are_averaged_once_per_turn() -> None:
    task = _task(historical_averaging=0.1, discriminator_turns=3)
    for index in range(2):
        task.step(index)
    assert task.history.state_dict()["counts"] == {"discriminator": 6, "generator": 2}


def _plain_similarities(layer: MinibatchDiscrimination, features: Tensor) -> Tensor:
    """Return ``o_b(i)`` by loops over images and kernels."""
    directions, scales = layer.directions.detach().double(), layer.log_scales.detach().double().exp()
    count, kernels = len(features), directions.shape[2]
    out = torch.zeros(count, kernels, dtype=torch.float64)
    for b in range(kernels):
        columns = [directions[c, :, b] / directions[c, :, b].norm() * scales[c, b] for c in range(len(directions))]
        vectors = torch.stack([features.double() @ column for column in columns], 1)
        for i in range(count):
            for j in range(count):
                if i != j:
                    out[i, b] += torch.exp(-(vectors[i] - vectors[j]).abs().sum())
    return out - layer.center.double()


def test_similarities_are_those_of_a_plain_loop() -> None:
    layer = MinibatchDiscrimination(6, 3)
    features = torch.randn(5, 6, generator=_rng())
    for _ in range(2):
        torch.testing.assert_close(layer(features).double(), _plain_similarities(layer, features), rtol=1e-4, atol=1e-5)
        features = features * 3


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
def test_the_first_batch_scales_the_kernels_so_that_the_layer_is_alive(scale: float) -> None:
    layer = MinibatchDiscrimination(6, 3)
    features = scale * torch.randn(16, 6, generator=_rng())
    with torch.no_grad():
        layer(features)
        distances = layer._distances(features)[~torch.eye(16, dtype=torch.bool)]
        torch.testing.assert_close(distances.mean(0), torch.full((3,), DISTANCE))
        torch.testing.assert_close(layer(features).mean(0), torch.zeros(3), atol=1e-5, rtol=0)
        assert float(layer(features).std(0).min()) > 0.01
        scales = layer.log_scales.clone()
        layer(7 * features)
        assert torch.equal(layer.log_scales, scales), "only the first batch does"


def test_a_layer_in_eval_mode_is_not_scaled() -> None:
    layer = MinibatchDiscrimination(6, 3).eval()
    layer(torch.randn(5, 6, generator=_rng()))
    assert not layer.is_scaled


def test_the_discriminator_tells_a_batch_of_equal_images_from_one_of_different_images() -> None:
    """Without minibatch discrimination the logits of an image are the same beside copies of it."""
    judge = MLPDiscriminator(16, 4, 8)
    network = MinibatchDiscriminator(judge, 3)
    images = torch.randn(8, 3, 16, 16, generator=_rng())
    network(images)
    copies = images[:1].expand(8, -1, -1, -1)
    torch.testing.assert_close(judge(images)[0], judge(copies)[0])
    assert float((network(images)[0] - network(copies)[0]).detach().abs()) > 1e-2
    torch.testing.assert_close(network(images[[1, 0, *range(2, 8)]])[0], network(images)[1])


@pytest.mark.parametrize("shape", [(5, 4), (5, 4, 3, 3)])
def test_virtual_norm_is_that_of_the_reference_batch_and_the_image_together(shape: tuple[int, ...]) -> None:
    norm = VirtualBatchNorm(4)
    norm.weight.data.uniform_(0.5, 2, generator=_rng(2))
    norm.bias.data.normal_(generator=_rng(3))
    x = torch.randn(shape, generator=_rng())
    reference = 2 * torch.randn(NUM_REFERENCES, *shape[1:], generator=_rng(1)) + 1
    flat = reference.transpose(0, 1).flatten(1)
    result = norm(x, Moments(flat.mean(1), flat.square().mean(1)))
    for i in range(len(x)):
        both = torch.cat([reference, x[i : i + 1]])
        expected = nn.functional.batch_norm(both, None, None, norm.weight, norm.bias, training=True)[-1]
        torch.testing.assert_close(result[i], expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", [VirtualNormDCGAN, VirtualNormMLP])
def test_an_image_does_not_depend_on_its_batch_in_training_or_after(kind: type[Any]) -> None:
    generator = kind(16, 4, z_dim=6)
    z = torch.randn(4, 6, generator=_rng())
    together = generator(z)
    torch.testing.assert_close(torch.cat([generator(row[None]) for row in z]), together, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(generator.eval()(z), together)
    assert not any(isinstance(module, nn.modules.batchnorm._BatchNorm) for module in generator.modules())


def test_hooks_on_a_layer_see_the_images_only() -> None:
    generator, seen = VirtualNormDCGAN(16, 4, 6), []
    generator.layer1.register_forward_hook(lambda _m, _i, output: seen.append(len(output)))
    generator(torch.randn(3, 6, generator=_rng()))
    assert seen == [3]


def test_a_generator_with_virtual_norm_is_trained_and_loaded_with_its_reference_batch(tmp_path: Path) -> None:
    path = train_generator(tiny("dcgan", virtual_batch_norm=True, images=16), Noise(), tmp_path, device="cpu")
    generator = generators.load(path, device="cpu")
    assert isinstance(generator, VirtualNormDCGAN)
    assert float(generator.reference.std()) == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize(
    ("architecture", "changes", "words"),
    [
        ("progan", {"feature_matching": True}, "feature_matching .* needs the architecture gan or dcgan; got progan"),
        ("egan", {"feature_matching": True}, "got egan"),
        ("cgan", {"minibatch_kernels": 4}, r"minibatch_kernels \(--minibatch-kernels\) needs .* gan or dcgan or egan"),
        (
            "dcgan",
            {"orthogonal_weight": 1e-4},
            "orthogonal_weight .* needs the architecture sagan or biggan; got dcgan",
        ),
        ("gan", {"own_layers": 2}, r"own_layers \(--own-layers\) needs the architecture cogan; got gan"),
        ("progan", {"mixing": 0.5}, "mixing .* stylegan or stylegan2; got progan"),
        ("sagan", {"embedding_dim": 4}, "embedding_dim .* needs the architecture biggan; got sagan"),
        ("stylegan", {"virtual_batch_norm": True}, "virtual_batch_norm .* got stylegan"),
        ("gan", {"virtual_batch_norm": True, "resolution": 1}, "generator of points has no norm"),
        ("dcgan", {"label_smoothing": 0.1, "loss": "hinge"}, "label_smoothing .* logistic or minimax; got hinge"),
        ("dcgan", {"feature_matching": 1}, r"feature_matching \(--feature-matching\) must be True or False; got 1"),
    ],
)
def test_what_has_no_such_technique_is_named(architecture: str, changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        tiny(architecture, **changes)
