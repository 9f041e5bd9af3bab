"""Captions from a small grammar, with what they say beside them: all of it is true of the picture.

A caption is ``[a] PLACE [season] [mood] [with THING, THING and THING]``. Each part is left out with probability 1/2,
and each has two or three wordings. A part that is left out, such as a car, may still be in the picture.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from gandissect.core.lookup import lookup
from gandissect.core.sampling import derive_seed

from .attributes import Attributes
from .light import Dice
from .sample_objects import CARS, SEASONS

Wordings = Mapping[str, tuple[str, ...]]
"""Wordings by the value of an attribute, as text. In those of season and mood, ``*`` is what they are added to."""

SCENE = ("scene", "view")
"""What a picture is called whose place is left out."""
PLACE_WORDS: Wordings = {
    "street": ("street", "town street"),
    "lane": ("lane", "country road"),
    "country": ("meadow", "country scene"),
    "lake": ("lake", "lake shore"),
    "coast": ("coast", "sea shore"),
    "city": ("city", "city street"),
    "wild": ("wilderness", "wild scene"),
}
SEASON_WORDS: Wordings = {name: (f"{name} *", f"* in {name}") for name in SEASONS}
MOOD_WORDS: Wordings = {
    "noon": ("* at noon", "* in noon light", "* under a noon sky"),
    "morning": ("* in the morning", "* in morning light", "* under a morning sky"),
    "golden": ("* in golden light", "* under a golden sky"),
    "sunset": ("* at sunset", "* in sunset light", "* under a sunset sky"),
    "overcast": ("* under an overcast sky", "* in overcast light"),
    "mist": ("misty *", "* in mist"),
    "dusk": ("* at dusk", "* in dusk light", "* under a dusk sky"),
}
_ROOF_WORDS = {"eaves": "broad", "gable": "gabled", "hip": "hipped", "flat": "flat", "gambrel": "barn"}
THING_WORDS: dict[str, Wordings] = {
    "num_buildings": {
        "0": ("no buildings", "no building"),
        "1": ("one building", "a single building"),
        "2": ("buildings", "two or more buildings"),
    },
    "roof": {kind: (f"a {word} roof", f"a {word} roof on top") for kind, word in _ROOF_WORDS.items()},
    "has_fir": {"True": ("a fir", "a fir tree")},
    "has_poplar": {"True": ("a poplar", "a poplar tree")},
    "has_round": {"True": ("a round tree", "a tree with a round crown")},
    "car_color": {color: (f"a {color} car", f"a car in {color}") for color in CARS},
    "has_person": {"True": ("a person", "somebody")},
    "has_fence": {"True": ("a fence", "a board fence")},
    "has_flower": {"True": ("flowers", "a bush with flowers")},
    "has_mountain": {"True": ("mountains", "a mountain")},
    "has_cloud": {"True": ("a cloud", "a cloud in the sky")},
    "has_sun": {"True": ("the sun", "the sun in the sky")},
}
"""Wordings of the things that a caption may name, in its order."""

VOCABULARY: tuple[str, ...] = tuple(
    sorted(
        {"a", "an", "and", "with"}.union(
            *(
                wording.replace("*", "").split()
                for wordings in ({"": SCENE}, PLACE_WORDS, SEASON_WORDS, MOOD_WORDS, *THING_WORDS.values())
                for choices in wordings.values()
                for wording in choices
            )
        )
    )
)
"""All words of captions, in alphabetical order."""


@dataclass(frozen=True, slots=True)
class Caption:
    """A caption and what it says.

    Args:
        text: The caption, in lower case.
        truth: The attributes that it states, by their names in `Attributes.record`.
    """

    text: str
    truth: Mapping[str, str | float | bool | None]

    def is_true_of(self, attributes: Attributes) -> bool:
        """Return whether all that the caption states is true of a scene, such as another one."""
        return self.truth.items() <= attributes.record().items()


def write_caption(attributes: Attributes, seed: int, index: int, number: int) -> Caption:
    """Return a caption of a scene.

    Which attributes it states, and their wordings, depend on the three numbers only. Captions of two scenes with the
    same numbers thus differ in what differs between the scenes.

    Args:
        attributes: Attributes of the scene.
        seed: Seed of the scenes.
        index: Index of the scene.
        number: Number of the caption.
    """
    dice = Dice(derive_seed(seed, "caption", index, number))
    record, truth = attributes.record(), dict[str, str | float | bool | None]()

    def word(name: str, wordings: Wordings) -> str | None:
        choices = wordings.get(str(record[name]))
        spoken, place = dice.chance(0.5), dice.uniform()
        if not spoken or choices is None:
            return None
        truth[name] = record[name]
        return choices[int(place * len(choices))]

    phrase = word("place", PLACE_WORDS) or dice.choice(SCENE)
    for name, wordings in (("season", SEASON_WORDS), ("mood", MOOD_WORDS)):
        phrase = (word(name, wordings) or "*").replace("*", phrase)
    things = [thing for name, wordings in THING_WORDS.items() if (thing := word(name, wordings)) is not None]
    article = "an" if phrase[0] in "aeiou" else "a"
    return Caption(f"{article} {phrase}{_join_things(things)}", truth)


def _join_things(things: list[str]) -> str:
    """Return ``" with THING, THING and THING"``, or nothing without things."""
    if not things:
        return ""
    *first, last = things
    return f" with {', '.join(first)} and {last}" if first else f" with {last}"


def word_indices(text: str) -> tuple[int, ...]:
    """Return the index in `VOCABULARY` of each word of a caption; commas, periods and capitals do not matter.

    Raises:
        KeyError: If a word is not in the vocabulary; the message suggests the nearest one and lists them.
        ValueError: If there are no words.
    """
    words = text.lower().replace(",", " ").replace(".", " ").split()
    if not words:
        raise ValueError(f"a caption must contain at least one word; got {text!r}")
    order = {word: index for index, word in enumerate(VOCABULARY)}
    return tuple(lookup(order, word, "word of captions") for word in words)
