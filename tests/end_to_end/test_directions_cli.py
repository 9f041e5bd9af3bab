"""``gandissect directions`` on the planted generator: its concepts are there where ``z[2k]`` is positive."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import generators
from apps.cli import main
from gandissect.latent.directions.direction import Direction
from gandissect.latent.directions.labels import DirectionEffect


@pytest.fixture
def directions(capsys: pytest.CaptureFixture[str], tmp_path: Path):
    """Run the command on a planted generator: (status, standard output, standard error)."""
    path = tmp_path / "planted.safetensors"
    generators.save(generators.PlantedGenerator(size=8, cells=4), path)

    def run(*arguments: object) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as stop:
            main(["directions", str(path), "--segmenter", "palette", *map(str, arguments)])
        said = capsys.readouterr()
        return stop.value.code, said.out, said.err

    return run


def test_the_boundaries_of_planted_concepts_are_found_labeled_and_written(directions, tmp_path: Path) -> None:
    out = tmp_path / "out"
    status, output, _ = directions(
        "--method",
        "boundary",
        "--concept",
        "red",
        "blue",
        "--find-samples",
        300,
        "--num-samples",
        40,
        "--steps",
        -2,
        0,
        2,
        "--seed",
        5,
        "--out",
        out,
        "--json",
    )
    assert status == 0
    answer = json.loads(output)
    for place, (concept, found) in enumerate(zip(("red", "blue"), answer["directions"], strict=True)):
        direction = Direction.load(out / f"boundary-{concept}.safetensors")
        assert int(direction.vector.abs().argmax()) == 4 * place
        assert float(direction.vector.max()) > 0.9
        assert {label["concept"] for label in found["labels"]} == {concept, "black"}
        assert [label.concept for label in direction.labels] == [label["concept"] for label in found["labels"]]
        effect = DirectionEffect.load(out / f"boundary-{concept}-effect.safetensors")
        # From there in none of the images to there in all: nearly all images, of 1 / 16 of the pixels, in 4 steps.
        low, high = effect.interval(concept)
        assert low < 1 / 16 / 4
        assert high > 0.85 / 16 / 4
        assert answer["boundaries"][place]["score"] > 0.4
    picture = np.asarray(Image.open(out / "directions.png"))
    assert picture.std() > 10
    assert len(answer["written"]) == 5


def test_components_of_a_layer_from_the_shell(directions) -> None:
    status, output, _ = directions(
        "--method",
        "components",
        "--layer",
        "layer1",
        "--in-z",
        "--num-directions",
        2,
        "--find-samples",
        100,
        "--num-samples",
        10,
        "--steps",
        2,
    )
    assert status == 0
    lines = output.splitlines()
    assert [line.partition(":")[0] for line in lines] == ["pca-layer1-z-1 (in z)", "pca-layer1-z-2 (in z)"]


def test_keeping_a_concept_leaves_it_alone(directions) -> None:
    status, output, _ = directions(
        "--method",
        "boundary",
        "--concept",
        "red",
        "--keep",
        "black",
        "--find-samples",
        300,
        "--num-samples",
        10,
        "--json",
    )
    assert status == 0
    (found,) = json.loads(output)["directions"]
    assert found["name"] == "boundary-red-keeping-black"
    assert [each["concept"] for each in json.loads(output)["boundaries"]] == ["red", "black"]


def test_a_file_is_no_folder_and_is_refused_before_the_work(directions, tmp_path: Path) -> None:
    taken = tmp_path / "planted.safetensors"
    kept = taken.read_bytes()
    status, output, error = directions("--method", "boundary", "--concept", "rad", "--out", taken)
    assert (status, output, taken.read_bytes()) == (2, "", kept)
    assert "planted.safetensors is a file; choose another folder" in error  # rather than of the concept, seen later


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((), "latent_maps()"),
        (("--method", "components"), "has no w"),
        (("--method", "boundary"), "concepts must name at least one concept"),
        (("--method", "boundary", "--concept", "rad"), "did you mean 'red'"),
        (("--concept", "red"), "concepts is not an option of the method sefa"),
        (("--method", "boundary", "--concept", "red", "--keep", "red"), "must not overlap; got 'red' in both"),
        (("--pictures", "0"), "--pictures must be 1 to 16"),
        (("--method", "boundary", "--concept", "rad", "--steps", "0"), "steps must include one that is not 0"),
        (
            ("--method", "boundary", "--concept", "rad", "--num-samples", "9"),
            "num_samples must be at least 10 to label a direction; got 9",
        ),
        (("--method", "boundary", "--concept", "a/b", "a-b", "--out", "x"), "'a/b' and 'a-b' would share a file name"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_line(directions, arguments: tuple[str, ...], says: str) -> None:
    status, _, error = directions(*arguments)
    assert status == 2
    assert says in error
    assert len(error.strip().splitlines()) == 1
