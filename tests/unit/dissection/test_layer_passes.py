"""Several passes give the same result as one pass, and each pass stays within its memory limit."""

from __future__ import annotations

import json
import logging
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import torch

import generators
import segmenters
from apps.commands.dissect import Options
from gandissect import Dissection, dissect
from gandissect.dissection.counting.layer_counts import LayerCount
from gandissect.dissection.counting.passes import count_samples
from gandissect.dissection.counting.plan import DissectSettings
from gandissect.dissection.dissect import make_plan, make_sampler
from gandissect.dissection.layer_passes import estimate_bytes, split_layers
from generators import DCGAN, PlantedGenerator
from segmenters.palette import PaletteSegmenter

SEGMENTER = PaletteSegmenter(PlantedGenerator().concepts)
SETTINGS: dict[str, Any] = {"num_samples": 40, "batch_size": 8, "quantile": 0.05, "curves": True, "top_images": 2}


@pytest.fixture(scope="module")
def generator() -> DCGAN:
    torch.manual_seed(0)
    return DCGAN(size=32, width=4, z_dim=6).eval().requires_grad_(False)


def _plan(generator: DCGAN, segmenter: Any = SEGMENTER, **settings: Any) -> Any:
    settings = DissectSettings(**(SETTINGS | settings))
    return make_plan(make_sampler(generator, segmenter, None, settings, progress=False), segmenter, settings)


def _need(generator: DCGAN, *plan: Any, **settings: Any) -> float:
    """Gigabytes of the counts of the largest layer."""
    plan = _plan(generator, *plan, **settings)
    return max(estimate_bytes(plan, layer) for layer in plan.layers) / 1e9


def test_several_passes_give_what_one_gives_bit_for_bit(
    generator: DCGAN, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    whole = dissect(generator, SEGMENTER, **SETTINGS, progress=False)
    caplog.set_level(logging.INFO, "gandissect")
    parts = dissect(generator, SEGMENTER, **SETTINGS, max_memory=_need(generator), progress=False)
    assert "pass 2 of" in caplog.text
    assert [layer.name for layer in parts] == list(generator.layers)
    whole.save(tmp_path / "whole")
    parts.save(tmp_path / "whole")  # refused if any value differed
    assert parts.records() == whole.records()
    for name in ("samples", "pixels"):
        assert torch.equal(getattr(parts.thumbnails, name), getattr(whole.thumbnails, name))
    assert {field.name for field in fields(parts.thumbnails)} == {"samples", "pixels"}


def test_passes_hold_all_layers_in_order_and_as_many_as_fit(generator: DCGAN) -> None:
    plan = _plan(generator)
    assert split_layers(plan, None) == split_layers(plan, 100) == [tuple(plan.layers)]
    for limit in (_need(generator), 1.5 * _need(generator), 2 * _need(generator)):
        passes = split_layers(plan, limit)
        assert [name for names in passes for name in names] == list(plan.layers)
        sums = [sum(estimate_bytes(plan, name) for name in names) / 1e9 for names in passes]
        assert max(sums) <= limit
        heads = [estimate_bytes(plan, names[0]) / 1e9 for names in passes[1:]]
        assert all(total + head > limit for total, head in zip(sums, heads, strict=False))


@pytest.mark.parametrize("curves", [False, True])
def test_the_estimate_is_what_the_counts_take(generator: DCGAN, curves: bool) -> None:
    settings = DissectSettings(**(SETTINGS | {"curves": curves}))
    sampler = make_sampler(generator, SEGMENTER, None, settings, progress=False)
    plan = make_plan(sampler, SEGMENTER, settings)
    tally = count_samples(sampler, SEGMENTER, plan, range(settings.num_samples), None)
    for name, layer in tally.layers.items():
        taken = _bytes_of(layer)
        assert taken <= estimate_bytes(plan, name) <= 1.05 * taken, name


def _bytes_of(layer: LayerCount) -> int:
    tensors = [layer.unit_area, layer.intersection, layer.exchanged, layer.top.maps]
    return layer.num_bytes + sum(tensor.nbytes for tensor in tensors)


@pytest.mark.parametrize(
    ("limit", "error", "message"),
    [
        (0, ValueError, "max_memory must be above 0 gigabytes; got 0"),
        (float("nan"), ValueError, "max_memory must be above 0 gigabytes; got nan"),
        ("2GB", TypeError, "max_memory must be a number of gigabytes; got '2GB'"),
        (True, TypeError, "max_memory must be a number of gigabytes; got True"),
        (1e-6, ValueError, "the counts of 'layer1' take .* GB, but max_memory is 1e-06 GB; raise max_memory"),
    ],
)
def test_limits_that_cannot_be_kept_are_refused(
    generator: DCGAN, limit: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        dissect(generator, SEGMENTER, num_samples=4, max_memory=limit, progress=False)


def test_the_command_dissects_in_passes_resumes_them_and_leaves_results_only(
    generator: DCGAN, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    generators.save(generator, tmp_path / "g.safetensors")
    options = {"out": tmp_path / "run", "segmenter": "unet-scenes", "num_samples": 6, "device": "cpu", "json": True}
    need = _need(generator, segmenters.load("unet-scenes"), num_samples=6, curves=False, top_images=5)
    command = Options(str(tmp_path / "g.safetensors"), **options, max_memory=need)
    finish = Options._finish
    monkeypatch.setattr(Options, "_finish", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        command.run()
    kept = sorted(path.name for path in (tmp_path / "run").glob("pass-*"))
    assert len(kept) > 1 and not (tmp_path / "run" / Dissection.FILE_NAME).exists()
    monkeypatch.setattr(Options, "_finish", finish)
    command.run()
    assert json.loads(capsys.readouterr().out)
    files = {path.name for path in (tmp_path / "run").iterdir()}
    assert files == {"dissection.safetensors", "report.html", "units.csv", "dissection.json"}
    with pytest.raises(ValueError, match="max-memory needs a single process without --shard"):
        Options(
            str(tmp_path / "g.safetensors"), **options | {"out": tmp_path / "part"}, shard="1/2", max_memory=1
        ).run()
