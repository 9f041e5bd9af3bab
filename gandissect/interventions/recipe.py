"""Recipes: which images to generate and how to edit them, as JSON files that people can read and share."""

from __future__ import annotations

import base64
import json
import math
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Float32
from torch import Tensor

from ..core.display import Displayed
from ..core.drawn import Drawn
from ..core.lookup import lookup
from ..core.network_id import NetworkId
from ..core.protocols import CaptionedGenerator, Generator, as_captioned, as_conditional
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
        drawn: Classes, pictures or captions that samples are drawn from.
    """

    generator: NetworkId
    seed: int
    start: int
    num_samples: int
    edits: tuple[Edit, ...]
    drawn: Drawn = field(default_factory=Drawn)

    def __post_init__(self) -> None:
        object.__setattr__(self, "seed", check_seed(self.seed))
        if self.start < 0 or self.num_samples < 1:
            raise ValueError(
                f"start must be at least 0 and num_samples at least 1; got {self.start} and {self.num_samples}"
            )

    @staticmethod
    def of(generator: Generator, edits: Sequence[Edit], seed: int = 0, start: int = 0, num_samples: int = 16) -> Recipe:
        """Return a recipe for a generator with edits, and with its classes, its pictures or its captions."""
        return Recipe(NetworkId.of(generator), seed, start, num_samples, tuple(edits), Drawn.of(generator))

    @property
    def model(self) -> str:
        """Name of the generator without classes, pictures and captions, which is that of a file or bundled model."""
        return self.drawn.name_model(self.generator.name)

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
        if self.drawn.captions and captioned is not None:
            return self._describe(captioned)
        conditional = as_conditional(generator)
        if conditional is None or not set(self.drawn.classes) <= set(conditional.classes):
            return generator
        return conditional.of_classes(*(self.drawn.classes or conditional.classes))

    def _describe(self, generator: CaptionedGenerator) -> Generator:
        try:
            return generator.of_captions(*self.drawn.captions)
        except (KeyError, ValueError) as error:
            raise ValueError(f"{generator.name} cannot read the captions of the recipe: {error.args[0]}") from error

    def to_json(self) -> str:
        """Return the recipe as JSON text."""
        facts = {"format": FORMAT, "version": VERSION}
        network = {"generator": self.generator.name, "fingerprint": self.generator.fingerprint}
        samples: dict[str, Any] = {"seed": self.seed, "start": self.start, "num_samples": self.num_samples}
        samples |= {name: value for name, value in asdict(self.drawn).items() if value}
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
        samples = f"samples {self.start} to {self.start + self.num_samples - 1}{self.drawn}"
        return f"{self.generator}: {edits}, {samples}, seed={self.seed}"


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
            drawn=Drawn(
                _check_texts(entries.get("classes", []), "classes", "a class"),
                _check_text(entries["pictures"], "pictures") if "pictures" in entries else "",
                _check_texts(entries.get("captions", []), "captions", "a caption"),
            ),
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
