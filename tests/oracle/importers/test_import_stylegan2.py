"""Checkpoints of StyleGAN2 in three layouts against a forward pass in float64 with weights modulated one by one."""

from __future__ import annotations

import pytest
import torch
from foreign import assert_agree, assert_contract, assert_every_name_counts, assert_says, built
from style_files import genforce, images, mapped, nvlabs, rosinality

from generators.architectures.stylegan2 import StyleGAN2
from generators.importers import import_checkpoint
from generators.importers.families.stylegan2 import LAYOUTS

NVLABS, ROSINALITY, GENFORCE = LAYOUTS


@pytest.mark.parametrize("units", [[8, 4], [6, 6, 6, 3], [3, 5, 4]], ids=str)
def test_images_of_nvlabs_stylegan2_are_those_of_the_paper(units: list[int], tmp_path) -> None:
    t = nvlabs(units)
    generator = built(NVLABS, t)
    assert isinstance(generator, StyleGAN2)
    assert generator.image_size == (2 ** (len(units) + 1),) * 2
    z = generator.sample_z(3)
    w = mapped(t, z)
    torch.testing.assert_close(generator.mapping(z)[:, 0].double(), w, rtol=1e-5, atol=1e-5)
    assert_agree(generator(z), images(t, w))
    assert_contract(generator, tmp_path)


@pytest.mark.parametrize("architecture", ["resnet", "orig"])
@pytest.mark.parametrize("clamp", [torch.inf, 0.7])
def test_images_of_the_other_architectures_are_those_of_the_paper(architecture: str, clamp: float, tmp_path) -> None:
    t = nvlabs([8, 4, 3], architecture=architecture)
    generator = built(NVLABS, t, {} if clamp == torch.inf else {"init_kwargs": {"conv_clamp": clamp}})
    assert generator.settings["structure"] == architecture
    z = generator.sample_z(3)
    assert_agree(generator(z), images(t, mapped(t, z), clamp=clamp))
    assert_contract(generator, tmp_path)
    assert_every_name_counts(NVLABS, {name: t[name] for name in t if "filter" not in name}, ["mapping.w_avg"])


def test_a_deep_mapping_and_its_mean_are_read() -> None:
    t = nvlabs([4, 3], depth=8)
    generator = built(NVLABS, t)
    assert generator.settings["mapping_depth"] == 8
    z = generator.sample_z(2)
    assert_agree(generator(z), images(t, mapped(t, z)))
    halfway = generator.mapping(z, truncation_psi=0.5)
    torch.testing.assert_close(halfway[:, 0].double(), (mapped(t, z) + t["mapping.w_avg"]) / 2, rtol=1e-5, atol=1e-5)


def test_rosinalitys_layout_makes_the_same_network_bit_for_bit() -> None:
    t = nvlabs([8, 4, 4])
    wanted = built(NVLABS, t)
    generator = built(ROSINALITY, rosinality(t), {"latent_avg": t["mapping.w_avg"]})
    assert generator.fingerprint == wanted.fingerprint


def test_genforces_layout_makes_the_same_network_but_for_the_rounding_of_styles() -> None:
    t = nvlabs([8, 4, 4])
    wanted, generator = built(NVLABS, t).state_dict(), built(GENFORCE, genforce(t))
    for name, value in generator.state_dict().items():
        if name.endswith("affine.bias"):
            torch.testing.assert_close(value, wanted[name], rtol=0, atol=1e-6)
        else:
            assert torch.equal(value, wanted[name]), name
    z = generator.sample_z(2)
    assert_agree(generator(z), images(t, mapped(t, z)))


