"""One drawn radiograph: lungs, anatomy, findings and marker of a chest phantom (`data.chest`)."""

import numpy as np
from PIL import Image
from scipy import ndimage

CONTRAST = {  # brightness of each finding, pixel units: lowest, highest
    "Atelectasis": (0.14, 0.30),
    "Cardiomegaly": (0.05, 0.12),
    "Effusion": (0.04, 0.13),
    "Infiltration": (0.06, 0.16),
    "Mass": (0.12, 0.26),
    "Nodule": (0.20, 0.36),
    "Pneumothorax": (-0.09, -0.03),
}


class Body:
    """The anatomy of one phantom: soft tissue, lungs, heart, spine, ribs; and where findings go in it."""

    def __init__(self, outline: np.ndarray, size: int, rng: np.random.Generator) -> None:
        self.size = size
        rows, columns = np.mgrid[:size, :size] / size
        high, wide = rng.uniform(0.58, 0.68), rng.uniform(0.66, 0.76)
        top, left = rng.uniform(0.10, 0.20), (1 - wide) / 2 + rng.uniform(-0.03, 0.03)
        self.field = (left, top, wide, high)
        if rng.random() < 0.5:
            outline = outline[::-1, :, ::-1]
        self.lungs = np.stack([place(lung, self.field, size) for lung in outline])
        soft = ndimage.gaussian_filter(self.lungs.any(0).astype(float), size / 90)
        torso = ((columns - 0.5) / 0.56) ** 4 + ((rows - 0.72) / 0.72) ** 4 < 1
        image = 0.06 + 0.50 * ndimage.gaussian_filter(torso.astype(float), size / 40)
        image += 0.12 * np.exp(-(((columns - left - wide / 2) / 0.07) ** 2))  # spine and mediastinum
        image -= 0.34 * soft
        self.rows, self.columns, self.soft = rows, columns, soft
        self.heart = (left + wide * rng.uniform(0.54, 0.58), top + high * rng.uniform(0.64, 0.70))
        self.radii = (wide * rng.uniform(0.19, 0.225), high * rng.uniform(0.20, 0.25))
        image = np.maximum(image, 0.58 * self.ellipse(self.heart, self.radii))
        slope, phase, distance = rng.uniform(0.25, 0.45), rng.uniform(0, 1), rng.uniform(0.085, 0.105)
        arcs = rows - slope * np.abs(columns - left - wide / 2)
        image += 0.045 * soft * np.sin(2 * np.pi * (arcs / distance + phase)).clip(0)  # ribs
        vessels = ndimage.gaussian_filter(rng.standard_normal((size, size)), size / 40)
        image += 0.035 * soft * vessels / vessels.std()
        cloud = ndimage.gaussian_filter(rng.standard_normal((size, size)), size / 8)
        self.image = image + 0.02 * cloud / cloud.std()
        self.grain = rng.uniform(0.015, 0.03) * rng.standard_normal((size, size))

    def ellipse(self, centre: tuple[float, float], radii: tuple[float, float], edge: float = 0.12) -> np.ndarray:
        """1 inside, 0 outside, a soft edge (relative to the radius)."""
        x, y = (self.columns - centre[0]) / radii[0], (self.rows - centre[1]) / radii[1]
        return 1 / (1 + np.exp((np.hypot(x, y) - 1) / edge * 2))

    def at(self, box: np.ndarray, *, inside: float = 0.0) -> tuple[float, float, int]:
        """The box's centre carried over to this body, moved into the nearest lung; which lung. `inside` is the least
        distance to the lung's edge, as a share of the largest possible.
        """
        left, top, wide, high = self.field
        x, y = left + box[0] * wide, top + box[1] * high
        side = int(x > left + wide / 2)
        depth = ndimage.distance_transform_edt(self.lungs[side])
        rows, columns = np.nonzero(depth >= max(1, inside * depth.max()))
        nearest = np.argmin(np.square(rows / self.size - y) + np.square(columns / self.size - x))
        return columns[nearest] / self.size, rows[nearest] / self.size, side

    def draw(self, finding: str, box: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """What the finding adds to the image, size×size; `box` in fractions of the lung field."""
        wide, high = box[2] * self.field[2], box[3] * self.field[3]
        low, top = CONTRAST[finding]
        strength = rng.uniform(low, top)
        return strength * getattr(self, finding.lower())(box, wide, high, rng)

    def nodule(self, box, wide, high, rng) -> np.ndarray:
        """A small round spot inside a lung."""
        x, y, _ = self.at(box, inside=0.2)
        radius = np.clip((wide + high) / 4, 0.028, 0.06)
        return self.ellipse((x, y), (radius, radius), 0.35)

    def mass(self, box, wide, high, rng) -> np.ndarray:
        """A larger, lobed spot inside a lung."""
        x, y, side = self.at(box, inside=0.3)
        radii = np.clip((wide / 2, high / 2), 0.065, 0.16)
        shape = np.zeros((self.size, self.size))
        for _ in range(4):
            shift = rng.uniform(-0.4, 0.4, 2) * radii
            shape = np.maximum(shape, self.ellipse((x + shift[0], y + shift[1]), radii * rng.uniform(0.5, 0.8, 2), 0.3))
        return shape

    def infiltration(self, box, wide, high, rng) -> np.ndarray:
        """A patchy cloud over part of a lung."""
        x, y, side = self.at(box, inside=0.3)
        radii = np.clip((wide / 2, high / 2), 0.10, 0.22)
        patches = ndimage.gaussian_filter(rng.standard_normal((self.size, self.size)), self.size / 28)
        patches = (0.6 + 0.6 * patches / patches.std()).clip(0, 1.6)
        return self.ellipse((x, y), radii, 0.5) * patches * np.maximum(self.soft, 0.15)

    def atelectasis(self, box, wide, high, rng) -> np.ndarray:
        """A plate-like band in a lung, slightly tilted."""
        x, y, side = self.at(box, inside=0.2)
        length, thick = np.clip(wide / 2, 0.07, 0.16), np.clip(high / 5, 0.014, 0.03)
        tilt = rng.uniform(-0.5, 0.5)
        along = (self.columns - x) * np.cos(tilt) + (self.rows - y) * np.sin(tilt)
        across = -(self.columns - x) * np.sin(tilt) + (self.rows - y) * np.cos(tilt)
        return np.exp(-((along / length) ** 4) - (across / thick) ** 2)

    def effusion(self, box, wide, high, rng) -> np.ndarray:
        """Fluid at the base of a lung, higher at the chest wall (a meniscus)."""
        side = int(box[0] > 0.5)
        lung = self.lungs[side]
        rows, columns = np.nonzero(lung)
        bottom, top = rows.max() / self.size, rows.min() / self.size
        level = bottom - np.clip(high, 0.12, 0.40) * (bottom - top)
        outer = (columns.min() if side == 0 else columns.max()) / self.size
        inner = (columns.max() if side == 0 else columns.min()) / self.size
        towards = ((self.columns - inner) / (outer - inner)).clip(0, 1)
        depth = self.rows - (level - 0.09 * towards**3)
        return ndimage.gaussian_filter(lung.astype(float), self.size / 90) / (1 + np.exp(-depth / 0.015))

    def pneumothorax(self, box, wide, high, rng) -> np.ndarray:
        """Air at the rim of a lung: darker, towards the apex."""
        side = int(box[0] > 0.5)
        lung = self.lungs[side]
        depth = ndimage.distance_transform_edt(lung) / self.size
        rows, columns = np.nonzero(lung)
        middle, apex = columns.mean() / self.size, rows.min() / self.size
        reach = np.clip(1.6 * high, 0.22, 0.5)
        outer = (self.columns < middle) if side == 0 else (self.columns > middle)
        width = max(np.clip(0.35 * wide, 0.03, 0.07), 1.5 / self.size)  # at least one pixel of air
        near = lung & (depth < width) & (outer | (self.rows < apex + 0.10)) & (self.rows < apex + reach)
        line = lung & (np.abs(depth - width) < 0.5 / self.size) & outer & (self.rows < apex + reach)
        return ndimage.gaussian_filter(near.astype(float), self.size / 160) - 0.8 * (line & ~near)

    def cardiomegaly(self, box, wide, high, rng) -> np.ndarray:
        """A wider heart: what it covers beyond the usual one."""
        factor = np.clip(wide / (2.2 * self.radii[0]), 1.15, 1.45)
        larger = self.ellipse((self.heart[0] + 0.02, self.heart[1]), (self.radii[0] * factor, self.radii[1] * 1.08))
        grown = (larger - self.ellipse(self.heart, self.radii)).clip(0, 1)
        return grown * np.maximum(self.soft, 0.2)


def place(lung: np.ndarray, field: tuple[float, float, float, float], size: int) -> np.ndarray:
    """A 128×128 outline drawn into the field (left, top, width, height) of a size×size frame."""
    left, top, wide, high = (round(side * size) for side in field)
    shrunk = Image.fromarray(lung).resize((wide, high), Image.Resampling.NEAREST)
    frame = np.zeros((size, size), bool)
    frame[top : top + high, left : left + wide] = np.asarray(shrunk)[: size - top, : size - left]
    return frame


def letter(size: int, rng: np.random.Generator) -> np.ndarray:
    """The mask of a letter-like mark (an L) in an upper corner."""
    height, width, stroke = round(0.12 * size), round(0.08 * size), max(1, round(0.03 * size))
    top, left = round(rng.uniform(0.02, 0.05) * size), round(rng.uniform(0.02, 0.05) * size)
    left = left if rng.random() < 0.5 else size - left - width
    mask = np.zeros((size, size), bool)
    mask[top : top + height, left : left + stroke] = True
    mask[top + height - stroke : top + height, left : left + width] = True
    return mask
