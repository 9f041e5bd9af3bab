"""CoGAN: what domains share and what they do not, against each domain's generator composed by hand."""

from __future__ import annotations

from itertools import combinations

import pytest
import torch
from hypothesis import given, settings, strategies as st
from tiny_gans import Noise, enliven, tiny_task
from torch import Tensor, nn

from gandissect.core import UnitSet
from generators import DCGAN
from generators.architectures.cogan import CoGAN, CoGANDiscriminator, PerDomain
from generators.architectures.dcgan import DCGANDiscriminator
from generators.training.calibration import calibrate_batch_norm
from generators.training.needs import check_pictures

NAMES = ["noon", "dusk", "mist"]


def _make(size: int = 32, gray: bool = False) -> CoGAN:
    """Return a generator whose domains differ, in eval mode."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        generator = CoGAN(size, 4, 6, NAMES, gray)
        for value in generator.parameters():
            nn.init.normal_(value, std=0.3)
        for module in generator.modules():
            if isinstance(module, nn.BatchNorm2d):
                nn.init.normal_(module.running_mean, std=0.3)
                nn.init.uniform_(module.running_var, 0.5, 2.0)
    return generator.eval().requires_grad_(False)


def _rows(generator: CoGAN, count: int = 7, seed: int = 3) -> Tensor:
    return generator.sample_z(count, seed, classes=torch.arange(count) % len(generator.classes))


@pytest.mark.parametrize("gray", [False, True])
def test_each_domain_is_a_dcgan_of_the_shared_layers_and_its_own(gray: bool) -> None:
    G = _make(gray=gray)
    for index, name in enumerate(NAMES):
        stages = [G.layer1, G.layer2, G.layer3.domains[index], G.output.domains[index]]
        z = G.sample_z(5, seed=1, classes=name)
        expected = nn.Sequential(*stages)(z[:, :6, None, None])
        assert torch.equal(G(z), expected)
        assert torch.equal(G.of_classes(name)(G.of_classes(name).sample_z(5, seed=1)), expected)


@pytest.mark.parametrize(("size", "own_layers"), [(16, 0), (16, 1), (32, 1), (64, 0), (64, 2), (64, 3)])
def test_the_last_layers_and_the_output_are_a_domains_own(size: int, own_layers: int) -> None:
    G = CoGAN(size, 4, 6, NAMES, own_layers=own_layers).eval()
    own = [name for name, child in G.named_children() if isinstance(child, PerDomain)]
    assert own == [*list(G.layers)[len(G.layers) - own_layers :], "output"]
    assert G.layers == DCGAN(size, 4, 6).layers
    assert G(_rows(G)).shape == (7, 3, size, size)
    copy = CoGAN(**G.settings).eval()
    copy.load_state_dict(G.state_dict())
    assert torch.equal(copy(_rows(G)), G(_rows(G)))


@pytest.mark.parametrize(("size", "own_layers"), [(16, 2), (64, 4), (64, -1)])
def test_at_least_one_layer_is_shared(size: int, own_layers: int) -> None:
    with pytest.raises(ValueError, match=rf"own_layers \(--own-layers\) must be 0 to .* got {own_layers}"):
        CoGAN(size, 4, 6, NAMES, own_layers=own_layers)


def test_the_same_noise_has_the_same_shared_activations_and_other_images() -> None:
    G = _make()
    pair = [G.sample_z(4, seed=2, classes=name) for name in NAMES[:2]]
    shared, own = ([G.head(z, layer) for z in pair] for layer in ("layer2", "layer3"))
    assert torch.equal(*shared)
    assert not torch.isclose(*own).all(1).any()
    assert not torch.equal(G(pair[0]), G(pair[1]))


def test_rows_of_several_domains_are_those_of_each_domain_in_order() -> None:
    G = _make()
    z = _rows(G, 9)[torch.tensor([4, 0, 8, 1, 7, 3, 2, 6, 5])]
    together = G(z)
    for row in range(len(z)):
        assert torch.allclose(G(z[row : row + 1]), together[row : row + 1], atol=1e-6)
    for index in range(3):
        own = z[:, 6:].argmax(1) == index
        assert torch.allclose(G(z[own]), together[own], atol=1e-6)


def test_batch_norm_in_training_measures_the_rows_of_its_domain_only() -> None:
    G = _make().train()
    z = _rows(G, 8)
    x = G.run(G.input(z), G.context(z), 0, 2)
    G.layer3(x, G.context(z))
    for index in range(3):
        norm = G.layer3.domains[index][1]
        mine = G.layer3.domains[index][0](x[z[:, 6:].argmax(1) == index])
        other = _make().layer3.domains[index][1]
        expected = 0.9 * other.running_mean + 0.1 * mine.mean((0, 2, 3))
        assert torch.allclose(norm.running_mean, expected, atol=1e-6)


def test_a_domain_with_one_row_or_none_trains() -> None:
    G = _make().train()
    for indices in ([0, 0, 0, 1], [2, 2], [1]):
        images = G(G.sample_z(len(indices), classes=torch.tensor(indices)))
        assert images.isfinite().all()


def test_no_rows_make_no_images() -> None:
    G = _make()
    assert G(G.sample_z(0)).shape == (0, 3, 32, 32)


def test_a_norm_that_waits_for_other_processes_runs_without_rows() -> None:
    class Waits(nn.SyncBatchNorm):
        """Counts how often it is asked."""

        asked = 0

        def forward(self, x: Tensor) -> Tensor:
            self.asked += 1
            return x

    waiting, plain = PerDomain(Waits(3), 2).train(), PerDomain(nn.BatchNorm2d(3), 2).train()
    x, domains = torch.randn(4, 3, 2, 2), torch.zeros(4, dtype=torch.int64)
    assert torch.equal(waiting(x, domains), x)
    plain(x, domains)
    assert [norm.asked for norm in waiting.domains] == [1, 1]
    assert [int(norm.num_batches_tracked) for norm in plain.domains] == [1, 0]


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 2), min_size=1, max_size=12))
def test_each_row_passes_through_the_module_of_its_domain(domains: list[int]) -> None:
    stage = PerDomain(nn.Conv2d(2, 3, 1), 3)
    for index, module in enumerate(stage.domains):
        nn.init.constant_(module.weight, index + 1.0)
        nn.init.constant_(module.bias, -index)
    x = torch.randn(len(domains), 2, 4, 4)
    found = stage(x, torch.tensor(domains))
    for row, index in enumerate(domains):
        expected = (index + 1) * x[row].sum(0, keepdim=True).expand(3, -1, -1) - index
        assert torch.allclose(found[row], expected, atol=1e-5)


def test_domains_begin_alike_and_share_one_storage_where_they_share() -> None:
    G = CoGAN(32, 4, 6, NAMES)
    for stage in (G.layer3, G.output):
        for one, other in combinations(stage.domains, 2):
            for a, b in zip(one.parameters(), other.parameters(), strict=True):
                assert torch.equal(a, b) and a.data_ptr() != b.data_ptr()
    pointers = [parameter.data_ptr() for parameter in G.parameters()]
    assert len(set(pointers)) == len(pointers)
    dusk = G.of_classes("dusk")
    assert [parameter.data_ptr() for parameter in dusk.parameters()] == pointers
    expected = sum(p.numel() for p in DCGAN(32, 4, 6).parameters())
    expected += 2 * sum(p.numel() for part in (G.layer3, G.output) for p in part.domains[0].parameters())
    assert sum(parameter.numel() for parameter in G.parameters()) == expected


def test_a_forced_unit_of_a_shared_layer_is_forced_in_all_domains() -> None:
    G = _make()
    for layer in ("layer2", "layer3"):
        forced = G.forcing(UnitSet(layer, (1,)), [0.7])
        assert (forced.head(_rows(G), layer)[:, 1] == 0.7).all()


def test_latent_maps_ignore_the_domain() -> None:
    G = _make()
    (weight,) = G.latent_maps()
    assert weight.shape == (G.layers["layer1"].units * 16, G.z_dim)
    assert not weight[:, 6:].any()
    z = _rows(G)
    assert torch.allclose(z @ weight.T, G.layer1[0](G.input(z)).flatten(1), atol=1e-6)


@pytest.mark.parametrize("gray", [False, True])
def test_each_discriminator_is_a_dcgans_with_its_own_first_layer(gray: bool) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        D = enliven(CoGANDiscriminator(16, 4, 3, gray=gray)).eval()
        for first in D.first.domains:
            nn.init.normal_(first[0].weight)
    images, classes = torch.randn(6, 3, 16, 16), torch.tensor([2, 0, 1, 1, 0, 2])
    channels = 1 if gray else 3
    for row, index in enumerate(classes.tolist()):
        plain = DCGANDiscriminator(16, 4, channels=channels).eval()
        plain.stages[:2].load_state_dict(D.first.domains[index].state_dict())
        for mine, theirs in zip(plain.stages[2:], D.shared, strict=True):
            mine.load_state_dict(theirs.state_dict())
        assert torch.allclose(D(images, classes)[row], plain(images[row : row + 1, :channels])[0], atol=1e-5)


def test_shared_weights_learn_from_all_domains_and_own_ones_from_theirs() -> None:
    G = _make().train().requires_grad_(True)
    G(G.sample_z(4, classes="dusk")).sum().backward()
    for stage in (G.layer3, G.output):
        for index, module in enumerate(stage.domains):
            assert all((parameter.grad is not None) == (index == 1) for parameter in module.parameters())
    assert all(parameter.grad is not None for parameter in G.layer1.parameters())


def test_every_shared_weight_steps_once() -> None:
    task = tiny_task("cogan")
    for name, optimizer in task.optimizers.items():
        weights = [weight for group in optimizer.param_groups for weight in group["params"]]
        assert len({weight.data_ptr() for weight in weights}) == len(weights)
        assert len(weights) == len(list(task.networks[name].parameters()))
    task.step(0)
    states = task.optimizers["generator"].state.values()
    assert {int(state["step"]) for state in states} == {1}


def test_calibration_measures_every_domain() -> None:
    G = _make()
    calibrate_batch_norm(G, seed=0, num_batches=4, batch_size=300)
    z = G.sample_z(3000, seed=9)
    x = G.run(G.input(z), G.context(z), 0, 2)
    for index, module in enumerate(G.layer3.domains):
        mine = module[0](x[z[:, 6:].argmax(1) == index])
        assert torch.allclose(module[1].running_mean, mine.mean((0, 2, 3)), atol=0.2)
        assert torch.allclose(module[1].running_var, mine.var((0, 2, 3)), rtol=0.2)


def test_its_name_and_its_fingerprint_state_the_domain() -> None:
    G = _make()
    dusk = G.of_classes("dusk")
    assert dusk.name == "cogan of dusk"
    assert len({G.fingerprint, dusk.fingerprint, G.of_classes("noon").fingerprint}) == 3


def test_pictures_without_domains_are_refused() -> None:
    with pytest.raises(ValueError, match=r"name domains \(--data day=FOLDER night=FOLDER\)"):
        check_pictures("cogan", Noise(), ("noon",))