def test_every_number_of_the_synthesis_is_in_the_network_bit_for_bit() -> None:
    t = nvlabs([8, 4, 4])
    state = built(NVLABS, t).state_dict()
    back = {"mapping.w_avg": state["mapping.w_avg"], "synthesis.b4.const": state["constant"][0]}
    for name, value in state.items():
        head, _, rest = name.partition(".")
        if head == "to_rgb":
            side, _, rest = rest.partition(".")
            back[f"synthesis.b{side}.torgb.{rest}"] = value
        elif head == "output":
            back[f"synthesis.b16.torgb.{rest}"] = value
        elif head.startswith("layer"):
            index = int(head[5:])
            block = f"synthesis.b{4 * 2 ** (index // 2)}.conv{index % 2}"
            back[f"{block}.{'noise_const' if rest == 'noise' else rest}"] = value[0, 0] if rest == "noise" else value
        elif rest.endswith("weight"):
            back[f"mapping.fc{int(rest.split('.')[1]) - 1}.weight"] = value
    lossless = {name for name in t if not name.endswith("resample_filter") and ".fc" not in name} | {
        "mapping.fc0.weight"
    }
    assert lossless <= back.keys()
    assert all(torch.equal(back[name], t[name]) for name in lossless)


def test_a_class_is_chosen_at_import(tmp_path) -> None:
    t = nvlabs([4, 3], c_dim=3)
    assert NVLABS.fit(t, {}).is_whole
    chosen = [NVLABS.build(t, {}, {"c": c}) for c in (0, 2, [0.25, 0.0, 0.75])]
    for generator, c in zip(chosen, ([1, 0, 0], [0, 0, 1], [0.25, 0, 0.75]), strict=True):
        assert generator.z_dim == 6
        z = generator.sample_z(2)
        assert_agree(generator(z), images(t, mapped(t, z, torch.tensor(c))))
    assert_contract(chosen[1], tmp_path)
    assert (chosen[0](z) - chosen[1](z)).abs().max() > 0.1
    for wrong in ({}, {"c": 3}, {"c": -1}, {"c": True}, {"c": [1, 0]}, {"c": "2"}):
        with pytest.raises(ValueError, match=r"3 classes: set the option c .* \[0, 2\]"):
            NVLABS.build(t, {}, wrong)
    with pytest.raises(ValueError, match="c must be omitted, since the network has no classes; got 1"):
        NVLABS.build(nvlabs([4, 3]), {}, {"c": 1})


@pytest.mark.parametrize(
    "facts",
    [
        {"init_kwargs": {"synthesis_kwargs": {"conv_clamp": 0.7}}},
        {"init_kwargs": {"conv_clamp": 0.7}},
        {"attributes": {"synthesis.b4.conv1": {"conv_clamp": 0.7}, "synthesis.b8.torgb": {"conv_clamp": 0.7}}},
    ],
)
def test_activations_are_clamped_as_the_file_says(facts, tmp_path) -> None:
    t = nvlabs([8, 4, 4])
    generator = built(NVLABS, t, facts)
    z = generator.sample_z(2)
    clamped = images(t, mapped(t, z), clamp=0.7)
    assert (clamped - images(t, mapped(t, z))).abs().max() > 0.1
    assert_agree(generator(z), clamped)
    assert_contract(generator, tmp_path)


def test_a_limit_that_lies_beside_the_network_in_a_file_is_read(tmp_path) -> None:
    t = nvlabs([8, 4, 4])
    file = {"G_ema": t, "init_kwargs": {"synthesis_kwargs": {"conv_clamp": 0.7}}}
    torch.save(file, tmp_path / "theirs.pth")
    generator = import_checkpoint(tmp_path / "theirs.pth")
    z = generator.sample_z(2)
    assert_agree(generator(z), images(t, mapped(t, z), clamp=0.7))


def test_another_rate_of_the_mapping_is_read() -> None:
    t = nvlabs([8, 4])
    for facts in (
        {"init_kwargs": {"mapping_kwargs": {"lr_multiplier": 0.05}}},
        {"attributes": {"mapping.fc0": {"bias_gain": 0.05}}},
    ):
        generator = built(NVLABS, t, facts)
        z = generator.sample_z(2)
        assert_agree(generator(z), images(t, mapped(t, z, rate=0.05)))


