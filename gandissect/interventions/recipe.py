"""Recipes: which images to generate and how to edit them, as JSON files that people can read and share."""

from __future__ import annotations

import base64
import json
import math
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Float32
from torch import Tensor

from ..core.display import Displayed, name_captions
from ..core.lookup import lookup
from ..core.network_id import NetworkId
from ..core.protocols import CaptionedGenerator, Generator, as_captioned, as_conditional, as_translation
from ..core.sampling import check_seed
from ..core.types import UnitSet
from ..storage.files import read_bytes, write_text
from .apply import generate
from .edits import Ablation, Edit, Insertion, Scaling

FORMAT, VERSION = "gandissect-recipe", 1
MAX_REGION = 2**26
"""Maximum number of values in a region, since a hostile file could request any number."""

EDIT_KINDS: Mapping[str, tuple[type[Any], str]] = {
    "ablation": (Ablation, "strength"),
    "insertion": (Insertion, "values"),
    "scaling": (Scaling, "factor"),
}
"""Kinds of edits: the class, and the name of its setting apart from units and region."""


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Recipe(Displayed):
    """A set of images of one generator, with edits.

    Args:
        generator: Name and fingerprint of the generator.
        seed: Seed of the latent vectors.
        start: Index of the first sample, at least 0.
        num_samples: Number of samples, at least 1.
        edits: Edits to apply, in order.
        classes: Names of the classes that samples are drawn from; empty if from all, or if there are no classes.
        pictures: Name of the pictures that a translator is on; empty for other generators.
        captions: Captions that samples are drawn from; empty for those of the training, or if there are no captions.
    """

    generator: NetworkId
    seed: int
    start: int
    num_samples: int
    edits: tuple[Edit, ...]
    classes: tuple[str, ...] = ()
    pictures: str = ""
    captions: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "seed", check_seed(self.seed))
        if self.start < 0 or self.num_samples < 1:
            raise ValueError(
                f"start must be at least 0 and num_samples at least 1; got {self.start} and {self.num_samples}"
            )

    @staticmethod
    def of(generator: Generator, edits: Sequence[Edit], seed: int = 0, start: int = 0, num_samples: int = 16) -> Recipe:
        """Return a recipe for a generator with edits, and with its classes, its pictures or its captions."""
        drawn = drawn_classes(generator), name_pictures(generator), drawn_captions(generator)
        return Recipe(NetworkId.of(generator), seed, start, num_samples, tuple(edits), *drawn)

    @property
    def model(self) -> str:
        """Name of the generator without classes, pictures and captions, which is that of a file or bundled model."""
        classes = f" of {', '.join(self.classes)}" if self.classes else ""
        pictures = f" on {self.pictures}" if self.pictures else ""
        captions = f" {name_captions(self.captions)}" if self.captions else ""
        name = self.generator.name.removesuffix(captions)
        return name.removesuffix(classes).removesuffix(pictures).removesuffix(classes)

    def generate(self, generator: Generator) -> Float[Tensor, "batch 3 H W"]:
        """Generate the edited images, float32 ``[num_samples, 3, H, W]``.

        Args:
            generator: Generator that the recipe was made for, whichever classes it draws from; for a recipe of
                captions, whichever captions.

        Raises:
            KeyError: If the generator has no such layer.
            ValueError: If it is another generator, it does not know a word of the captions, or an edit does not fit.
        """
        self.check_generator(generator)
        return generate(generator, self.latents(generator), self.edits)

    def latents(self, generator: Generator) -> Float32[Tensor, "batch z"]:
        """Return the latent vectors, on the generator's device."""
        drawing = self._draw_from(generator)
        return drawing.sample_z(self.num_samples, self.seed, self.start).to(generator.device)

    def check_generator(self, generator: Generator) -> None:
        """Check that a generator is the recipe's.

        Raises:
            ValueError: If its fingerprint differs, or it does not know a word of the recipe's captions.
        """
        self.generator.check(self._draw_from(generator), "the recipe")

    def _draw_from(self, generator: Generator) -> Generator:
        """Return a generator that draws from the recipe's classes, where it has these, or from its captions."""
        captioned = as_captioned(generator)
        if self.captions and captioned is not None:
            return self._describe(captioned)
        conditional = as_conditional(generator)
        if conditional is None or not set(self.classes) <= set(conditional.classes):
            return generator
        return conditional.of_classes(*(self.classes or conditional.classes))

    def _describe(self, generator: CaptionedGenerator) -> Generator:
        try:
            return generator.of_captions(*self.captions)
        except (KeyError, ValueError) as error:
            raise ValueError(f"{generator.name} cannot read the captions of the recipe: {error.args[0]}") from error

    def to_json(self) -> str:
        """Return the recipe as JSON text."""
        facts = {"format": FORMAT, "version": VERSION}
        network = {"generator": self.generator.name, "fingerprint": self.generator.fingerprint}
        samples: dict[str, Any] = {"seed": self.seed, "start": self.start, "num_samples": self.num_samples}
        if self.classes:
            samples["classes"] = list(self.classes)
        if self.pictures:
            samples["pictures"] = self.pictures
        if self.captions:
            samples["captions"] = list(self.captions)
        entries = facts | network | samples | {"edits": [_encode_edit(edit) for edit in self.edits]}
        return json.dumps(entries, indent=1, ensure_ascii=False, allow_nan=False) + "\n"

    @staticmethod
    def from_json(text: str) -> Recipe:
        """Parse a recipe from JSON text.

        Raises:
            ValueError: If the text is not a valid recipe; the message states what is wrong.
        """
        return _parse(text)

    def save(self, path: Path | str, *, overwrite: bool = False) -> Path:
        """Write the recipe to a JSON file and return its path.

        Args:
            path: Path of the file.
            overwrite: Replace an existing file with other content.

        Raises:
            FileExistsError: If there is a file with other content and ``overwrite`` is not set.
        """
        write_text(path, self.to_json(), overwrite=overwrite)
        return Path(path)

    @staticmethod
    def load(path: Path | str) -> Recipe:
        """Load a recipe that `save` wrote, or one written by hand.

        Raises:
            FileNotFoundError: If there is no such file.
            ValueError: If the file is not a valid recipe; the message names the file and states what is wrong.
        """
        try:
            return Recipe.from_json(read_bytes(path).decode())
        except ValueError as error:
            raise ValueError(f"{path} is not a recipe: {error}") from error

    def _summarize(self) -> str:
        edits = f"{len(self.edits)} edit{'' if len(self.edits) == 1 else 's'}"
        samples = f"samples {self.start} to {self.start + self.num_samples - 1}"
        samples += f" of {', '.join(self.classes)}" if self.classes else ""
        samples += f" of {self.pictures}" if self.pictures else ""
        samples += f" {name_captions(self.captions)}" if self.captions else ""
        return f"{self.generator}: {edits}, {samples}, seed={self.seed}"


