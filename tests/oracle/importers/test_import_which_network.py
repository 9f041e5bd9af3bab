"""Of the networks of a file the averaged generator is taken, whatever it is called, or the one that is named."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from pickled_files import torch_file
from small_dcgans import Z, small_images, small_state
from torch import Tensor

import generators
from apps.cli import main
from generators.importers import explain, import_checkpoint

State = dict[str, Tensor]
G, E = small_state(1), small_state(2)
PARAMETERS = [name for name in G if "running" not in name and "num_batches" not in name]
D = {"main.0.weight": torch.ones(4, 3, 4, 4), "main.2.weight": torch.ones(8, 4, 4, 4)}


def _put(head: str, state: State) -> State:
    return {f"{head}.{name}": value for name, value in state.items()}


class Average:
    """A hand-written average, pickled as it is."""

    def __init__(self, shadow: State) -> None:
        self.decay, self.shadow = 0.999, shadow


NAMES = {
    "netG": "ema_generator gen_ema G_EMA Gema G_running g_running generator_ema model_ema ema_model ema_netG netG_ema avgG"
    " G_avg shadow_generator generator_test generator_smooth ema ema_state_dict averaged_model swa_model gEMA",
    "state_dict": "state_dict_ema",
    "params": "params_ema",
    "generator": "EMA ema_generator generator_averaged",
}
AVERAGES: dict[str, Callable[[State, State], Any]] = {
    f"{plain} and {averaged}": lambda g, e, names=(plain, averaged): {"epoch": 3, names[0]: g, "netD": D, names[1]: e}
    for plain, words in NAMES.items()
    for averaged in words.split()
}
AVERAGES |= {
    "first": lambda g, e: {"ema_model": e, "model": g},
    "ema.shadow": lambda g, e: {"netG": g, "ema": {"decay": 0.999, "shadow": e}},
    "an object with a shadow": lambda g, e: {"netG": g, "ema": Average(e)},
    "nets_ema": lambda g, e: {"nets": {"generator": g, "discriminator": D}, "nets_ema": {"generator": e}},
    "of both": lambda g, e: {"G": g, "D": D, "ema": {"G": e, "D": D}},
    "ema_pytorch": lambda g, e: {
        "initted": torch.tensor(True),
        "step": torch.tensor(7),
        **_put("online_model", g),
        **_put("ema_model", e),
    },
    "ema_pytorch beside its network": lambda g, e: {
        "model": g,
        "ema": {"initted": torch.tensor(True), **_put("online_model", g), **_put("ema_model", e)},
    },
    "with a backup": lambda g, e: {"netG": e, "ema": {"shadow": e, "backup": g}},
    "one module": lambda g, e: {"state_dict": _put("G", g) | _put("D", D) | _put("G_ema", e) | _put("loss.vgg", D)},
    "one module within": lambda g, e: _put("model.generator", g) | _put("model.ema_generator", e),
}


@pytest.mark.parametrize("kind", AVERAGES)
def test_the_averaged_generator_is_taken_whatever_it_is_called(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "x.pth"
    path.write_bytes(torch_file(AVERAGES[kind](G, E)))
    torch.testing.assert_close(import_checkpoint(path)(Z), small_images(E), rtol=0, atol=1e-6)


def _only(state: State, names: list[str]) -> State:
    return {name: state[name] for name in names}


PARTS = {
    "parameters alone": lambda: _only(E, PARAMETERS),
    "parameters without names": lambda: [E[name] for name in PARAMETERS],
    "names without dots": lambda: {
        "decay": torch.tensor(0.999),
        "num_updates": torch.tensor(3),
        **{name.replace(".", ""): value for name, value in _only(E, PARAMETERS).items()},
    },
    "a shadow within": lambda: {"decay": 0.999, "shadow_params": [E[name] for name in PARAMETERS], "num_updates": 3},
}


@pytest.mark.parametrize("kind", PARTS)
def test_an_average_of_parameters_alone_runs_with_the_buffers_of_its_network(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "x.pth"
    path.write_bytes(torch_file({"g": G, "d": D, "g_ema": PARTS[kind]()}))
    wanted = small_images(G | _only(E, PARAMETERS))
    assert (wanted - small_images(G)).abs().max() > 0.1
    torch.testing.assert_close(import_checkpoint(path)(Z), wanted, rtol=0, atol=1e-6)


UNREADABLE = {
    "other names": {f"x{index}": value for index, value in enumerate(E.values())},
    "one parameter fewer": [E[name] for name in PARAMETERS[:-1]],
    "another order": [E[name] for name in reversed(PARAMETERS)],
}


@pytest.mark.parametrize("kind", UNREADABLE)
def test_an_average_that_cannot_be_read_is_not_passed_over_in_silence(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "x.pth"
    path.write_bytes(torch_file({"netG": G, "netG_ema": UNREADABLE[kind]}))
    with pytest.raises(ValueError, match=r"'netG_ema' seems to be the averaged .* name 'netG'.*network='netG'"):
        import_checkpoint(path)
    torch.testing.assert_close(import_checkpoint(path, network="netG")(Z), small_images(G), rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    "beside",
    [
        {"D_ema": D},
        {"ema": {"discriminator": D}},
        {"encoder_ema": {"conv.weight": torch.ones(7, 7, 3, 3)}},
        {"avg_loss": 0.5, "running": [0.1, 0.2], "ema": 0.999},
        {"D": D, "test_samples": torch.ones(2, 3, 16, 16), "ema_decay": torch.tensor(0.999)},
        {"optimizer_ema": {"state": {0: {"step": torch.tensor(1.0), "exp_avg": torch.ones(5, 8, 4, 4)}}}},
    ],
    ids=lambda beside: next(iter(beside)),
)
def test_averages_of_other_things_are_none_of_the_generator(beside: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "x.pth"
    path.write_bytes(torch_file({"netG": G, **beside}))
    torch.testing.assert_close(import_checkpoint(path)(Z), small_images(G), rtol=0, atol=1e-6)


def test_one_of_two_generators_has_to_be_named(tmp_path: Path) -> None:
    path = tmp_path / "x.pth"
    path.write_bytes(torch_file({"state_dict": G, "best_state_dict": E}))
    with pytest.raises(ValueError, match=r"it contains 'state_dict', 'best_state_dict'; name one: .*--network"):
        import_checkpoint(path)
    with pytest.raises(ValueError, match=r"network must be one of 'state_dict', 'best_state_dict'; got 'best'"):
        import_checkpoint(path, network="best")
    for name, state in {"state_dict": G, "best_state_dict": E}.items():
        for generator in (import_checkpoint(path, network=name), generators.load(path, "cpu", network=name)):
            torch.testing.assert_close(generator(Z), small_images(state), rtol=0, atol=1e-6)
        assert explain(path, name).verdict == f"recognized: pytorch/examples DCGAN in {name}"
    path.write_bytes(torch_file({"state_dict": G, "best_state_dict": dict(G)}))
    torch.testing.assert_close(import_checkpoint(path)(Z), small_images(G), rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", ["G_target", "teacher", "G_accumulate", "Gsmooth", "mavg_G", "best"])
def test_a_generator_is_not_taken_in_silence_where_another_one_of_any_name_is_beside_it(
    name: str, tmp_path: Path
) -> None:
    path = tmp_path / "x.pth"
    path.write_bytes(torch_file({"netG": G, name: E, "netD": D}))
    with pytest.raises(ValueError, match=rf"it contains 'netG', '{name}'; name one: .*--network netG"):
        import_checkpoint(path)
    path.write_bytes(torch_file({"G_ema": E, name: G, "netG": G}))
    torch.testing.assert_close(import_checkpoint(path)(Z), small_images(E), rtol=0, atol=1e-6)


def test_a_network_is_named_where_there_are_several(tmp_path: Path) -> None:
    own = tmp_path / "mine.safetensors"
    generators.save(generators.load("dcgan-scenes64", "cpu"), own)
    for name in ("dcgan-scenes64", own):
        with pytest.raises(ValueError, match=r"network must be None for '.*', which contains one network; got 'g'"):
            generators.load(name, "cpu", network="g")
    with pytest.raises(FileNotFoundError):
        generators.load(tmp_path / "none.pth", "cpu", network="g")


def test_the_command_takes_the_network_that_is_named(tmp_path: Path, capsys: Any) -> None:
    path, out = tmp_path / "x.pth", tmp_path / "mine.safetensors"
    path.write_bytes(torch_file({"netG": G, "avgG": E}))
    for arguments, where, state in (((), "avgG", E), (("--network", "netG"), "netG", G)):
        with pytest.raises(SystemExit) as stop:
            main(["import", str(path), "--out", str(out), "--overwrite", "--json", *arguments])
        assert stop.value.code == 0
        assert json.loads(capsys.readouterr().out)["network"] == where
        torch.testing.assert_close(generators.load(out, "cpu")(Z), small_images(state), rtol=0, atol=1e-6)
    with pytest.raises(SystemExit) as stop:
        main(["import", str(path), "--out", str(out), "--overwrite", "--network", "G"])
    assert stop.value.code == 2
    assert "network must be one of 'avgG', 'netG'; got 'G'" in capsys.readouterr().err


HEADS = [
    "model",
    "net",
    "generator",
    "model.generator",
    "module",
    "_orig_mod",
    "module._orig_mod",
    "model._orig_mod.module",
    "_fsdp_wrapped_module",
    "gan.networks.G",
]


@pytest.mark.parametrize("head", HEADS)
def test_what_stands_before_all_names_is_taken_off(head: str, tmp_path: Path) -> None:
    path = tmp_path / "x.pth"
    path.write_bytes(torch_file(_put(head, G)))
    torch.testing.assert_close(import_checkpoint(path)(Z), small_images(G), rtol=0, atol=1e-6)


@pytest.mark.parametrize("wrapper", ["_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"])
def test_what_wrappers_put_into_names_is_taken_out(wrapper: str, tmp_path: Path) -> None:
    inner = {name.replace("main.3.", f"main.3.{wrapper}."): value for name, value in G.items()}
    for state in (inner, _put(wrapper, inner), _put("module", inner), _put("model.generator", inner)):
        path = tmp_path / "x.pth"
        path.write_bytes(torch_file(state))
        torch.testing.assert_close(import_checkpoint(path)(Z), small_images(G), rtol=0, atol=1e-6)


def test_a_discriminator_beside_it_is_told_apart_at_any_depth(tmp_path: Path) -> None:
    path = tmp_path / "x.pth"
    path.write_bytes(torch_file({"state_dict": _put("model.generator", G) | _put("model.discriminator", D)}))
    torch.testing.assert_close(import_checkpoint(path)(Z), small_images(G), rtol=0, atol=1e-6)
    assert [match.network.where for match in explain(path).nearest] == [
        "state_dict.model.generator",
        "state_dict.model.discriminator",
    ]
