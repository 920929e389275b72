"""Draws the examples' pictures: `python -m examples.pictures` writes them, with the detections that a model would give.

A scene is drawn at twice its size and scaled down, which smooths its edges. What is random is seeded.
"""

import json
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import matplotlib
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter, ImageFont

FOLDER = Path(__file__).parent
FONTS = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
SCALE = 2
JPEG_QUALITY = 88
FRAMES = 5
"""Of the video."""

Box = tuple[float, float, float, float]
"""Left, top, right, bottom (pixels of the finished picture)."""
Colour = tuple[int, int, int]
Scene = tuple[Image.Image, list[dict[str, Any]]]
"""A picture, and its objects as an inference server's response lists them."""


def found(label: str, box: Box, confidence: float = 0.9, **more: Any) -> dict[str, Any]:
    """One detection, in the form of an inference server's response."""
    left, top, right, bottom = (round(value, 1) for value in box)
    place = {"x": (left + right) / 2, "y": (top + bottom) / 2, "width": right - left, "height": bottom - top}
    rounded = {name: round(value, 1) for name, value in place.items()}
    return {"class": label, "class_id": 0, "confidence": confidence, **rounded, **more}


def canvas(width: int, height: int, colour: Colour, grain: float, seed: int) -> Image.Image:
    """A surface of one colour with a fine and a coarse grain (levels)."""
    random = np.random.default_rng(seed)
    fine = random.normal(0, grain, (height * SCALE, width * SCALE))
    coarse = cv2.resize(random.normal(0, grain, (height // 24, width // 24)), (width * SCALE, height * SCALE))
    surface = np.array(colour)[None, None] + (fine + coarse)[..., None]
    return Image.fromarray(np.clip(surface, 0, 255).astype(np.uint8))


def shadow(image: Image.Image, box: Box, radius: float, offset: float, strength: int = 110) -> None:
    """A soft shadow below an object."""
    layer = Image.new("L", image.size, 0)
    moved = tuple((value + offset) * SCALE for value in box)
    ImageDraw.Draw(layer).rounded_rectangle(moved, radius * SCALE, fill=strength)
    image.paste((0, 0, 0), mask=layer.filter(ImageFilter.GaussianBlur(offset * SCALE)))


def font(size: float, name: str = "DejaVuSans-Bold") -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(str(FONTS / f"{name}.ttf"), round(size * SCALE))


def finished(image: Image.Image) -> Image.Image:
    return image.resize((image.width // SCALE, image.height // SCALE), Image.Resampling.LANCZOS)


def car(image: Image.Image, box: Box, colour: Colour) -> None:
    """A car from above, its front to the top."""
    shadow(image, box, 12, 4)
    draw = ImageDraw.Draw(image)
    left, top, right, bottom = (value * SCALE for value in box)
    width, height = right - left, bottom - top

    def part(x0: float, y0: float, x1: float, y1: float, fill: Colour, radius: float) -> None:
        place = (left + x0 * width, top + y0 * height, left + x1 * width, top + y1 * height)
        draw.rounded_rectangle(place, radius * width, fill=fill)

    darker = tuple(int(value * 0.72) for value in colour)
    lighter = tuple(min(255, int(value * 1.12 + 12)) for value in colour)
    glass = (38, 46, 56)
    part(0, 0, 1, 1, (darker[0], darker[1], darker[2]), 0.28)
    part(0.04, 0.01, 0.96, 0.985, colour, 0.26)
    part(0.12, 0.25, 0.88, 0.86, glass, 0.2)
    part(0.17, 0.37, 0.83, 0.74, (lighter[0], lighter[1], lighter[2]), 0.14)
    for side in (0.1, 0.72):
        part(side, 0.015, side + 0.18, 0.05, (250, 246, 220), 0.06)
        part(side, 0.955, side + 0.18, 0.985, (190, 40, 36), 0.05)


def car_park() -> Scene:
    """A car park from above: two rows of bays and a lane for deliveries."""
    image = canvas(960, 600, (96, 99, 103), 4, 1)
    draw = ImageDraw.Draw(image)
    white = (232, 232, 226)
    bays, width, depth = 8, 92, 190
    for row, edge in ((24, 24), (386, 386 + depth)):
        for bay in range(bays + 1):
            x = 40 + bay * width
            draw.line([(x * SCALE, row * SCALE), (x * SCALE, (row + depth) * SCALE)], white, 4 * SCALE)
        draw.line([(38 * SCALE, edge * SCALE), ((42 + bays * width) * SCALE, edge * SCALE)], white, 4 * SCALE)
    for x in range(60, 760, 90):
        draw.line([(x * SCALE, 300 * SCALE), ((x + 46) * SCALE, 300 * SCALE)], (206, 190, 96), 4 * SCALE)
    for y in range(40, 600, 34):
        draw.line([(826 * SCALE, y * SCALE), (936 * SCALE, (y - 26) * SCALE)], (206, 190, 96), 5 * SCALE)
    draw.rectangle([820 * SCALE, 10 * SCALE, 942 * SCALE, 590 * SCALE], outline=(206, 190, 96), width=4 * SCALE)
    colours = [
        (178, 44, 42),
        (228, 229, 230),
        (44, 62, 92),
        (58, 60, 62),
        (154, 160, 164),
        (40, 92, 74),
        (212, 176, 72),
    ]
    parked = [(0, 24), (1, 24), (3, 24), (4, 24), (5, 24), (7, 24), (0, 386), (2, 386), (5, 386), (6, 386)]
    random = np.random.default_rng(2)
    objects = []
    for index, (bay, row) in enumerate(parked):
        left, top = 40 + bay * width + 15 + random.uniform(-4, 4), row + 22 + random.uniform(-8, 8)
        box = (left, top, left + 62, top + 142)
        car(image, box, colours[index % len(colours)])
        objects.append(found("car", box, round(random.uniform(0.82, 0.97), 2)))
    moving: list[tuple[Box, Colour]] = [((394, 226, 458, 368), colours[1]), ((848, 300, 914, 478), (240, 240, 238))]
    for place, colour in moving:
        car(image, place, colour)
        objects.append(found("car", place, 0.9))
    return finished(image), objects


def name_plate() -> Scene:
    """The name plate of a pump, and its words as an OCR model reads them: some letters and digits mixed up."""
    image = canvas(900, 540, (58, 66, 72), 3, 3)
    plate = canvas(820, 460, (188, 192, 194), 1.5, 4)
    rows = np.linspace(18, -14, plate.height)[:, None, None]
    brushed = np.random.default_rng(5).normal(0, 4, (plate.height, 1, 1))
    plate = Image.fromarray(np.clip(np.asarray(plate) + rows + brushed, 0, 255).astype(np.uint8))
    shadow(image, (40, 40, 860, 500), 22, 8, 150)
    mask = Image.new("L", plate.size, 0)
    ImageDraw.Draw(mask).rounded_rectangle((0, 0, *plate.size), 22 * SCALE, fill=255)
    image.paste(plate, (40 * SCALE, 40 * SCALE), mask)
    draw = ImageDraw.Draw(image)
    for column, row in ((66, 66), (834, 66), (66, 474), (834, 474)):
        head = (column - 10, row - 10, column + 10, row + 10)
        slot = (column - 6, row - 5, column + 6, row + 5)
        draw.ellipse([value * SCALE for value in head], (128, 132, 136))
        draw.line([value * SCALE for value in slot], (70, 74, 78), 3 * SCALE)
    draw.rectangle([92 * SCALE, 84 * SCALE, 808 * SCALE, 152 * SCALE], (24, 52, 92))
    lines: list[tuple[float, float, Colour, list[tuple[float, str, str]]]] = [
        (98, 38, (238, 240, 242), [(112, "NORDWERK", "NORDWERK"), (392, "PUMPS", "PUMP5")]),
        (182, 30, (30, 32, 34), [(112, "Type", "Type"), (372, "NP-450", "NP-45O")]),
        (246, 30, (30, 32, 34), [(112, "Serial no.", "Serial no."), (372, "2407-0138", "24O7-Ol38")]),
        (310, 30, (30, 32, 34), [(112, "Year", "Year"), (372, "2024", "2O24")]),
        (374, 30, (30, 32, 34), [(112, "Supply", "5upply"), (372, "400 V", "4OO V"), (540, "50 Hz", "SO Hz")]),
        (432, 26, (84, 88, 92), [(112, "Made in Bergen", "Made in Bergen")]),
    ]
    random = np.random.default_rng(6)
    objects = []
    for y, size, colour, words in lines:
        for x, text, read in words:
            draw.text((x * SCALE, y * SCALE), text, colour, font(size))
            left, top, right, bottom = (
                value / SCALE for value in draw.textbbox((x * SCALE, y * SCALE), text, font(size))
            )
            tilt = random.uniform(-3, 3)
            box = (left - 4, top - 5 + tilt, right + 4, bottom + 5 + tilt)
            objects.append(found(read, box, round(random.uniform(0.71, 0.96), 2)))
    random.shuffle(objects)
    return finished(image), objects


def parcel(image: Image.Image, box: Box, tone: float) -> None:
    """A cardboard box from above, taped and labelled."""
    shadow(image, box, 3, 7, 150)
    draw = ImageDraw.Draw(image)
    left, top, right, bottom = (value * SCALE for value in box)
    card = tuple(int(value * tone) for value in (186, 142, 94))
    draw.rectangle([left, top, right, bottom], (card[0], card[1], card[2]))
    edge = tuple(int(value * 0.78) for value in card)
    draw.rectangle([left, top, right, bottom], outline=(edge[0], edge[1], edge[2]), width=2 * SCALE)
    middle = (top + bottom) / 2
    draw.rectangle([left, middle - 9 * SCALE, right, middle + 9 * SCALE], (206, 178, 132))
    draw.line([left, middle, right, middle], (150, 112, 70), SCALE)
    label = (right - 64 * SCALE, top + 12 * SCALE, right - 14 * SCALE, top + 46 * SCALE)
    draw.rectangle(label, (244, 244, 240))
    for bar in range(9):
        x = label[0] + (5 + bar * 4.6) * SCALE
        draw.line([x, label[1] + 6 * SCALE, x, label[3] - 12 * SCALE], (30, 30, 30), (1 + bar % 3) * SCALE)
    draw.line([label[0] + 5 * SCALE, label[3] - 6 * SCALE, label[2] - 8 * SCALE, label[3] - 6 * SCALE], (90, 90, 90), 2)


def belt() -> Image.Image:
    """A conveyor belt, empty."""
    image = canvas(960, 480, (150, 154, 158), 3, 7)
    rubber = canvas(960, 340, (52, 54, 58), 5, 8)
    image.paste(rubber, (0, 70 * SCALE))
    draw = ImageDraw.Draw(image)
    for x in range(0, 960, 48):
        draw.line([(x * SCALE, 70 * SCALE), (x * SCALE, 410 * SCALE)], (44, 46, 50), 2 * SCALE)
    for y in (52, 410):
        draw.rectangle([0, y * SCALE, 960 * SCALE, (y + 18) * SCALE], (226, 182, 40))
        for x in range(0, 980, 60):
            points = [(x, y), (x + 30, y), (x + 14, y + 18), (x - 16, y + 18)]
            draw.polygon([(px * SCALE, py * SCALE) for px, py in points], (34, 34, 34))
    return image


def conveyor() -> Scene:
    """Parcels on a belt. As trackers do, this one lost a parcel, took a shadow for one, and counted another twice."""
    image = belt()
    parcels: list[tuple[Box, float, float, int]] = [
        ((40, 116, 190, 236), 1.0, 0.95, 31),
        ((96, 270, 216, 378), 0.88, 0.91, 32),
        ((300, 150, 470, 300), 1.06, 0.97, 33),
        ((548, 104, 668, 204), 0.94, 0.88, 34),
        ((560, 258, 720, 374), 1.02, 0.93, 35),
        ((776, 160, 916, 296), 0.9, 0.9, -1),
    ]
    objects = []
    for box, tone, confidence, track in parcels:
        parcel(image, box, tone)
        objects.append(found("parcel", box, confidence, tracker_id=track))
    objects.append(found("parcel", (292, 140, 462, 284), 0.62, tracker_id=33))
    objects.append(found("parcel", (238, 318, 300, 392), 0.31, tracker_id=36))
    objects = [{**each, "detection_id": f"parcel-{number}"} for number, each in enumerate(objects, start=1)]
    return finished(image), objects


def passing(frame: int) -> Scene:
    """Parcels on the moving belt, in one picture of a video: they go to the right, some faster, and drift a little."""
    image = belt()
    parcels = [
        (690, 120, 120, 100, 1.0),
        (470, 250, 150, 118, 0.88),
        (250, 130, 140, 130, 1.06),
        (-40, 240, 110, 110, 0.94),
    ]
    random = np.random.default_rng(60 + frame)
    objects = []
    for number, (start, top, width, height, tone) in enumerate(parcels):
        left = start + frame * (74 + 6 * number)
        if left < 0 or left + width > image.width // SCALE:
            continue
        drift = top + random.uniform(-5, 5)
        box = (left, drift, left + width, drift + height)
        parcel(image, box, tone)
        objects.append(found("parcel", box, round(random.uniform(0.84, 0.97), 2), detection_id=f"f{frame}-{number}"))
    random.shuffle(objects)
    return finished(image), objects


def tomato(image: NDArray[np.uint8], centre: tuple[float, float], radius: float, ripeness: float, seed: int) -> None:
    """A shaded ball whose colour goes from green (0) to red (1), with its stalk."""
    x, y = centre[0] * SCALE, centre[1] * SCALE
    size = radius * SCALE
    rows, columns = np.mgrid[0 : image.shape[0], 0 : image.shape[1]]
    distance = np.hypot(columns - x, rows - y) / size
    edge = np.clip((1.02 - distance) * size / 3, 0, 1)[..., None]
    unripe, turning, red = np.array([112, 150, 48]), np.array([224, 142, 44]), np.array([196, 36, 30])
    colour = unripe + (turning - unripe) * min(1, ripeness * 2) + (red - turning) * max(0, ripeness * 2 - 1)
    light = np.clip(1.12 - 0.62 * np.hypot(columns - x + size * 0.3, rows - y + size * 0.34) / size, 0.22, 1.2)
    shine = np.exp(-((columns - x + size * 0.36) ** 2 + (rows - y + size * 0.42) ** 2) / (size * 0.17) ** 2)
    body = np.clip(colour * light[..., None] + 165 * shine[..., None], 0, 255)
    image[:] = (image * (1 - edge) + body * edge).astype(np.uint8)
    start = np.random.default_rng(seed).uniform(0, 2 * np.pi)
    points = []
    for tip in range(10):
        reach = size * (0.34 if tip % 2 == 0 else 0.1)
        angle = start + tip * np.pi / 5
        points.append((x + reach * np.cos(angle), y + reach * np.sin(angle)))
    cv2.fillPoly(image, [np.array(points, dtype=np.int32)], (58, 92, 38), cv2.LINE_AA)


def crate(seed: int, ripe: float) -> Scene:
    """A crate of twelve tomatoes, about `ripe` of them (0 to 1) red."""
    image = canvas(640, 480, (150, 112, 74), 5, seed)
    draw = ImageDraw.Draw(image)
    draw.rectangle([18 * SCALE, 18 * SCALE, 622 * SCALE, 462 * SCALE], (72, 50, 32))
    inner = canvas(588, 428, (58, 46, 38), 3, seed + 1)
    image.paste(inner, (26 * SCALE, 26 * SCALE))
    random = np.random.default_rng(seed)
    places = [(100 + column * 146 + random.uniform(-7, 7), 106 + row * 134 + random.uniform(-6, 6))
              for row in range(3) for column in range(4)]  # fmt: skip
    objects = []
    radii = [random.uniform(54, 64) for _ in places]
    for (x, y), radius in zip(places, radii, strict=True):
        shadow(image, (x - radius, y - radius, x + radius, y + radius), radius, 6, 140)
    pixels = np.array(image)
    for index, ((x, y), radius) in enumerate(zip(places, radii, strict=True)):
        ripeness = float(np.clip(random.normal(ripe, 0.28), 0, 1))
        tomato(pixels, (x, y), radius, ripeness, seed + index)
        box = (x - radius, y - radius, x + radius, y + radius)
        name = f"crate-{seed}-{index + 1}"
        objects.append(found("tomato", box, round(random.uniform(0.84, 0.98), 2), detection_id=name))
    return finished(Image.fromarray(pixels)), objects


SCENES: dict[str, Callable[[], Scene]] = {
    "count_per_zone/car_park.jpg": car_park,
    "ocr_clean_up/name_plate.jpg": name_plate,
    "tracked_filter/conveyor.jpg": conveyor,
    **{f"tracked_video/frame_{frame + 1}.jpg": partial(passing, frame) for frame in range(FRAMES)},
    "batch_report/crate_1.jpg": lambda: crate(20, 0.86),
    "batch_report/crate_2.jpg": lambda: crate(40, 0.42),
}


def main() -> int:
    """Writes every picture, and prints the detections that go with it."""
    for name, scene in SCENES.items():
        image, objects = scene()
        image.save(FOLDER / name, quality=JPEG_QUALITY, optimize=True)
        size = {"width": image.width, "height": image.height}
        sys.stdout.write(f"{name}\n{json.dumps({'image': size, 'predictions': objects})}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
