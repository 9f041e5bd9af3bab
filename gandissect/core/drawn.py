"""What the rows of a generator are drawn from, apart from noise."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from .display import name_captions
from .protocols import Generator, as_captioned, as_conditional, as_translation

OPTIONAL = {"is_optional": True}


@dataclass(frozen=True, slots=True)
class Drawn:
    """The classes, the pictures or the captions that the rows of a generator are drawn from.

    Args:
        classes: Names of the classes; empty if from all, or if there are no classes.
        pictures: Name of the pictures that a translator is on; empty for other generators.
        captions: The captions; empty if those of the training, or if there are no captions.
    """

    SAVED_AS: ClassVar[Mapping[str, str]] = {name: name for name in ("classes", "pictures", "captions")}

    classes: tuple[str, ...] = field(default=(), metadata=OPTIONAL)
    pictures: str = field(default="", metadata=OPTIONAL)
    captions: tuple[str, ...] = field(default=(), metadata=OPTIONAL)

    @staticmethod
    def of(generator: Generator) -> Drawn:
        """Return what the rows of a generator are drawn from."""
        conditional, captioned = as_conditional(generator), as_captioned(generator)
        translation = as_translation(generator)
        return Drawn(
            () if conditional is None or conditional.drawn == conditional.classes else tuple(conditional.drawn),
            "" if translation is None else str(getattr(translation.pictures, "name", "")),
            tuple(captioned.captions) if captioned is not None and captioned.is_described else (),
        )

    def name_model(self, name: str) -> str:
        """Return the name of a generator without what it draws from, which is that of a file or bundled model.

        Args:
            name: Name of the generator, such as ``stargan-scenes64 of dusk on scenes``.
        """
        classes = f" of {', '.join(self.classes)}" if self.classes else ""
        pictures = f" on {self.pictures}" if self.pictures else ""
        captions = f" {name_captions(self.captions)}" if self.captions else ""
        return name.removesuffix(captions).removesuffix(classes).removesuffix(pictures).removesuffix(classes)

    def __str__(self) -> str:
        classes = f" of {', '.join(self.classes)}" if self.classes else ""
        pictures = f" of {self.pictures}" if self.pictures else ""
        return classes + pictures + (f" {name_captions(self.captions)}" if self.captions else "")