def drawn_classes(generator: Generator) -> tuple[str, ...]:
    """Return the names of the classes that a generator draws from, or none if it draws from all or has none."""
    conditional = as_conditional(generator)
    return () if conditional is None or conditional.drawn == conditional.classes else conditional.drawn


def drawn_captions(generator: Generator) -> tuple[str, ...]:
    """Return the captions that a generator draws from, or none if it draws from those of its training or has none."""
    captioned = as_captioned(generator)
    return captioned.captions if captioned is not None and captioned.is_described else ()


def name_pictures(generator: Generator) -> str:
    """Return the name of the pictures that a translator is on; empty for other generators."""
    translation = as_translation(generator)
    return "" if translation is None else str(getattr(translation.pictures, "name", ""))


def _parse(text: str) -> Recipe:
    try:
        entries = json.loads(text)
        if not isinstance(entries, dict) or (entries.get("format"), entries.get("version")) != (FORMAT, VERSION):
            raise ValueError(f"its format must be {FORMAT!r}, version {VERSION}")
        return Recipe(
            generator=NetworkId(
                _check_text(entries["generator"], "generator"), _check_text(entries["fingerprint"], "fingerprint")
            ),
            seed=_check_whole_number(entries["seed"], "seed"),
            start=_check_whole_number(entries["start"], "start"),
            num_samples=_check_whole_number(entries["num_samples"], "num_samples"),
            edits=tuple(_decode_edit(edit) for edit in entries["edits"]),
            classes=_check_texts(entries.get("classes", []), "classes", "a class"),
            pictures=_check_text(entries["pictures"], "pictures") if "pictures" in entries else "",
            captions=_check_texts(entries.get("captions", []), "captions", "a caption"),
        )
    except KeyError as error:
        raise ValueError(
            f"{error.args[0]!r} is missing" if error.args[0] in _ENTRIES else str(error.args[0])
        ) from error
    except (TypeError, AttributeError, RecursionError, OverflowError, RuntimeError, zlib.error) as error:
        raise ValueError(str(error)) from error


