"""Scenes of coloured shapes with captions that say exactly what is in them: a data set made by code, for the quick start.

A scene is one group of equal shapes, or two with a relation. Twelve of the 64 pairs of colour and shape are never seen in training.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import TypeVar

import numpy as np

T = TypeVar("T")

COLOURS = {
    "red": (214, 40, 40),
    "orange": (247, 127, 0),
    "yellow": (246, 214, 40),
    "green": (46, 156, 60),
    "cyan": (40, 200, 216),
    "blue": (36, 76, 208),
    "purple": (128, 50, 176),
    "pink": (250, 140, 190),
}
SHAPES = ("circle", "square", "triangle", "star", "cross", "diamond", "ring", "heart")
SIZES = ("small", "large")
COUNTS = ("a", "two", "three")
RELATIONS = ("above", "below", "left of", "right of")
ALONE = 0.3  # share of scenes with one group; more, and many captions of a batch are equal (there are 312 of them)
PAIRS = tuple((colour, shape) for colour in COLOURS for shape in SHAPES)
HELD_OUT = tuple(
    pair for place, pair in enumerate(PAIRS) if (step := (place % 8 - place // 8) % 8) == 0 or (step == 3 and place // 8 % 2 == 0)
)  # each colour and each shape once or twice
SEEN = tuple(pair for pair in PAIRS if pair not in HELD_OUT)


@dataclasses.dataclass(frozen=True)
class Group:
    """`count` shapes of one kind."""

    count: int
    size: str
    colour: str
    shape: str

    @property
    def name(self) -> str:
        """Colour and shape, as in `red circle`."""
        return f"{self.colour} {self.shape}"


@dataclasses.dataclass(frozen=True)
class Scene:
    """relation: where the first group is, seen from the second. jitter: the seed of what the caption leaves open: places, turns, shades."""

    first: Group
    relation: str | None = None
    second: Group | None = None
    jitter: int = 0

    @property
    def pair(self) -> tuple[str, Group] | None:
        """The relation and the second group; None where the first is alone."""
        return None if self.relation is None or self.second is None else (self.relation, self.second)


def caption(scene: Scene) -> str:
    """Such as `a small red circle above two large blue squares`."""
    if scene.pair is None:
        return _phrase(scene.first)
    relation, second = scene.pair
    return f"{_phrase(scene.first)} {relation} {_phrase(second)}"


def _phrase(group: Group) -> str:
    ending = "" if group.count == 1 else "es" if group.shape.endswith("s") else "s"
    return f"{COUNTS[group.count - 1]} {group.size} {group.name}{ending}"


def class_names() -> list[str]:
    """The held-out pairs of colour and shape, as in `red circle`: the classes of zero-shot classification."""
    return [f"{colour} {shape}" for colour, shape in HELD_OUT]


def train_scenes(count: int, *, seed: int) -> Iterator[Scene]:
    """Random scenes of pairs that are not held out; captions may repeat, pixels do not."""
    random = np.random.Generator(np.random.Philox(key=seed))
    for _ in range(count):
        yield _scene(random, first=_choice(random, SEEN))


def train_scene(number: int, *, seed: int) -> Scene:
    """Scene `number` of an endless row of such scenes, each drawn by itself."""
    random = np.random.Generator(np.random.Philox(key=[seed, 2], counter=[0, 0, 0, number]))
    return _scene(random, first=_choice(random, SEEN))


def heldout_scenes(count: int, *, seed: int) -> Iterator[Scene]:
    """Scenes whose first group is of a held-out pair, in turn, and whose second is not; all captions differ."""
    random = np.random.Generator(np.random.Philox(key=[seed, 1]))
    captions: set[str] = set()
    while len(captions) < count:
        scene = _scene(random, first=HELD_OUT[len(captions) % len(HELD_OUT)])
        if caption(scene) not in captions:
            captions.add(caption(scene))
            yield scene


def _scene(random: np.random.Generator, *, first: tuple[str, str]) -> Scene:
    group = _group(random, first)
    jitter = int(random.integers(1 << 32))
    if random.random() < ALONE:
        return Scene(group, jitter=jitter)
    others = [pair for pair in SEEN if pair != first]
    return Scene(group, _choice(random, RELATIONS), _group(random, _choice(random, others)), jitter)


def _group(random: np.random.Generator, pair: tuple[str, str]) -> Group:
    return Group(1 + int(random.integers(len(COUNTS))), _choice(random, SIZES), *pair)


def _choice(random: np.random.Generator, options: Sequence[T]) -> T:
    return options[int(random.integers(len(options)))]
