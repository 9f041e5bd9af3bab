"""Sources of pictures with captions, and their specifications."""

from __future__ import annotations

import pytest

from segmenters.datasets import Captioned, Scenes, open_inputs, open_pictures


def test_captions_fit_the_pictures_that_they_are_true_of() -> None:
    scenes = Scenes(16, 12)
    source, order, numbers = Captioned(scenes, 3), [5, 0, 7, 2], [1, 0, 2, 1]
    captions = [scenes.caption(*pair) for pair in zip(order, numbers, strict=True)]
    assert source.captions(order, numbers) == tuple(caption.text for caption in captions)
    fits = source.fits(order, numbers)
    assert fits.tolist() == [[c.is_true_of(scenes.attributes(index)) for c in captions] for index in order]
    assert fits.diagonal().all()
    assert {word for text in source.captions(order, numbers) for word in text.replace(",", "").split()} <= set(
        source.vocabulary
    )


def test_scenes_with_captions_are_opened_by_name() -> None:
    train, held_out = open_pictures(["captions:scenes:30@lake"], 16)
    assert isinstance(train, Captioned)
    assert isinstance(held_out, Captioned)
    assert (len(train), len(held_out)) == (30, 1000)
    assert train.name == "scenes@lake (captioned)"
    assert train.scenes.seed != held_out.scenes.seed


@pytest.mark.parametrize("specs", [["captions:FOLDER"], ["captions:scenes", "scenes"], ["a=captions:scenes"]], ids=str)
def test_other_pictures_have_no_captions(specs: list[str], tmp_path) -> None:
    with pytest.raises((ValueError, FileNotFoundError), match=r"captions must be scenes only|no folder"):
        open_pictures([spec.replace("FOLDER", str(tmp_path / "none")) for spec in specs], 16)


def test_captions_are_no_pictures_to_translate() -> None:
    with pytest.raises(ValueError, match=r"captions \(captions:scenes:4\) are for training stackgan"):
        open_inputs(["captions:scenes:4"], 16)