_ENTRIES = {
    "seed",
    "start",
    "num_samples",
    "generator",
    "fingerprint",
    "edits",
    "kind",
    "layer",
    "units",
    "shape",
    "data",
}


def _encode_edit(edit: Edit) -> dict[str, Any]:
    """Return an edit as JSON values."""
    kind, name = next((kind, name) for kind, (cls, name) in EDIT_KINDS.items() if isinstance(edit, cls))
    entry = {"kind": kind, "layer": edit.units.layer, "units": list(edit.units.units), name: getattr(edit, name)}
    if edit.region is not None:
        data = base64.b64encode(zlib.compress(edit.region.numpy().astype("<f4").tobytes())).decode()
        entry["region"] = {"shape": list(edit.region.shape), "data": data}
    return entry


def _decode_edit(entry: Any) -> Edit:
    """Return the edit that JSON values describe."""
    cls, name = lookup(EDIT_KINDS, _check_text(entry["kind"], "kind"), "kind of edit")
    allowed = {"kind", "layer", "units", "region", name}
    if extra := set(entry) - allowed:
        raise ValueError(
            f"an edit of kind {entry['kind']!r} may have {', '.join(sorted(allowed))}; got {', '.join(sorted(extra))}"
        )
    units = UnitSet(
        _check_text(entry["layer"], "layer"), tuple(_check_whole_number(unit, "a unit") for unit in entry["units"])
    )
    region = None if entry.get("region") is None else _unpack_region(entry["region"])
    settings = {name: _parse_numbers(entry[name], name)} if name in entry else {}
    edit: Edit = cls(units, region=region, **settings)
    return edit


def _unpack_region(entry: Any) -> Float32[Tensor, "*batch rows columns"]:
    """Return the mask of a packed region."""
    shape = [_check_whole_number(length, "a length of a region") for length in entry["shape"]]
    size = math.prod(shape)
    if not 0 < size <= MAX_REGION or min(shape) < 1:
        raise ValueError(f"a region must have 1 to {MAX_REGION} numbers; got {shape}")
    unpacked = zlib.decompressobj().decompress(
        base64.b64decode(_check_text(entry["data"], "data"), validate=True), 4 * size + 1
    )
    if len(unpacked) != 4 * size:
        raise ValueError(f"a region {shape} must have {4 * size} bytes; got at least {len(unpacked)}")
    return torch.from_numpy(np.frombuffer(unpacked, "<f4").astype(np.float32).reshape(shape))


def _check_whole_number(value: Any, name: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(f"{name} must be an integer; got {value!r}")
    return value


def _check_text(value: Any, name: str) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError(f"{name} must be a non-empty string; got {value!r}")
    return value


def _check_texts(value: Any, name: str, item: str) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise ValueError(f"{name} must be a list; got {value!r}")
    return tuple(_check_text(text, item) for text in value)


def _parse_numbers(value: Any, name: str) -> float | tuple[float, ...]:
    """Return one number, or a tuple of several."""
    if isinstance(value, list):
        return tuple(float(_check_number(item, name)) for item in value)
    return float(_check_number(value, name))


def _check_number(value: Any, name: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"{name} must be a number or a list of numbers; got {value!r}")
    return value