def test_one_color_no_noise_and_no_mean_w_are_taken_as_they_are() -> None:
    t = {name: value for name, value in nvlabs([8, 4], colors=1).items() if "noise" not in name and "w_avg" not in name}
    generator = built(NVLABS, t)
    z = generator.sample_z(2)
    assert_agree(generator(z), images(t, mapped(t, z), noisy=False).expand(-1, 3, -1, -1))
    mean = mapped(t, generator.sample_z(2000, seed=9)).mean(dim=0)
    spread = mapped(t, generator.sample_z(2000, seed=9)).std(dim=0)
    assert ((generator.mapping.w_avg - mean).abs() < 5 * spread / 2000**0.5).all()


def test_noise_that_a_file_does_not_hold_is_drawn_the_same_each_time() -> None:
    named = {name: value for name, value in rosinality(nvlabs([8, 4])).items() if not name.startswith("noises")}
    first, again = built(ROSINALITY, named), built(ROSINALITY, named)
    assert first.fingerprint == again.fingerprint
    assert first.layer2.noise.std() > 0.5
    assert not torch.equal(first.layer2.noise, first.layer3.noise)


def test_every_name_of_each_layout_counts() -> None:
    t = nvlabs([4, 3], depth=2)
    filters = [name for name in t if name.endswith("resample_filter")]
    del t["mapping.fc1.weight"], t["mapping.fc1.bias"]
    assert_every_name_counts(
        NVLABS, {name: value for name, value in t.items() if name not in filters}, ["mapping.w_avg"]
    )
    assert_every_name_counts(ROSINALITY, {name: value for name, value in rosinality(t).items() if "kernel" not in name})
    named = {name: value for name, value in genforce(t).items() if "kernel" not in name}
    assert_every_name_counts(GENFORCE, named, ["truncation.w_avg"])


def test_what_is_wrong_is_said() -> None:
    t = nvlabs([8, 4, 4])
    less = {name: value for name, value in t.items() if not name.startswith("synthesis.b8")}
    assert_says(NVLABS, less, ["synthesis.b8.conv0.weight", "missing"])
    with pytest.raises(ValueError, match=r"b8.conv0.resample_filter must be the filter"):
        NVLABS.build({**t, "synthesis.b8.conv0.resample_filter": torch.ones(4, 4)}, {}, {})
    with pytest.raises(ValueError, match=r"b8.conv0.resample_filter must be the filter"):
        NVLABS.build({**t, "synthesis.b8.conv0.resample_filter": torch.ones(3)}, {}, {})
    with pytest.raises(ValueError, match="conv_clamp must be one number for all layers"):
        NVLABS.build(t, {"attributes": {"a": {"conv_clamp": 1}, "b": {"conv_clamp": None}}}, {})
    with pytest.raises(ValueError, match=r"the activation of b must be lrelu .*; got 'relu'"):
        NVLABS.build(t, {"attributes": {"b": {"activation": "relu"}}}, {})
    residual = {**t, "synthesis.b8.skip.weight": torch.ones(4, 8, 1, 1)}
    assert_says(NVLABS, residual, ["missing synthesis.b16.skip.weight", "synthesis.b4.torgb.weight", "unexpected"])
    assert_says(NVLABS, {**t, "mapping.fc0.weight": torch.ones(7, 6)}, ["mapping.fc0.weight [7, 6]", "[5, 6]"])
    assert_says(
        ROSINALITY, {**rosinality(t), "convs.1.conv.weight": torch.ones(2, 4, 4, 3, 3)}, ["convs.1.conv.weight"]
    )
    assert_says(
        NVLABS, {"b8.fromrgb.weight": torch.ones(4, 3, 1, 1), "b4.out.weight": torch.ones(1, 4)}, ["discriminator"]
    )
    rosinality_d = {"convs.0.0.weight": torch.ones(4, 3, 1, 1), "final_conv.0.weight": torch.ones(4, 5, 3, 3)}
    assert_says(ROSINALITY, rosinality_d, ["discriminator"])
    assert not NVLABS.fit(genforce(t), {}).is_whole
    assert not GENFORCE.fit(t, {}).is_whole
    assert not ROSINALITY.fit(t, {}).is_whole
