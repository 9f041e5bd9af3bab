"""Load the generators and segmenters named on the command line."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Annotated

import tyro

import generators
import segmenters
from gandissect import Segmenter
from gandissect.core.rows import limit_rows
from generators import CaptionedGenerator, ClassTranslator, ConditionalGenerator, LayeredGenerator, Translator
from segmenters.datasets import open_inputs

logger = logging.getLogger(__name__)

Model = Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="MODEL")]
"""Generator, the first argument of a command; ``--generator MODEL`` is equivalent."""


def load_generator(
    name: str,
    device: str,
    classes: Sequence[str] = (),
    inputs: Sequence[str] | None = None,
    default_inputs: Sequence[str] = (),
) -> LayeredGenerator:
    """Load a generator.

    Args:
        name: Bundled name, file or folder, as for `generators.load`.
        device: Device to load it on: auto, cpu, cuda or mps.
        classes: Names of the classes that samples are drawn from; all by default.
        inputs: Specifications of the pictures that a translator is put on, as for `open_inputs`; None if the command
            takes none.
        default_inputs: Specifications that are used where ``inputs`` is empty.

    Raises:
        KeyError: If the name or a class is unknown, or it names a segmenter.
        FileNotFoundError: If there is no such file or folder.
        ValueError: If the file is damaged or does not hold a generator, if classes are named and it has none, or if
            pictures are named and it takes none, or the reverse.
    """
    if name in (*segmenters.names(), "palette"):
        raise KeyError(_wrong_kind_message(name, "segmenter", "generator", generators.names()))
    generator = generators.load(name, device)
    if isinstance(generator, Translator):
        return _put_on(generator, classes, inputs if inputs is None else inputs or default_inputs)
    if inputs:
        raise ValueError(f"{generator.name} makes images from latent vectors; omit --inputs")
    if not classes:
        return generator
    if not isinstance(generator, ConditionalGenerator):
        raise ValueError(f"{generator.name} has no classes to draw from; omit --classes")
    return generator.of_classes(*classes)


def describe_with(generator: LayeredGenerator, captions: Sequence[str]) -> LayeredGenerator:
    """Return a generator that draws from captions; unchanged without captions.

    Raises:
        KeyError: If a caption has a word that the generator does not know; the message lists those that it knows.
        ValueError: If the generator takes no captions.
    """
    if not captions:
        return generator
    if not isinstance(generator, CaptionedGenerator):
        raise ValueError(f"{generator.name} takes no captions; omit --caption, or use a stackgan")
    return generator.of_captions(*captions)


def load_translator(name: str, device: str, classes: Sequence[str] = ()) -> Translator:
    """Load a translator; arguments and errors as for `load_generator`.

    Raises:
        ValueError: If the generator takes latent vectors, or if classes are named and it has none.
    """
    generator = generators.load(name, device)
    if not isinstance(generator, Translator):
        raise ValueError(f"{generator.name} makes images from latent vectors; use gandissect sample")
    return _choose_classes(generator, classes)


def limit_samples(generator: LayeredGenerator, num_samples: int) -> int:
    """Return a number of samples, or the number of pictures where a translator has fewer, which is logged."""
    limited = limit_rows(generator, num_samples)
    if limited < num_samples:
        logger.info("%s: %d samples, all of its pictures", generator.name, limited)
    return limited


def _put_on(translator: Translator, classes: Sequence[str], inputs: Sequence[str] | None) -> LayeredGenerator:
    """Return a translator on the pictures of a command."""
    translator = _choose_classes(translator, classes)
    if inputs is None:
        raise ValueError(
            f"{translator.name} translates pictures, which this command does not take; use translate, or a "
            "command with --inputs, such as sample, dissect or edit"
        )
    if not inputs:
        raise ValueError(f"{translator.name} translates pictures; name them with --inputs")
    size = translator.image_size[0]
    return translator.on(open_inputs(inputs, size, label_maps=bool(translator.input_concepts)))


def _choose_classes(translator: Translator, classes: Sequence[str]) -> Translator:
    """Return a translator that translates to some classes only; unchanged if none are named."""
    if not classes:
        return translator
    if not isinstance(translator, ClassTranslator):
        raise ValueError(f"{translator.name} has no classes to draw from; omit --classes")
    return translator.of_classes(*classes)


def load_segmenter(name: str, device: str) -> Segmenter:
    """Load a segmenter.

    Args:
        name: Bundled name, file or folder, as for `segmenters.load`.
        device: Device to load it on: auto, cpu, cuda or mps.

    Raises:
        KeyError: If the name is unknown, or names a generator.
        FileNotFoundError: If there is no such file or folder.
        ValueError: If the file is damaged or does not hold a segmenter.
    """
    if name in generators.names():
        raise KeyError(_wrong_kind_message(name, "generator", "segmenter", segmenters.names()))
    return segmenters.load(name, device)


def _wrong_kind_message(name: str, actual: str, expected: str, names: Sequence[str]) -> str:
    return f"{name!r} is a {actual}, not a {expected}; name one of {', '.join(names)}, or a file or folder"
