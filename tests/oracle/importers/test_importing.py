"""Files in every container, recognized by what is in them, and imported as the networks that they hold."""

from __future__ import annotations

import argparse
import json
import pickle
import warnings
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pytest
import torch
from foreign import Draw, assert_agree
from pickled_files import nvlabs_file, tensorflow_file, torch_file
from safetensors.torch import save
from style_files import images, mapped, nvlabs
from test_import_stylegan import _genforce, _genforce_images
from torch import Tensor, nn
from torch.nn import functional

import generators
from apps.cli import main
from generators.importers import explain, import_checkpoint
from generators.importers.files.checkpoint import Checkpoint, read_checkpoint
from generators.importers.networks import find_networks

Z = torch.randn(2, 6, generator=torch.Generator().manual_seed(1))


def _written(folder: Path, data: bytes, name: str = "any.name") -> Path:
    (folder / name).write_bytes(data)
    return folder / name


def _dcgan(seed: int = 0) -> nn.Module:
    """The DCGAN of pytorch/examples, with 16 x 16 pixels."""
    torch.manual_seed(seed)
    shapes = [(5, 8, 1, 0), (8, 4, 2, 1)]
    layers = [(nn.ConvTranspose2d(a, b, 4, s, p, bias=False), nn.BatchNorm2d(b), nn.ReLU()) for a, b, s, p in shapes]
    last = [nn.ConvTranspose2d(4, 3, 4, 2, 1, bias=False), nn.Tanh()]
    return nn.ModuleDict({"main": nn.Sequential(*[part for layer in layers for part in layer], *last)}).eval()


def _same(left: nn.Module, right: nn.Module) -> None:
    one, other = left.state_dict(), right.state_dict()
    assert list(one) == list(other)
    assert all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("zipped", [True, False])
def test_what_torch_saves_is_read_as_torch_reads_it(zipped: bool, tmp_path: Path) -> None:
    network = _dcgan()
    optimizer = torch.optim.Adam(network.parameters())
    network["main"](torch.ones(2, 5, 1, 1)).sum().backward()
    optimizer.step()
    base = torch.arange(24.0).reshape(4, 6)
    value = {
        "model": network.state_dict(),
        "optimizer": optimizer.state_dict(),
        "half": [base.half(), base.bfloat16(), base.to(torch.complex64), base.long(), base > 3, torch.empty(0, 2)],
        "views": (base, base.t(), base[1:, ::2], base[:1].expand(5, 6), nn.Parameter(base)),
        "said": {"n": 3, "rate": 0.1, "none": None, "flag": True, "text": "é", 7: b"bytes"},
    }
    path = _written(tmp_path, torch_file(value, zipped=zipped))
    wanted, got = torch.load(path, weights_only=True), read_checkpoint(path)
    assert got.kind == "torch"
    _equal(got.tree, wanted)


def _equal(got: Any, wanted: Any) -> None:
    match wanted:
        case Tensor():
            assert (got.dtype, got.shape, got.stride()) == (wanted.dtype, wanted.shape, wanted.stride())
            assert torch.equal(got, wanted.detach())
        case dict():
            assert list(got) == list(wanted)
            for key in wanted:
                _equal(got[key], wanted[key])
        case list() | tuple():
            assert len(got) == len(wanted)
            for one, other in zip(got, wanted, strict=True):
                _equal(one, other)
        case _:
            assert got == wanted
            assert type(got) is type(wanted)


def test_namespaces_arrays_and_modules_are_plain_values(tmp_path: Path) -> None:
    module = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3, track_running_stats=True))
    value = {
        "args": argparse.Namespace(size=64, name="x"),
        "array": np.arange(6, dtype=">i2").reshape(2, 3).T,
        "net": module,
    }
    path = _written(tmp_path, torch_file(value))
    tree = read_checkpoint(path).tree
    assert tree["args"] == {"size": 64, "name": "x"}
    assert tree["array"].tolist() == [[0, 3], [1, 4], [2, 5]]
    (network,) = find_networks(Checkpoint("x", "torch", {"net": tree["net"]}))
    state = module.state_dict()
    assert sorted(network.tensors) == sorted(state)
    assert all(torch.equal(network.tensors[name], state[name]) for name in state)
    assert network.facts["attributes"]["0"]["in_features"] == 2


