"""The command line as a user meets it: what it prints, its exit status, and what it leaves alone."""

from __future__ import annotations

import html
import io
import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import generators
import segmenters
from apps.cli import COMMANDS, _parse, main
from gandissect import (
    Ablation,
    ArtifactRanking,
    CausalEffect,
    Dissection,
    Recipe,
    UnitSet,
    average_causal_effect,
    generate,
)
from gandissect.artifacts.results import Repair, RepairCurve
from gandissect.artifacts.steps import RepairSteps
from generators.training import RECIPES

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("models") / "planted.safetensors"
    generators.save(generators.PlantedGenerator(size=32, cells=8), path)
    return path


def test_help_lists_every_command_without_loading_torch() -> None:
    code = "import sys\nfrom apps.cli import main\ntry: main(['--help'])\nexcept SystemExit as s: print(s.code, 'torch' in sys.modules)"
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT).stdout
    assert output.splitlines()[-1] == "0 False"
    assert all(name in output for name in COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_each_of_its_options(gandissect, name: str) -> None:
    status, output, _ = gandissect(*name.split(), "--help")
    assert status == 0
    assert "--json" in output or name == "explore"
    assert "{None}" not in output, "what an option that is left out holds is nothing to type"


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_a_stream_that_lacks_a_letter_gets_a_question_mark(
    planted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, encoding: str
) -> None:
    output, out = io.BytesIO(), tmp_path / "grün 树.png"
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(output, encoding=encoding, errors="strict"))
    with pytest.raises(SystemExit) as stop:
        main(["sample", str(planted), "--num-samples", "1", "--out", str(out)])
    assert (stop.value.code, out.exists()) == (0, True)
    assert output.getvalue() == f"{out}\n".encode(encoding, errors="replace")


