"""What must hold for the training of every architecture: it trains, and it ends the same whenever it was interrupted."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_gans import Noise, count_reads, noise_for, tiny, tiny_task, whole_training
from torch import Tensor

import generators
from generators.training import RECIPES, GANSettings, GANTask, train_generator
from generators.training.families import FAMILIES, build_networks
from generators.training.settings import GROWING

every_family = pytest.mark.parametrize("architecture", FAMILIES)


def _weights(folder: Path) -> dict[str, Tensor]:
    """Return everything that the next step depends on, by name."""
    found: dict[str, Tensor] = {}

    def gather(value: object, name: str) -> None:
        if isinstance(value, dict):
            for key, part in value.items():
                gather(part, f"{name}.{key}")
        elif isinstance(value, Tensor):
            found[name] = value

    gather(torch.load(folder / "checkpoint.pt", weights_only=True)["task"], "task")
    return found


def _assert_same_end(one: Path, other: Path) -> None:
    first, second = _weights(one), _weights(other)
    assert first.keys() == second.keys()
    for name, value in first.items():
        assert torch.equal(value, second[name]), name
    ends = [generators.load(run / "generator.safetensors", device="cpu").fingerprint for run in (one, other)]
    assert ends[0] == ends[1]


def test_every_recipe_can_be_trained() -> None:
    assert set(FAMILIES) == set(RECIPES) == {settings.architecture for settings in RECIPES.values()}


def _variants() -> list[tuple[str, dict[str, Any]]]:
    """Return each family in both precisions; GANs also with other losses."""
    cases: list[tuple[str, dict[str, Any]]] = []
    for name, recipe in RECIPES.items():
        penalized = {"r1_every": 1, "r1_gamma": 0.5} if isinstance(recipe, GANSettings) else {}
        cases += [(name, {"bf16": bf16, **penalized}) for bf16 in (False, True)]
        cases += [(name, {"loss": loss, **penalized}) for loss in ("hinge", "wgan-gp") if penalized]
    return cases


@pytest.mark.parametrize(("architecture", "changes"), _variants())
def test_two_steps_move_every_weight_and_stay_finite(architecture: str, changes: dict[str, Any]) -> None:
    """In the middle of fading in, where the blocks and heads of both sizes learn.

    The last bias of the discriminator moves real and generated logits alike, which only the logistic loss minds.
    """
    task = tiny_task(architecture, **changes)
    parts = task.networks | {name: part for name, part in task._parts.items() if name.startswith("average")}
    before = {f"{p}.{n}": v.clone() for p, part in parts.items() for n, v in part.named_parameters()}
    for index in whole_training(architecture):
        assert all(abs(value) < 1e3 for value in task.step(index).values())
    after = {f"{p}.{n}": v for p, part in parts.items() for n, v in part.named_parameters()}
    assert all(value.isfinite().all() for value in after.values())
    idle = {name for name, value in after.items() if torch.equal(value, before[name])}
    biases = {n for n, v in after.items() if n.startswith("discriminator") and n.endswith("bias") and v.numel() == 1}
    assert idle <= (set() if getattr(task.settings, "loss", "logistic") == "logistic" else biases)


@every_family
def test_a_trained_generator_is_loaded_by_its_architecture(architecture: str, tmp_path: Path) -> None:
    size = min(side for side in tiny(architecture).sizes if side >= 8)
    settings = tiny(architecture, resolution=size, images=24)
    path = train_generator(settings, noise_for(architecture, size=size), tmp_path, device="cpu")
    generator = generators.load(path, device="cpu")
    trained = build_networks(settings, Noise.classes)["generator"].generator
    assert type(generator) is type(trained)
    assert generator.image_size == (size, size)
    assert generator(generator.draw_rows(3, torch.Generator())).isfinite().all()


@every_family
def test_fresh_weights_follow_the_seed_and_leave_the_global_numbers_alone(architecture: str) -> None:
    state = torch.random.get_rng_state()
    one, same, other = (tiny_task(architecture, seed=seed) for seed in (3, 3, 4))
    assert torch.equal(torch.random.get_rng_state(), state)
    ours, theirs = same.network.state_dict(), other.network.state_dict()
    for name, value in one.network.state_dict().items():
        assert torch.equal(value, ours[name])
    assert any(not torch.equal(value, theirs[name]) for name, value in ours.items())


@every_family
def test_an_interrupted_and_resumed_run_ends_bit_equal(architecture: str, tmp_path: Path) -> None:
    """Those that grow or have phases are resumed with the step where that begins, and later.

    The encoder of agecgan reads no pictures; see `test_agecgan`.
    """
    settings = tiny(architecture, images=8 * 7, decay_from=0.5, clip_gradient=5.0)
    train_generator(settings, noise_for(architecture), tmp_path / "whole", device="cpu")
    resumptions = dict.fromkeys(GROWING | {"stackgan"}, (2, 4)) | {"agecgan": (1,)}
    for resumed_at in resumptions.get(architecture, (4,)):
        run = tmp_path / f"resumed at {resumed_at}"
        with pytest.raises(KeyboardInterrupt):
            source = noise_for(architecture, at=resumed_at * count_reads(settings) + 1)
            train_generator(settings, source, run, checkpoint_images=8, device="cpu")
        assert torch.load(run / "checkpoint.pt", weights_only=True)["steps_done"] == resumed_at
        train_generator(settings, noise_for(architecture), run, checkpoint_images=8, device="cpu")
        _assert_same_end(tmp_path / "whole", run)


@pytest.mark.parametrize("architecture", sorted(GROWING))
def test_those_that_grow_do_so_while_these_tests_look(architecture: str) -> None:
    task = GANTask(tiny(architecture), Noise(), device="cpu")
    growth = [(task.growth(8 * step).size, task.growth(8 * step).alpha) for step in range(7)]
    assert growth == [(8, 1), (8, 1), (16, 0), (16, 0.25), (16, 0.5), (16, 0.75), (16, 1)]


SCRIPT = """
import sys; sys.path[:0] = {paths!r}
import torch; torch.set_num_threads(1)
from test_gan_families import long_run
long_run({architecture!r}, {folder!r})
"""


def long_run(architecture: str, folder: Path | str) -> None:
    """Train 14 steps, growing where it can, with checkpoints and snapshots all the time."""
    settings = tiny(architecture, images=8 * 14, decay_from=0.5)
    held_out = noise_for(architecture, count=9)
    options = {"checkpoint_images": 8, "snapshot_images": 24, "held_out": held_out, "device": "cpu"}
    train_generator(settings, noise_for(architecture), folder, evaluate=_distance, **options)


def _distance(generator: generators.LayeredGenerator) -> dict[str, float]:
    return {"distance": float(generator(generator.sample_z(2)).double().sum()) * 1e3 % 1}


def _steps_done(folder: Path) -> int:
    path = folder / "checkpoint.pt"
    return torch.load(path, weights_only=True)["steps_done"] if path.exists() else 0


@pytest.mark.slow
@every_family
def test_a_process_killed_at_random_moments_ends_bit_equal(architecture: str, tmp_path: Path) -> None:
    """Three times kill -9 and once Ctrl-C, each a random while after a checkpoint; then it may end."""
    long_run(architecture, tmp_path / "whole")
    here, run = Path(__file__).parent, tmp_path / "killed"
    paths = [str(here.parents[2]), str(here.parents[1] / "support"), str(here)]
    script = SCRIPT.format(paths=paths, architecture=architecture, folder=str(run))
    moments, reached = random.Random(architecture), [0]
    for blow in (signal.SIGKILL, signal.SIGINT, signal.SIGKILL, signal.SIGKILL):
        process = subprocess.Popen([sys.executable, "-c", script], stderr=subprocess.DEVNULL)
        while process.poll() is None and _steps_done(run) <= reached[-1]:
            time.sleep(0.002)
        time.sleep(moments.uniform(0, 0.04))  # a step takes about 20 ms: four blows are over before the last one
        process.send_signal(blow)
        assert process.wait() != 0, "it ended before it was killed"
        reached.append(_steps_done(run))
    assert reached == sorted(set(reached))
    assert reached[-1] < 14, reached
    assert subprocess.run([sys.executable, "-c", script], stderr=subprocess.DEVNULL).returncode == 0
    _assert_same_end(tmp_path / "whole", run)
    lines = [
        [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
        for folder in (tmp_path / "whole", run)
    ]
    for line in (line for each in lines for line in each):
        del line["seconds"]
    assert lines[0] == lines[1], "a resumed run repeats no line and leaves none out"
    best = [run / "best.safetensors" for run in (tmp_path / "whole", run)]
    assert best[0].read_bytes() == best[1].read_bytes()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"architecture": "progam", "start_resolution": None}, "did you mean 'progan'"),
        ({"resolution": 24}, r"got 24"),
        ({"width": 9, "max_width": 8}, "width 9, max_width 8"),
        ({"architecture": "dcgan", "start_resolution": 8}, "dcgan does not grow"),
    ],
    ids=str,
)
def test_settings_that_cannot_be_say_what_is_allowed(change: dict, message: str) -> None:
    with pytest.raises((ValueError, KeyError), match=message):
        build_networks(replace(tiny("progan"), **change))


def test_pictures_fewer_than_a_batch_are_refused() -> None:
    with pytest.raises(ValueError, match=r"'noise' has 7 pictures, fewer than a batch of 8; use more .* or a smaller"):
        GANTask(tiny("progan"), Noise(7), device="cpu")
    GANTask(tiny("progan"), Noise(8), device="cpu")


def test_the_recipes_are_those_of_the_default_settings_where_they_say_nothing() -> None:
    assert RECIPES["dcgan"] == GANSettings()
    assert all(
        getattr(settings, "mixing", 0.0) == (0.9 if "style" in name else 0.0) for name, settings in RECIPES.items()
    )
