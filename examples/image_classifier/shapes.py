"""Images of eight shapes, drawn here: no download, and the same for everybody."""

import numpy as np

CLASSES = ("disc", "ring", "square", "frame", "triangle", "cross", "bars", "half_disc")
SIDE = 24

# A seed for each split: no image of one is in another.
_SEEDS = {"train": 1, "validation": 2, "test": 3}
_COUNTS = {"train": 6000, "validation": 1000, "test": 1000}


def make(split):
    """Return the images ``(n, 24, 24, 1) uint8`` and the classes ``(n,) int64`` of `split`."""
    generator, n = np.random.default_rng(_SEEDS[split]), _COUNTS[split]
    labels = generator.integers(0, len(CLASSES), n)
    x, y, radius = _grid(generator, n)
    distance = np.empty_like(x)
    for number, name in enumerate(CLASSES):
        chosen = labels == number
        distance[chosen] = _OUTLINES[name](x[chosen], y[chosen], radius[chosen])
    ink = np.clip(0.5 - distance, 0, 1)  # a pixel on the outline is half covered
    back, contrast = generator.uniform(20, 110, (n, 1, 1)), generator.uniform(50, 130, (n, 1, 1))
    noise = generator.normal(0, 22, ink.shape)
    pixels = np.clip(np.rint(back + contrast * ink + noise), 0, 255).astype(np.uint8)
    return pixels[..., np.newaxis], labels


def _grid(generator, n):
    """Return each pixel's place as the shape sees it, moved and turned, and the shape's size."""
    rows, columns = np.mgrid[0:SIDE, 0:SIDE] - (SIDE - 1) / 2
    rows = rows - generator.uniform(-4, 4, (n, 1, 1))
    columns = columns - generator.uniform(-4, 4, (n, 1, 1))
    angle = generator.uniform(-0.3, 0.3, (n, 1, 1))
    x = columns * np.cos(angle) + rows * np.sin(angle)
    y = rows * np.cos(angle) - columns * np.sin(angle)
    return x, y, np.broadcast_to(generator.uniform(4, 8, (n, 1, 1)), x.shape)


def _box(x, y, width, height):
    return np.maximum(np.abs(x) - width, np.abs(y) - height)


# The distance in pixels to the outline of a shape of radius `r`, below zero inside.
_OUTLINES = {
    "disc": lambda x, y, r: np.hypot(x, y) - r,
    "ring": lambda x, y, r: np.abs(np.hypot(x, y) - 0.8 * r) - 0.25 * r,
    "square": lambda x, y, r: _box(x, y, 0.85 * r, 0.85 * r),
    "frame": lambda x, y, r: np.abs(_box(x, y, 0.7 * r, 0.7 * r)) - 0.22 * r,
    "triangle": lambda x, y, r: np.maximum(y - r / 2, 0.87 * np.abs(x) - y / 2 - r / 2),
    "cross": lambda x, y, r: np.minimum(_box(x, y, r, r / 3), _box(x, y, r / 3, r)),
    "bars": lambda x, y, r: _box(np.abs(x) - 0.6 * r, y, 0.25 * r, r),
    "half_disc": lambda x, y, r: np.maximum(np.hypot(x, y) - r, -y),
}