def test_a_process_without_output_does_its_work(planted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    with pytest.raises(SystemExit) as stop:
        main(["sample", str(planted), "--num-samples", "1", "--out", str(tmp_path / "x.png")])
    assert (stop.value.code, (tmp_path / "x.png").exists()) == (0, True)


def test_a_dissection_from_the_shell_is_that_from_python(gandissect, planted: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    status, output, _ = gandissect(
        "dissect",
        "--generator",
        planted,
        "--segmenter",
        "palette",
        "--num-samples",
        40,
        "--seed",
        3,
        "--out",
        out,
        "--json",
    )
    assert status == 0
    answer = json.loads(output)
    assert [layer["layer"] for layer in answer["layers"]] == ["layer1", "layer2"]
    assert Path(answer["report"]).read_text().lower().startswith("<!doctype html>")
    found = Dissection.load(out)
    assert found.provenance.num_samples == 40
    assert [match.concept for match in found["layer2"].matches[:4]] == ["red", "green", "blue", "yellow"]
    assert all(match.iou == 1 for match in found["layer2"].matches[:4])
    records = found.records()
    status, output, _ = gandissect("report", "--dissection", out, "--out", tmp_path / "again")
    assert status == 0
    assert "layer2: 5 of 6 units match 4 concepts" in output
    assert (tmp_path / "again/report.html").read_bytes() == (out / "report.html").read_bytes()
    assert Dissection.load(out).records() == records


def test_one_sample_claims_no_match_and_the_output_says_so(gandissect, planted: Path, tmp_path: Path) -> None:
    words = ("dissect", planted, "--segmenter", "palette", "--num-samples", 1, "--out", tmp_path)
    status, output, error = gandissect(*words)
    assert status == 0, error
    lines = output.splitlines()
    assert [line.split(" match ")[0] for line in lines[:2]] == ["layer1: 0 of 6 units", "layer2: 0 of 6 units"]
    assert lines[2] == "1 sample cannot rule out chance, so no unit counts as matching; use at least 500"
    assert "agreement cannot be distinguished from chance" in (tmp_path / "report.html").read_text("utf-8")


def test_a_dissection_is_not_compared_with_itself(gandissect, tmp_path: Path) -> None:
    status, output, error = gandissect("compare", tmp_path, tmp_path / "." / "")
    assert (status, output) == (2, "")
    assert f"{tmp_path.resolve()} is named 2 times; name each dissection once, or add --labels" in error


def test_samples_are_the_pictures_of_their_seed(gandissect, planted: Path, tmp_path: Path) -> None:
    out = tmp_path / "grid.png"
    status, output, _ = gandissect(
        "sample", "--generator", planted, "--num-samples", 3, "--seed", 5, "--columns", 3, "--out", out
    )
    assert (status, output.strip()) == (0, str(out))
    generator = generators.load(planted, device="cpu")
    wanted = ((generator(generator.sample_z(3, seed=5)) + 1) * 127.5).round().to(torch.uint8)
    picture = np.asarray(Image.open(out))
    for index in range(3):
        left = 2 + index * 34
        shown = torch.from_numpy(picture[2:34, left : left + 32].copy()).permute(2, 0, 1)
        assert (shown.int() - wanted[index].int()).abs().max() <= 1


def _pixels(path: Path) -> torch.Tensor:
    return torch.from_numpy(np.array(Image.open(path)))


def test_samples_of_a_style_generator_can_be_truncated(gandissect, planted: Path, tmp_path: Path) -> None:
    generator = generators.StyleGAN(size=8, width=2, max_width=4, z_dim=4, w_dim=4, mapping_depth=1)
    for name, value in generator.state_dict().items():
        value.copy_(torch.randn(value.shape, generator=torch.Generator().manual_seed(len(name))))
    path = tmp_path / "style.safetensors"
    generators.save(generator, path)

    def sample(*more: object) -> torch.Tensor:
        status, _, error = gandissect(
            "sample", "--generator", path, "--num-samples", 2, "--out", tmp_path / "x.png", "--overwrite", *more
        )
        assert status == 0, error
        return _pixels(tmp_path / "x.png")

    plain, none, half, whole = sample(), *(sample("--truncation-psi", psi) for psi in (1, 0.5, 0))
    assert torch.equal(none, plain)
    first, second = (slice(2, 10), slice(2, 10)), (slice(2, 10), slice(12, 20))
    assert torch.equal(whole[first], whole[second]), "both are of the mean w"
    assert not torch.equal(plain[first], plain[second])
    loaded = generators.load(path, device="cpu")
    wanted = loaded.synthesis(loaded.mapping(loaded.sample_z(2, seed=1), 0.5))[1].permute(1, 2, 0)
    assert (half[second] - ((wanted.clamp(-1, 1) + 1) * 127.5)).abs().max() <= 1
    status, _, error = gandissect(
        "sample", "--generator", planted, "--truncation-psi", 0.5, "--out", tmp_path / "y.png"
    )
    assert (status, "is a planted and has no w to truncate; omit --truncation-psi" in error) == (2, True)
    status, _, error = gandissect("sample", "--generator", path, "--truncation-psi", "nan", "--out", tmp_path / "y.png")
    assert (status, "truncation_psi must be finite" in error) == (2, True)
    assert not (tmp_path / "y.png").exists()


def test_a_folder_of_pictures_trains_a_generator(gandissect, tmp_path: Path) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for index in range(30):
        pixels = np.random.default_rng(index).integers(0, 256, (20, 24, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{index}.png")
    options = ["dcgan", "--data", folder, "--out", tmp_path / "run", "--resolution", 16, "--width", 4, "--z-dim", 8]
    small = ["--batch-size", 8, "--images", 24, "--hold-out", 0.3, "--device", "cpu"]
    status, output, error = gandissect("train", "generator", *options, *small)
    answer = gandissect("sample", tmp_path / "run" / "checkpoint.pt", "--out", tmp_path / "x.png")
    assert answer[0] == 2 and f"to any command instead: {tmp_path / 'run'}\n" in answer[2]
    assert status == 0, error
    assert generators.load(output.strip(), device="cpu").image_size == (16, 16)
    status, output, error = gandissect("sample", "--generator", tmp_path / "run", "--out", tmp_path / "x.png", "--json")
    assert (status, json.loads(output)["generator"]) == (0, str(tmp_path / "run/generator.safetensors")), error
    status, _, error = gandissect("train", "generator", *options, *small, "--seed", 1)
    assert (status, "already holds a run; resume it (--resume)" in error) == (2, True)
    status, _, error = gandissect("train", "generator", *options, *small, "--seed", 1, "--resume")
    assert (status, "seed: 0 there, 1 given" in error) == (2, True)


DISSECT = ("dissect", "--generator", "PLANTED", "--out", "OUT")

BAD = {
    "no command": ((), ""),
    "unknown command": (("disect",), "did you mean 'dissect'"),
    "unknown option": (("models", "--jsn"), "--json"),
    "missing option": (("dissect", "--generator", "PLANTED"), "--out"),
    "not a number": (("sample", "--generator", "PLANTED", "--seed", "x"), "--seed"),
    "unknown generator": (("sample", "--generator", "dcgan-scene64"), "did you mean 'dcgan-scenes64'"),
    "unknown segmenter": ((*DISSECT, "--segmenter", "unet-scene"), "did you mean"),
    "unknown layer": ((*DISSECT, "--segmenter", "palette", "--layers", "layer3"), "did you mean 'layer"),
    "zero samples": ((*DISSECT, "--segmenter", "palette", "--num-samples", "0"), "num_samples"),
    "quantile": ((*DISSECT, "--segmenter", "palette", "--quantile", "1.5"), "quantile"),
    "min iou": ((*DISSECT, "--segmenter", "palette", "--min-iou", "4"), "min_iou"),
    "segmenter as generator": (
        ("sample", "--generator", "unet-scenes"),
        "'unet-scenes' is a segmenter, not a generator; name one of dcgan-scenes64",
    ),
    "generator as segmenter": (
        (*DISSECT, "--segmenter", "dcgan-scenes64"),
        "is a generator, not a segmenter; name one of unet-",
    ),
    "missing folder": (("sample", "--generator", "runs/absent"), "no file or folder runs/absent; pass"),
    "growth": (
        ("train", "generator", "progan", "--data", "scenes:8", "--hold-images", "9000000", "--out", "OUT"),
        "smaller hold_images and fade_images (--hold-images, --fade-images)",
    ),
    "missing file": (("sample", "--generator", "absent.safetensors"), "absent.safetensors"),
    "corrupt file": (("sample", "--generator", "CORRUPT"), "corrupt.safetensors"),
    "no dissection": (("report", "--dissection", "CORRUPT"), "corrupt.safetensors"),
    "no pictures": (("train", "generator", "dcgan", "--data", "absent", "--out", "OUT"), "absent"),
    "unknown loss": (("train", "generator", "dcgan", "--data", "scenes:8", "--loss", "hing", "--out", "OUT"), "hinge"),
    "device": (("sample", "--generator", "PLANTED", "--device", "gpu"), "device 'gpu'"),
    "sets": (
        ("fidelity", "PLANTED", "--data", "absent", "--segmenter", "palette", "--num-sets", "1"),
        "num_sets must be at least 2; got 1",
    ),
}


@pytest.mark.parametrize(("arguments", "hint"), BAD.values(), ids=BAD.keys())
def test_bad_input_gets_one_line_and_leaves_everything_alone(
    gandissect, planted: Path, tmp_path: Path, arguments: tuple[str, ...], hint: str
) -> None:
    kept = tmp_path / "out" / "report.html"
    kept.parent.mkdir()
    kept.write_text("mine")
    corrupt = tmp_path / "corrupt.safetensors"
    corrupt.write_bytes(planted.read_bytes()[:-100])
    names = {"PLANTED": str(planted), "CORRUPT": str(corrupt), "OUT": str(kept.parent)}
    status, output, error = gandissect(*[names.get(argument, argument) for argument in arguments])
    assert status == 2
    if arguments:
        assert output == ""
        assert error.count("\n") == 1
        assert error.startswith("gandissect: ")
        assert "Traceback" not in error
        assert hint in error
    assert kept.read_text() == "mine"
    assert [path.name for path in kept.parent.iterdir()] == ["report.html"]


def test_scenes_train_a_segmenter(gandissect, tmp_path: Path) -> None:
    options = ["--data", "scenes:8", "--held-out", "scenes:4", "--out", tmp_path / "run", "--size", 32]
    small = ["--num-steps", 2, "--batch-size", 4, "--input-size", 32, "--device", "cpu"]
    status, output, error = gandissect("train", "segmenter", *options, *small)
    assert status == 0, error
    segmenter = segmenters.load(output.strip(), device="cpu")
    assert [concept.name for concept in segmenter.concepts[:2]] == ["sky", "cloud"]
    status, _, error = gandissect("train", "segmenter", "--data", "scenes", "--held-out", "scenes", "--out", tmp_path)
    assert (status, "--held-out must not be among --data" in error) == (2, True)


@pytest.mark.parametrize("inside", ["", "deeper/still"])
def test_an_output_that_cannot_be_is_refused_before_the_work(
    gandissect, planted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, inside: str
) -> None:
    from apps.commands import dissect as command

    monkeypatch.setattr(command, "dissect", lambda *a, **k: pytest.fail("the work was done first"))
    (tmp_path / "taken").write_text("mine")
    out = tmp_path / "taken" / inside
    status, output, error = gandissect("dissect", "--generator", planted, "--segmenter", "palette", "--out", out)
    assert (status, output, error.count("\n")) == (2, "", 1)
    assert "taken is a file" in error
    assert (tmp_path / "taken").read_text() == "mine"


@pytest.mark.parametrize("arguments", [["models", "--json"], ["--help"], ["models", "--help"]])
def test_a_reader_that_goes_away_gets_no_complaint(arguments: list[str]) -> None:
    code = f"import time; time.sleep(0.2)\nfrom apps.cli import main\nmain({arguments})"
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", code], stdout=pipe, stderr=pipe, cwd=ROOT) as process:
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 141


ARCHITECTURES = ", ".join(RECIPES)


USAGE = {
    (
        "dissect",
        "--bogus",
        "3",
    ): "generator needs a value; see gandissect dissect --help",
    ("models", "--jsn"): "unrecognized options: --jsn; perhaps you meant --json; see gandissect models --help",
    ("train", "generator"): f"name the architecture first: {ARCHITECTURES}",
    ("train", "generator", "--out", "x"): f"name the architecture first: {ARCHITECTURES}",
    ("interpolate", "x", "--fps", "1.5"): "--fps must be an integer; got '1.5'; see gandissect interpolate --help",
    (
        "sample",
        "x",
        "--truncation-psi",
        "a",
    ): "--truncation-psi must be a number; got 'a'; see gandissect sample --help",
    ("directions", "x", "--ws", "1,2"): "--ws must be numbers separated by spaces (integers for INT); got '1,2'; "
    "see gandissect directions --help",
    (
        "train",
        "generator",
        "progn",
    ): f"unknown architecture 'progn'; did you mean 'progan'? known: {ARCHITECTURES}",
}


@pytest.mark.parametrize(("arguments", "said"), USAGE.items(), ids=[" ".join(each) for each in USAGE])
def test_a_usage_error_is_one_sentence(gandissect, arguments: tuple[str, ...], said: str) -> None:
    assert gandissect(*arguments) == (2, "", f"gandissect: {said}\n")


def test_an_architecture_is_named_once(gandissect) -> None:
    status, output, _ = gandissect("train", "generator", "progan", "--help")
    assert status == 0
    assert "--resolution" in output
    assert "--architecture" not in output
    status, _, error = gandissect(
        "train", "generator", "progan", "--data", "x", "--out", "y", "--architecture", "dcgan"
    )
    assert (status, "unrecognized options: --architecture" in error) == (2, True)


def test_the_version_needs_no_installation(gandissect) -> None:
    import gandissect as package

    assert gandissect("--version") == (0, f"{package.__version__}\n", "")


def test_the_result_of_another_dissection_is_not_overwritten(gandissect, planted: Path, tmp_path: Path) -> None:
    words = ("dissect", "--generator", planted, "--segmenter", "palette", "--out", tmp_path / "run")
    assert gandissect(*words, "--num-samples", 40)[0] == 0
    before = (tmp_path / "run" / "dissection.safetensors").read_bytes()
    for more, name in ((("--seed", 1), "seed"), (("--layers", "layer2"), "layers"), (("--curves",), "curves")):
        status, _, error = gandissect(*words, "--num-samples", 40, *more)
        assert status == 2
        assert (
            f"holds a dissection with a different {name}; name another folder, or dissect again with --overwrite"
            in error
        )
    assert (tmp_path / "run" / "dissection.safetensors").read_bytes() == before
    assert gandissect(*words, "--num-samples", 40, "--seed", 1, "--overwrite")[0] == 0
    assert Dissection.load(tmp_path / "run").provenance.seed == 1


def test_a_finished_dissection_is_not_made_again_but_its_report_is(
    gandissect, planted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from apps.commands import dissect as command

    words = ("dissect", planted, "--segmenter", "palette", "--num-samples", 40, "--out", tmp_path / "run", "--json")
    status, first, error = gandissect(*words)
    assert status == 0, error
    files = {path.name: path.read_bytes() for path in (tmp_path / "run").iterdir()}
    monkeypatch.setattr(command, "dissect", lambda *a, **k: pytest.fail("it was dissected again"))
    (tmp_path / "run" / "units.csv").unlink()
    (tmp_path / "run" / "tally.safetensors").write_text("of a process that was killed at its end")
    assert gandissect(*words) == (0, first, "")
    assert {path.name: path.read_bytes() for path in (tmp_path / "run").iterdir()} == files
    status, other, error = gandissect(*words, "--min-iou", 0.5)
    assert (status, json.loads(other)["min_iou"]) == (0, 0.5), error
    assert json.loads((tmp_path / "run" / "dissection.json").read_text())["min_iou"] == 0.5


def test_effects_from_the_shell_are_those_from_python(gandissect, planted: Path, tmp_path: Path) -> None:
    out, generator = tmp_path / "effects", generators.load(planted, "cpu")
    status, output, error = gandissect(
        "effect",
        planted,
        "--concept",
        "red",
        "blue",
        "--segmenter",
        "palette",
        "--num-units",
        1,
        "--num-samples",
        60,
        "--seed",
        3,
        "--out",
        out,
        "--json",
    )
    assert status == 0, error
    answer = json.loads(output)
    assert [each["concept"] for each in answer["effects"]] == ["red", "blue"]
    segmenter = segmenters.load("palette")
    for each, unit in zip(answer["effects"], (0, 2), strict=True):
        assert each["units"] == [unit]
        units = UnitSet(each["layer"], (unit,))
        wanted = average_causal_effect(generator, segmenter, units, each["concept"], 60, 3, progress=False)
        assert each["concepts"] == wanted.records()
        assert CausalEffect.load(out / f"{each['concept']}.safetensors").records() == wanted.records()
    with Image.open(out / "effects.png") as figure:
        assert figure.size[0] > 1000
    recipe = Recipe.load(out / "red-ablated.json")
    status, output, error = gandissect(
        "edit", out / "red-ablated.json", "--out", tmp_path / "edited.png", "--columns", 3
    )
    assert status == 0, error
    z = generator.sample_z(16, seed=3)
    assert torch.equal(
        recipe.generate(generator), generate(generator, z, [Ablation(UnitSet(answer["effects"][0]["layer"], (0,)))])
    )
    with Image.open(tmp_path / "edited.png") as grid:  # 16 pictures in rows of 3, and as many edited ones
        assert grid.size == (3 * 34 + 2, 12 * 34 + 2)
        pixels = np.asarray(grid).transpose(2, 0, 1)
    first = ((generator(z[:1])[0] + 1) * 127.5).round().byte().numpy()
    assert np.abs(pixels[:, 2:34, 2:34].astype(int) - first.astype(int)).max() <= 1


def test_effects_may_be_chosen_by_a_dissection_made_with_the_same_defaults(
    gandissect, planted: Path, tmp_path: Path
) -> None:
    networks, folder = (planted, "--segmenter", "palette"), tmp_path / "run"
    assert gandissect("dissect", *networks, "--num-samples", 40, "--out", folder)[0] == 0
    effect = ("effect", *networks, "--concept", "red", "--dissection", folder, "--num-samples", 20, "--num-units", 1)
    status, output, error = gandissect(*effect)
    assert (status, "red" in output) == (0, True), error
    status, _, error = gandissect(*effect, "--seed", 0)
    assert (status, "such as seed=1 (--seed 1)" in error) == (2, True)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--concept",), "name at least one concept; the concepts are black"),
        (("--concept", "rod"), "did you mean 'red'"),
        (("--concept", "red", "--units", "0"), "name the layer"),
        (("--concept", "red", "--optimise"), "name the layer"),
        (("--concept", "red", "--optimize", "--layer", "layer1"), "no logits"),
        (("--concept", "red", "--layer", "layer1", "--units", "9"), "units 0 to 5; got 9"),
        (("--concept", "red", "--layer", "layer1", "--units", "1", "--optimize"), "omit one of them"),
        (("--concept", "red", "--curves"), "name it with --out"),
        (("--concept", "red", "--num-samples", "1"), "num_samples must be at least 2 and num_units at least 1"),
    ],
)
def test_mistakes_about_effects_are_named(gandissect, planted: Path, arguments: tuple[str, ...], said: str) -> None:
    status, output, error = gandissect("effect", planted, "--segmenter", "palette", *arguments)
    assert (status, output) == (2, "")
    assert said in error
    assert len(error.splitlines()) == 1


def _stop(*_: object, **__: object) -> None:
    raise KeyboardInterrupt


def test_a_generator_is_repaired_and_reported_in_one_command(
    gandissect, planted: Path, tiny_unet: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw, out = np.random.default_rng(0), tmp_path / "repair"
    for number in range(30):
        pixels = draw.integers(0, 256, (4, 4, 3), dtype=np.uint8).repeat(8, 0).repeat(8, 1)
        (tmp_path / "photos").mkdir(exist_ok=True)
        Image.fromarray(pixels).save(tmp_path / f"photos/{number}.png")
    pictures = ("--data", tmp_path / "photos", "--hold-out", 0.4, "--num-images", 8)
    repair = ("repair", planted, *pictures, "--segmenter", tiny_unet)
    status, output, error = gandissect(*repair, "--layer", "layer2", "--num-samples", 60, "--out", out, "--json")
    assert status == 0, error
    answer = json.loads(output)
    assert Path(answer["report"]) == out / "report.html"
    found, curve = Repair.load(out), RepairCurve.load(out)
    assert answer["figures"] == found.records()
    assert set(found.units.units) <= set(curve.ranked.units) == set(ArtifactRanking.load(out).top(40).units)
    generator, fixed = generators.load(planted, "cpu"), generators.load(out / "repaired.safetensors", "cpu")
    z = generator.sample_z(8)
    assert torch.equal(fixed(z), generate(generator, z, [Ablation(found.units)]))
    assert torch.equal(
        Recipe.load(out / "recipe.json").generate(generator)[:1], fixed(generator.sample_z(1, found.sample_seed))
    )
    page = html.unescape((out / "report.html").read_text(encoding="utf-8"))
    words = shlex.split(re.search(r"<code>(gandissect repair .*?)</code>", page)[1])
    given = [*map(str, repair[1:]), "--layer", "layer2", "--num-samples", "60", "--out", str(out)]
    assert words[:2] == ["gandissect", "repair"] and _parse("repair", words[2:]) == _parse("repair", given)
    again = (*repair, "--layer", "layer2", "--num-samples", 60, "--out", tmp_path / "again")
    with monkeypatch.context() as slow:
        slow.setattr("gandissect.artifacts.find.measure_repair", _stop)
        status, output, error = gandissect(*again)
        assert (status, output, error) == (130, "", "gandissect: stopped; rerun the command to continue\n")
    assert [path.name for path in (tmp_path / "again").iterdir()] == [RepairSteps.FILE_NAME]
    status, _, error = gandissect(*again, "--seed", 1)
    assert (status, "contains the steps of another repair, which differs in seed; choose another" in error) == (2, True)
    assert gandissect(*again)[0] == 0
    names = {path.name for path in out.iterdir()}
    assert {path.name for path in (tmp_path / "again").iterdir()} == names and RepairSteps.FILE_NAME not in names
    for name in names - {"report.pdf"}:  # which has the time in it
        repeated = (tmp_path / "again" / name).read_bytes().replace(bytes(tmp_path / "again"), bytes(out))
        assert repeated == (out / name).read_bytes(), name  # but for the folder in the command
    recipe = tmp_path / "mine.json"
    recipe.write_text(Recipe.of(generator, [Ablation(UnitSet("layer1", (0, 1, 3)))]).to_json())
    status, output, error = gandissect(*repair, "--recipe", recipe, "--out", tmp_path / "by-hand")
    assert status == 0, error
    by_hand = RepairCurve.load(tmp_path / "by-hand")
    assert by_hand.ranked == UnitSet("layer1", (0, 1, 3)) and by_hand.counts == (0, 1, 2, 3)
    assert Repair.load(tmp_path / "by-hand").concepts is not None
    status, output, error = gandissect("repair", planted, "--data", "x", "--units", 1, "--out", tmp_path / "x")
    assert (status, "name the layer with --layer" in error) == (2, True)
