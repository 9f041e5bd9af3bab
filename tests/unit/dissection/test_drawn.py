"""A dissection remembers what its samples were drawn from."""

from __future__ import annotations

import json
from pathlib import Path

import torch

from gandissect import Concept, Dissection, dissect
from gandissect.core.drawn import Drawn
from gandissect.storage import load_tensors
from generators import ConditionalDCGAN, StarGAN
from segmenters import PaletteSegmenter

CONCEPTS = [Concept(0, "red", (255, 0, 0)), Concept(1, "blue", (0, 0, 255))]


def test_a_dissection_of_classes_remembers_them_and_one_of_all_classes_is_saved_as_before(tmp_path: Path) -> None:
    torch.manual_seed(0)
    everything = ConditionalDCGAN(size=16, width=4, noise_dim=3, classes=["cat", "dog", "owl"]).eval()
    segmenter = PaletteSegmenter(CONCEPTS)
    for number, (generator, drawn) in enumerate(
        ((everything, Drawn()), (everything.of_classes("owl", "cat"), Drawn(("cat", "owl"))))
    ):
        dissection = dissect(generator, segmenter, layers=["layer1"], num_samples=4, progress=False)
        assert dissection.provenance.drawn == drawn
        dissection.save(tmp_path / str(number))
        assert Dissection.load(tmp_path / str(number)).provenance.drawn == drawn
        header = load_tensors(tmp_path / str(number) / Dissection.FILE_NAME, "gandissect.Dissection", 3)[1]
        stated = json.dumps(header)
        assert ('"classes"' in stated, '"pictures"' in stated) == (bool(drawn.classes), False)


def test_a_dissection_of_a_translator_remembers_its_class_and_its_pictures() -> None:
    torch.manual_seed(0)
    star = StarGAN(size=16, width=4, blocks=1, classes=["noon", "dusk"]).eval()
    star.name = "star"
    pictures = torch.zeros(4, 3, 16, 16, dtype=torch.uint8)
    for generator in (star.of_classes("dusk").on(pictures), star.on(pictures).of_classes("dusk")):
        drawn = dissect(
            generator, PaletteSegmenter(CONCEPTS), layers=["block1"], num_samples=4, progress=False
        ).provenance.drawn
        assert (drawn.classes, drawn.captions, drawn.name_model(generator.name)) == (("dusk",), (), "star")
