"""Scenes of coloured shapes -> pixels. Drawn at four times the size and averaged, so that edges are smooth."""

from __future__ import annotations

import math

import numpy as np
from PIL import Image, ImageDraw

from .shapes import COLOURS, COUNTS, Group, Scene

SUPERSAMPLED = 4
RADIUS = {"small": 0.08, "large": 0.15}  # of the image's side: three large ones fit in a row
ROTATION = math.radians(12)
CENTRES = {"above": (0.5, 0.25), "below": (0.5, 0.75), "left of": (0.25, 0.5), "right of": (0.75, 0.5)}


def render(scene: Scene, size: int) -> np.ndarray:
    """uint8[size, size, 3]; the same scene gives the same pixels."""
    random = np.random.Generator(np.random.Philox(key=scene.jitter))
    side = size * SUPERSAMPLED
    shade = random.integers(200, 245) if random.random() < 0.5 else random.integers(15, 60)
    canvas = Image.new("RGB", (side, side), tuple(int(shade + random.integers(-8, 9)) for _ in range(3)))
    draw = ImageDraw.Draw(canvas)
    x, y = random.uniform(0.25, 0.75, 2) if scene.pair is None else CENTRES[scene.pair[0]]
    vertical = bool(random.integers(2)) if scene.pair is None else x != 0.5
    _draw_group(draw, scene.first, (x, y), vertical=vertical, random=random)
    if scene.pair is not None:
        _draw_group(draw, scene.pair[1], (1 - x, 1 - y), vertical=vertical, random=random)
    return np.asarray(canvas.reduce(SUPERSAMPLED))


def _draw_group(
    draw: ImageDraw.ImageDraw, group: Group, centre: tuple[float, float], *, vertical: bool, random: np.random.Generator
) -> None:
    """The shapes side by side (or one above the other), each moved, turned and tinted a little."""
    side = draw.im.size[0]
    cell, radius = 1 / len(COUNTS), RADIUS[group.size]
    colour = tuple(int(value) for value in np.clip(np.array(COLOURS[group.colour]) + random.integers(-14, 15, 3), 0, 255))
    for place in range(group.count):
        along = 0.5 + (place - (group.count - 1) / 2) * cell
        x, y = (centre[0], along) if vertical else (along, centre[1])
        room = cell / 2 - radius
        dx, dy = random.uniform(-room, room, 2) if room > 0 else (0.0, 0.0)
        turn = complex(math.cos(angle := random.uniform(-ROTATION, ROTATION)), math.sin(angle))
        scale = radius * side * random.uniform(0.92, 1.0)
        _draw_shape(draw, group.shape, complex(x + dx, y + dy) * side, scale * turn, colour)


def _draw_shape(draw: ImageDraw.ImageDraw, shape: str, centre: complex, scale: complex, colour: tuple[int, ...]) -> None:
    if shape in ("circle", "ring"):
        r = abs(scale)
        box = (centre.real - r, centre.imag - r, centre.real + r, centre.imag + r)
        draw.ellipse(box, **({"fill": colour} if shape == "circle" else {"outline": colour, "width": round(r * 0.42)}))
        return
    points = centre + scale * OUTLINES[shape]
    draw.polygon(list(zip(points.real.tolist(), points.imag.tolist())), fill=colour)


def _polar(radii: list[float], *, first_angle: float) -> np.ndarray:
    """Corners at equal angles, as complex numbers x + iy with y down."""
    angles = first_angle + 2 * np.pi * np.arange(len(radii)) / len(radii)
    return np.array(radii) * np.exp(1j * angles)


def _heart() -> np.ndarray:
    t = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    x, y = 16 * np.sin(t) ** 3, 13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t)
    return (x - 1j * (y + 2)) / 16


_ARM = 0.34
OUTLINES = {
    "square": _polar([1.12] * 4, first_angle=np.pi / 4),
    "triangle": _polar([1.12] * 3, first_angle=-np.pi / 2) + 0.15j,
    "star": _polar([1.1, 0.44] * 5, first_angle=-np.pi / 2),
    "diamond": np.array([-1j, 0.62, 1j, -0.62]),
    "cross": np.array([(x + 1j * y) * turn for turn in (1, 1j, -1, -1j) for x, y in ((_ARM, -_ARM), (1.0, -_ARM), (1.0, _ARM))]),
    "heart": _heart(),
}