WRAPPED = {
    "bare": lambda state: state,
    "module.": lambda state: {f"module.{name}": value for name, value in state.items()},
    "state_dict": lambda state: {"epoch": 3, "state_dict": state},
    "mimicry": lambda state: {"model_state_dict": state, "optimizer_state_dict": {"state": {0: {"x": torch.ones(2)}}}},
    "rosinality": lambda state: {"g": _off(state), "d": _off(state), "g_ema": state, "g_optim": {"state": {}}},
    "genforce": lambda state: {
        "models": {"discriminator": _off(state), "generator_smooth": state, "generator": _off(state)}
    },
    "lightning": lambda state: {
        "state_dict": {
            f"{net}.{name}": value for net in ("discriminator", "generator") for name, value in state.items()
        }
        | {"loss.vgg.weight": torch.ones(2)},
        "hyper_parameters": {"folder": PurePosixPath("a/b"), "seen": np.arange(3, dtype="u4")},
    },
    "one module that holds it": lambda state: {f"netG.module.{name}": value for name, value in state.items()},
    "averaged by torch": lambda state: {
        "n_averaged": torch.tensor(3),
        **{f"module.{name}": v for name, v in state.items()},
    },
    "names before state_dict": lambda state: {
        "discriminator_state_dict": _off(state),
        "generator_state_dict": _off(state),
        "ema_state_dict": state,
    },
    "g_running": lambda state: {
        "generator": _off(state),
        "g_running": {f"module.{name}": v for name, v in state.items()},
    },
}


def _off(state: Any) -> Any:
    return {name: value + 1 for name, value in state.items()}


@pytest.mark.parametrize("wrapping", WRAPPED)
def test_the_averaged_generator_is_found_in_its_wrappings(wrapping: str, tmp_path: Path) -> None:
    network = _dcgan()
    path = _written(tmp_path, torch_file(WRAPPED[wrapping](dict(network.state_dict()))), "net.D.optimizer")
    generator = generators.load(str(path), device="cpu")
    z = torch.randn(3, 5)
    with torch.no_grad():
        wanted = network["main"](z[:, :, None, None])
    torch.testing.assert_close(generator(z), wanted, rtol=0, atol=1e-5)
    assert generator.name == str(path)


def test_every_wrapping_can_be_explained_with_what_lies_beside_it(tmp_path: Path) -> None:
    """Tensors and lists have no truth value; a file cannot set facts that the importer computes."""
    beside = {
        "latent_avg": torch.ones(5),
        "class": 3,
        "kind": [1],
        "refused": torch.ones(2),
        "attributes": {"a": 1},
        b"k": 1,
    }
    path = _written(tmp_path, torch_file({**beside, "g_ema": dict(_dcgan().state_dict())}))
    said = explain(path)
    assert said.verdict == "recognized: pytorch/examples DCGAN in g_ema"
    json.dumps(said.record())
    assert "DCGAN" in "\n".join(said.lines())
    assert import_checkpoint(path).z_dim == 5


def test_tensors_that_are_kept_otherwise_than_plainly_are_refused_and_not_read_wrongly(tmp_path: Path) -> None:
    state = dict(_dcgan().state_dict())
    kept = {
        "as its negative": torch._neg_view(-state["main.0.weight"]),
        "plain tensors instead": state["main.0.weight"].to_sparse(),
        "must contain plain numbers; got torch.complex64": state["main.0.weight"].to(torch.complex64),
    }
    for words, value in kept.items():
        assert words in _refusal(tmp_path, torch_file(state | {"main.0.weight": value}))
    assert "float8_e4m3fn" in _refusal(
        tmp_path, save(state | {"main.0.weight": state["main.0.weight"].to(torch.float8_e4m3fn)})
    )


