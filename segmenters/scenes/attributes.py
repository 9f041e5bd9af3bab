"""Attributes of a scene: what its picture shows, counted by pixels, because things hide each other."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields

import numpy as np
from jaxtyping import Int64, UInt8

from .objects import CONCEPTS, Car, House, Scene, SceneLabel, SceneObject, Tree
from .rendering import paint_owners

MIN_SHARE = 0.002
"""Smallest share of a picture's pixels at which a concept or a thing counts as shown."""
SIZE = 64
"""Size at which pixels are counted, so that a scene has the same attributes at every size."""
MANY = 2
"""Number that stands for itself and for all larger numbers of buildings."""
TREES = ("fir", "poplar", "round")


@dataclass(frozen=True, slots=True)
class Attributes:
    """What a scene shows. A concept or thing counts as shown if it has 0.2% of the pixels or more at 64 pixels.

    Args:
        mood: Name of the light and weather; for scenes with an hour, of the group that it is in.
        season: Name of the season.
        place: Name of the place.
        hour: Hour of the day in [0, 1]; None for scenes without hours.
        present: Names of the concepts that are shown, in their order.
        num_buildings: Number of buildings that are shown: 0, 1, or 2 for two or more. A steeple is part of its chapel.
        roof: Kind of roof of the building with the most pixels: eaves, gable, hip, flat or gambrel; None if not shown.
        trees: Kinds of trees that are shown, of fir, poplar and round. Woods on hills have no kind.
        car_color: Name of the color of the car; None without a car.
    """

    mood: str
    season: str
    place: str
    hour: float | None
    present: tuple[str, ...]
    num_buildings: int
    roof: str | None
    trees: tuple[str, ...]
    car_color: str | None

    def record(self) -> dict[str, str | float | bool | None]:
        """Return the attributes as a flat dict.

        Presence is True or False by concept (``has_car``) and by kind of tree (``has_fir``).
        """
        single = {field.name: getattr(self, field.name) for field in fields(self)}
        shown = {*single.pop("present"), *single.pop("trees")}
        return single | {f"has_{name}": name in shown for name in (*(concept.name for concept in CONCEPTS), *TREES)}


def describe_scene(scene: Scene) -> Attributes:
    """Return what a scene shows."""
    labels, owners = paint_owners(scene, SIZE)
    shown = list(_find_shown(scene, labels, owners))
    shares = np.bincount(labels.ravel(), minlength=len(CONCEPTS)) / labels.size
    buildings = [index for index in shown if _is_building(scene.standing[index])]
    trees = {thing.kind for index in shown if isinstance(thing := scene.standing[index], Tree)}
    return Attributes(
        mood=scene.light.mood,
        season=scene.season,
        place=scene.place,
        hour=scene.hour,
        present=tuple(concept.name for concept in CONCEPTS if shares[concept.index] >= MIN_SHARE),
        num_buildings=min(len(buildings), MANY),
        roof=_name_roof(scene, labels, owners, buildings),
        trees=tuple(kind for kind in TREES if kind in trees),
        car_color=next((car.color_name for index in shown if isinstance(car := scene.standing[index], Car)), None),
    )


def _find_shown(
    scene: Scene, labels: UInt8[np.ndarray, "size size"], owners: Int64[np.ndarray, "size size"]
) -> Iterator[int]:
    """Yield the indices of the things that are shown; of a tree without its bed."""
    for index, thing in enumerate(scene.standing):
        own = owners == index
        if isinstance(thing, Tree):
            own &= labels == SceneLabel.TREE
        if own.mean() >= MIN_SHARE:
            yield index


def _is_building(thing: SceneObject) -> bool:
    return isinstance(thing, House) and thing.roof != "spire"


def _name_roof(
    scene: Scene,
    labels: UInt8[np.ndarray, "size size"],
    owners: Int64[np.ndarray, "size size"],
    buildings: list[int],
) -> str | None:
    """Return the kind of roof of the building with the most pixels, if its roof is shown."""
    if not buildings:
        return None
    largest = max(buildings, key=lambda index: int((owners == index).sum()))
    house = scene.standing[largest]
    shown = ((owners == largest) & (labels == SceneLabel.ROOF)).mean() >= MIN_SHARE
    return house.roof if shown and isinstance(house, House) else None