def test_safetensors_of_others_are_read_and_ours_stay_ours(tmp_path: Path) -> None:
    path = _written(tmp_path, save(dict(_dcgan().state_dict())))
    generator = generators.load(path, device="cpu")
    generators.save(generator, tmp_path / "full.safetensors", half=False)
    again = generators.load(tmp_path / "full.safetensors", device="cpu")
    _same(again, generator)
    assert again.fingerprint == generator.fingerprint


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_a_pickle_of_nvlabs_makes_the_images_of_the_paper(protocol: int, tmp_path: Path) -> None:
    tensors = nvlabs([5, 4, 3])
    path = _written(tmp_path, nvlabs_file(tensors, {"z_dim": 6, "c_dim": 0}, protocol))
    networks = find_networks(read_checkpoint(path))
    assert [network.where for network in networks] == ["G_ema", "G", "D"]
    assert sorted(networks[0].tensors) == sorted(tensors)
    assert all(torch.equal(networks[0].tensors[name], value) for name, value in tensors.items())
    assert networks[0].facts["init_kwargs"] == {"z_dim": 6, "c_dim": 0}
    generator = import_checkpoint(path)
    assert_agree(generator(Z), images(tensors, mapped(tensors, Z)))


def _variables2(t: dict[str, Tensor]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The variables of StyleGAN2 with TensorFlow's names and axes: mapping, synthesis."""
    mapping, synthesis = {}, {"lod": np.float32(0)}
    for name, value in t.items():
        match name.split("."):
            case ["mapping", layer, leaf] if layer.startswith("fc"):
                mapping[f"Dense{layer[2:]}/{leaf}"] = value.numpy().T.copy()
            case ["synthesis", "b4", "const"]:
                synthesis["4x4/Const/const"] = value.numpy()[None]
            case ["synthesis", block, part, *leaf] if leaf and leaf != ["resample_filter"]:
                side, conv1 = int(block[1:]), "Conv" if block == "b4" else "Conv1"
                scope = {"conv0": "Conv0_up", "conv1": conv1, "torgb": "ToRGB", "skip": "Skip"}[part]
                array = value.numpy()
                if leaf == ["weight"]:
                    array = np.moveaxis(array, (2, 3, 1, 0), (0, 1, 2, 3))
                    array = array[::-1, ::-1] if part == "conv0" else array
                elif leaf == ["affine", "weight"]:
                    array = array.T
                elif leaf == ["affine", "bias"]:
                    array = array - 1
                if leaf == ["noise_const"]:
                    index = 2 * int(np.log2(side)) - (5 if part == "conv0" else 4)
                    synthesis[f"noise{index}"] = array[None, None]
                else:
                    end = {"affine weight": "mod_weight", "affine bias": "mod_bias"}.get(" ".join(leaf), leaf[0])
                    synthesis[f"{side}x{side}/{scope}/{end}"] = np.array(array)
    return mapping, synthesis


@pytest.mark.parametrize(("protocol", "architecture"), [(2, "skip"), (4, "resnet"), (4, "orig")])
def test_a_tensorflow_stylegan2_makes_the_images_of_the_paper(protocol: int, architecture: str, tmp_path: Path) -> None:
    tensors = nvlabs([5, 4, 3], architecture=architecture)
    mapping, synthesis = _variables2(tensors)
    own = {"dlatent_avg": tensors["mapping.w_avg"].numpy()}
    settings = {"resolution": 16, "architecture": architecture}
    data = tensorflow_file({"mapping": mapping, "synthesis": synthesis}, own, settings, protocol)
    generator = import_checkpoint(_written(tmp_path, data))
    assert_agree(generator(Z), images(tensors, mapped(tensors, Z)))
    assert torch.equal(generator.mapping.w_avg, tensors["mapping.w_avg"])
    data = tensorflow_file({"mapping": mapping, "synthesis": synthesis}, own, {"resample_kernel": [1, 2, 1]})
    with pytest.raises(ValueError, match=r"settings are not supported: resample_kernel = \[1, 2, 1\]"):
        import_checkpoint(_written(tmp_path, data))


def _variables1(t: dict[str, Tensor], fused: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """The variables of StyleGAN with TensorFlow's names and axes: mapping, synthesis."""
    mapping, synthesis, last = {}, {"lod": np.float32(0)}, 0
    for name, value in t.items():
        array, words = value.numpy(), name.split(".")
        match words:
            case ["mapping", layer, leaf]:
                mapping[f"Dense{layer[5:]}/{leaf}"] = np.array(array.T)
            case ["synthesis", layer, *leaf] if layer.startswith("layer") and "blur" not in leaf:
                index = int(layer[5:])
                side = 4 * 2 ** (index // 2)
                part = ("Const" if index == 0 else "Conv0_up") if index % 2 == 0 else "Conv" if side == 4 else "Conv1"
                if leaf == ["weight"]:
                    array = array.transpose(2, 3, 1, 0)
                    array = array[::-1, ::-1] if part == "Conv0_up" and fused is True else array
                end = {
                    "apply_noise weight": "Noise/weight",
                    "style weight": "StyleMod/weight",
                    "style bias": "StyleMod/bias",
                }
                key = f"{side}x{side}/{part}/{end.get(' '.join(leaf), leaf[0])}"
                key = f"noise{index}" if leaf == ["apply_noise", "noise"] else key
                synthesis[key] = np.array(array.T if leaf == ["style", "weight"] else array)
                last = max(last, index // 2)
    for level in range(last + 1):
        weight, bias = (t[f"synthesis.output{level}.{leaf}"].numpy() for leaf in ("weight", "bias"))
        synthesis[f"ToRGB_lod{last - level}/weight"] = weight.transpose(2, 3, 1, 0)
        synthesis[f"ToRGB_lod{last - level}/bias"] = bias
    return mapping, synthesis


@pytest.mark.parametrize("fused", ["auto", True, False])
def test_a_tensorflow_stylegan_makes_the_images_of_the_paper(fused: Any, tmp_path: Path) -> None:
    tensors = _genforce([5, 4, 3])
    mapping, synthesis = _variables1(tensors, fused)
    own = {"dlatent_avg": tensors["truncation.w_avg"].numpy(), "lod": np.float32(0)}
    data = tensorflow_file({"mapping": mapping, "synthesis": synthesis}, own, {"fused_scale": fused})
    generator = import_checkpoint(_written(tmp_path, data))
    assert_agree(generator(Z), _genforce_images(tensors, Z))
    assert torch.equal(generator.mapping.w_avg, tensors["truncation.w_avg"])


def _convolved(x: Tensor, kernel: np.ndarray, bias: np.ndarray, gain: float = 2**0.5) -> Tensor:
    """A convolution in TensorFlow's format, [h, w, in, out], with one product per kernel position."""
    weight = torch.from_numpy(np.asarray(kernel, np.float64)) * gain / np.sqrt(np.prod(kernel.shape[:3]))
    edge = kernel.shape[0] // 2
    wide = functional.pad(x, (edge,) * 4)
    total = sum(
        torch.einsum("bihw,io->bohw", wide[:, :, a : a + x.shape[2], b : b + x.shape[3]], weight[a, b])
        for a in range(kernel.shape[0])
        for b in range(kernel.shape[1])
    )
    return total + torch.from_numpy(np.asarray(bias, np.float64))[None, :, None, None]


def _scattered(x: Tensor, kernel: np.ndarray, bias: np.ndarray) -> Tensor:
    """TensorFlow's one-step doubling of the grid: each pixel adds a 4 x 4 kernel, [h, w, out, in]."""
    weight = torch.from_numpy(np.asarray(kernel, np.float64)) * 2**0.5 / np.sqrt(9 * kernel.shape[3])
    padded = functional.pad(weight, (0, 0, 0, 0, 1, 1, 1, 1))
    spread = padded[1:, 1:] + padded[:-1, 1:] + padded[1:, :-1] + padded[:-1, :-1]
    side = x.shape[2]
    wide = torch.zeros(len(x), kernel.shape[2], 2 * side + 2, 2 * side + 2, dtype=torch.float64)
    for i in range(side):
        for j in range(side):
            wide[:, :, 2 * i : 2 * i + 4, 2 * j : 2 * j + 4] += torch.einsum("bi,hwoi->bohw", x[:, :, i, j], spread)
    return wide[:, :, 1:-1, 1:-1] + torch.from_numpy(np.asarray(bias, np.float64))[None, :, None, None]


def _unit(x: Tensor) -> Tensor:
    return x / (x.square().mean(dim=1, keepdim=True) + 1e-8).sqrt()


def _acted(x: Tensor) -> Tensor:
    return _unit(torch.where(x > 0, x, 0.2 * x))


@pytest.mark.parametrize("fused", [True, False])
def test_a_tensorflow_progan_makes_the_images_of_the_paper(fused: bool, tmp_path: Path) -> None:
    draw, (a, b) = Draw(3), (4, 3)
    shapes = {"4x4/Dense": (6, 16 * a), "4x4/Conv": (3, 3, a, a), "8x8/Conv1": (3, 3, b, b), "ToRGB_lod0": (1, 1, b, 3)}
    shapes |= {"8x8/Conv0_up": (3, 3, b, a)} if fused else {"8x8/Conv0": (3, 3, a, b)}
    v = {f"{name}/weight": draw.normal(*shape).numpy() for name, shape in shapes.items()}
    lengths = {"4x4/Dense": a, "4x4/Conv": a, "ToRGB_lod0": 3}
    v |= {f"{name}/bias": draw.normal(lengths.get(name, b)).numpy() for name in shapes}
    v |= {"lod": np.float32(0), "ToRGB_lod1/weight": np.ones((1, 1, a, 3), np.float32), "ToRGB_lod1/bias": np.ones(3)}

    dense = torch.from_numpy(v["4x4/Dense/weight"]).double() * (2**0.5 / 4 / 6**0.5)
    x = (_unit(Z.double()) @ dense).reshape(-1, a, 4, 4) + torch.from_numpy(v["4x4/Dense/bias"]).double()[:, None, None]
    x = _acted(_convolved(_acted(x), v["4x4/Conv/weight"], v["4x4/Conv/bias"]))
    if fused:
        x = _acted(_scattered(x, v["8x8/Conv0_up/weight"], v["8x8/Conv0_up/bias"]))
    else:
        wide = x.repeat_interleave(2, 2).repeat_interleave(2, 3)
        x = _acted(_convolved(wide, v["8x8/Conv0/weight"], v["8x8/Conv0/bias"]))
    x = _acted(_convolved(x, v["8x8/Conv1/weight"], v["8x8/Conv1/bias"]))
    wanted = _convolved(x, v["ToRGB_lod0/weight"], v["ToRGB_lod0/bias"], gain=1)

    generator = import_checkpoint(_written(tmp_path, tensorflow_file({}, v)))
    assert_agree(generator(Z), wanted)
    with pytest.raises(ValueError, match=r"between two resolutions \(lod 0.5\)"):
        import_checkpoint(_written(tmp_path, tensorflow_file({}, v | {"lod": np.float32(0.5)})))


def _refusal(tmp_path: Path, data: bytes, options: Any = None) -> str:
    with pytest.raises(ValueError) as caught:
        import_checkpoint(_written(tmp_path, data), options)
    return str(caught.value)


def test_what_is_no_generator_is_called_what_it_is(tmp_path: Path) -> None:
    network = _dcgan()
    state = dict(network.state_dict())
    optimizer = torch.optim.Adam(network.parameters())
    network["main"](torch.ones(2, 5, 1, 1)).sum().backward()
    optimizer.step()
    assert "only optimizers" in _refusal(tmp_path, torch_file({"g_optim": optimizer.state_dict()}))
    critic = nn.Sequential(nn.Conv2d(3, 4, 4, 2, 1), nn.LeakyReLU(), nn.Conv2d(4, 8, 4, 2, 1)).state_dict()
    critic = {f"main.{name}": value for name, value in critic.items()}
    assert "a discriminator" in _refusal(tmp_path, torch_file(critic))
    assert "only discriminators" in _refusal(tmp_path, torch_file({"discriminator": critic}))
    assert "no named tensors" in _refusal(tmp_path, torch_file({"epoch": 3}))
    assert "missing main.4.weight" in _refusal(
        tmp_path, torch_file({k: v for k, v in state.items() if k != "main.4.weight"})
    )
    assert "unexpected extra.weight" in _refusal(tmp_path, torch_file(state | {"extra.weight": torch.ones(1)}))
    assert "generators.wrap" in _refusal(tmp_path, torch_file({"blocks.0.attention": torch.ones(2, 2)}))
    assert "missing" not in _refusal(tmp_path, torch_file({"\x1b[31mred": torch.ones(2)}))
    assert "\x1b" not in _refusal(tmp_path, torch_file(state | {"\x1b[31mred\n": torch.ones(2)}))
    assert "a web page" in _refusal(tmp_path, b"<!DOCTYPE html>")
    scripted = tmp_path / "scripted.pt"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch: deprecated
        torch.jit.save(torch.jit.trace(_dcgan()["main"], torch.ones(1, 5, 1, 1)), scripted)
    assert "run it in Python: generators.wrap(" in _refusal(tmp_path, scripted.read_bytes())
    assert "size must be 16, since its images are 16 x 16 pixels; got 32" in _refusal(
        tmp_path, torch_file(state), {"size": 32}
    )


def test_strides_that_were_guessed_are_said_until_they_are_given(tmp_path: Path, capsys: Any, caplog: Any) -> None:
    state = {"main.0.weight": torch.ones(5, 4, 4, 4), "main.3.weight": torch.ones(4, 3, 5, 5)}
    state |= {f"main.1.{leaf}": torch.ones(4) for leaf in ("weight", "bias", "running_mean", "running_var")}
    path, out, arch = _written(tmp_path, torch_file(state)), tmp_path / "my.safetensors", tmp_path / "arch.json"
    guessed = {"strides": [1, 2], "paddings": [0, 2], "output_paddings": [0, 1]}
    line = f"strides and paddings are not in the file; assuming the defaults: {json.dumps(guessed)}"
    assert _run("import", str(path), "--explain") == 0
    assert f"    {line}; override with --arch FILE.json\n" in capsys.readouterr().out
    assert _run("import", str(path), "--explain", "--json") == 0
    assert json.loads(capsys.readouterr().out)["networks"][0]["assumed"] == line
    assert _run("import", str(path), "--out", str(out)) == 0
    assert f"{line}; override with --arch FILE.json\n" in capsys.readouterr().out
    arch.write_text(json.dumps(guessed))
    assert _run("import", str(path), "--out", str(out), "--arch", str(arch), "--overwrite") == 0
    assert "assuming" not in capsys.readouterr().out
    assert _run("import", str(path), "--explain", "--arch", str(arch)) == 2
    assert "omit --arch and --size" in capsys.readouterr().err
    import_checkpoint(path, guessed)
    assert not caplog.text
    generators.load(path)
    assert line in caplog.text and "import --arch" in caplog.text
    assert explain(_written(tmp_path, torch_file(dict(_dcgan().state_dict())))).nearest[0].fit.assumed == ""


RED = "\x1b[31mred\r\x07\u202e"


def test_nothing_that_a_file_says_steers_the_terminal(tmp_path: Path, capsys: Any) -> None:
    state = dict(_dcgan().state_dict())
    out = tmp_path / "my.safetensors"
    contents = [
        {RED: state, "g" + RED: RED},
        {"g_ema": state | {RED: torch.ones(1)}, "args": {RED: RED}},
        {"d": {RED: torch.ones(1)}},
        {RED: {RED: 1, "b": [RED]}},
        argparse.Namespace(**{RED: RED}),
    ]
    files = [torch_file(each) for each in contents]
    files += [pickle.dumps(each) for each in contents[3:4]]
    files += [b"\x80\x04X\x05\x00\x00\x00\x1b[31mX\x05\x00\x00\x00\x1b[31m\x93.", b"\x1b[31m", b"(S'\\x1b[31m'\nt."]
    for data in files:
        path = _written(tmp_path, data)
        for arguments in ((), ("--json",), ("--explain",), ("--explain", "--json")):
            _run(
                "import",
                str(path),
                *(() if "--explain" in arguments else ("--out", str(out), "--overwrite")),
                *arguments,
            )
            said = capsys.readouterr()
            for text in (said.out, said.err):
                assert all(letter.isprintable() or letter == "\n" for letter in text), text
        for take in (explain, import_checkpoint):
            try:
                take(path)
            except ValueError as error:
                assert str(error).isprintable(), str(error)


def _run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    return stop.value.code


def test_the_command_says_what_it_found_and_writes_it(tmp_path: Path, capsys: Any) -> None:
    path, out = _written(tmp_path, torch_file({"g": dict(_dcgan().state_dict())})), tmp_path / "my.safetensors"
    assert _run("import", str(path), "--out", str(out)) == 0
    said = capsys.readouterr().out
    assert said.splitlines() == [
        "pytorch/examples DCGAN, g (torch)",
        "dcgan, 16 x 16 px, z of 5, 2 layers",
        "  layer1: 8 units of 4 x 4",
        "  layer2: 4 units of 8 x 8",
        str(out),
    ]
    _same(generators.load(out, device="cpu"), import_checkpoint(path))
    assert _run("import", str(path), "--out", str(out), "--json", "--overwrite") == 0
    assert json.loads(capsys.readouterr().out)["layers"] == {"layer1": [8, 4, 4], "layer2": [4, 8, 8]}
    other = tmp_path / "other.safetensors"
    for arguments, words in {
        (): "--out must end in .safetensors",
        ("--out", str(other), "--size", "32"): "size must be 16, since its images are 16 x 16 pixels; got 32",
        ("--out", str(other), "--arch", str(path)): "not JSON",
    }.items():
        assert _run("import", str(path), *arguments) == 2
        error = capsys.readouterr().err
        assert words in error
        assert error.count("\n") == 1
    foreign = _written(tmp_path, save(dict(_dcgan().state_dict())), "theirs.safetensors")
    before = foreign.read_bytes()
    assert _run("import", str(foreign), "--out", str(tmp_path / "." / "theirs.safetensors")) == 2
    assert "must not be the checkpoint itself" in capsys.readouterr().err
    assert foreign.read_bytes() == before


def test_explaining_names_every_tensor_and_what_is_missing(tmp_path: Path, capsys: Any) -> None:
    state = dict(_dcgan().state_dict())
    path = _written(tmp_path, torch_file({"g_ema": state, "steps": 7, "d": {"main.0.weight": torch.ones(2, 2)}}))
    assert _run("import", str(path), "--explain") == 0
    said = capsys.readouterr().out
    for name, value in state.items():
        assert f"  {name}  {str(value.dtype).removeprefix('torch.')} {list(value.shape)}\n" in said
    assert "steps = 7" in said
    assert said.endswith("recognized: pytorch/examples DCGAN in g_ema\n")
    del state["main.3.weight"]
    path = _written(tmp_path, torch_file(state))
    assert _run("import", str(path), "--explain", "--json") == 0
    (network,) = json.loads(capsys.readouterr().out)["networks"]
    assert (network["layout"], network["fits"]) == ("pytorch/examples DCGAN", False)
    assert network["missing"] == ["main.3.weight"]
    assert explain(path).verdict.startswith("not recognized")
    path = _written(tmp_path, pickle.dumps({"a": [1, {"b": "x"}]}))
    assert list(explain(path).lines())[:3] == [f"{path}: pickle", "  a: list of 2", "    0: 1"]
