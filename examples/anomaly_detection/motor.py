"""Vibration of a motor, made here: windows of an accelerometer, healthy and with four defects."""

import numpy as np

WINDOW, RATE = 64, 1600
"""Samples in a window, and in a second."""

DEFECTS = ("bearing", "imbalance", "looseness", "rubbing")

# Readings of the sensor in one g: it has steps, and no more of them than a device would see.
_STEPS = 512
_SEEDS = {"train": 1, "validation": 2, "test": 3}
_COUNTS = {"train": 8000, "validation": 600, "test": 600}


def make(split):
    """Return windows ``(n, 64) float32`` in g, and labels ``(n,) int64``: 1 where a defect is.

    All windows of the train split are healthy: what a defect looks like is not known beforehand.
    """
    generator, n = np.random.default_rng(_SEEDS[split]), _COUNTS[split]
    labels = np.zeros(n, np.int64)
    if split != "train":
        labels[generator.permutation(n)[: n // 3]] = 1
    windows, load = _healthy(generator, n)
    for number, position in enumerate(np.flatnonzero(labels)):
        name = DEFECTS[number % len(DEFECTS)]
        windows[position] += _DEFECT[name](generator, load[position, 0])
    return (np.rint(windows * _STEPS) / _STEPS).astype(np.float32), labels


def _healthy(generator, n):
    """Return windows ``(n, 64)`` of a motor under some load, and the loads ``(n, 1)``."""
    time = np.arange(WINDOW) / RATE
    load = generator.uniform(0.3, 1.0, (n, 1))
    windows = generator.normal(0, 0.05, (n, WINDOW))
    # The shaft turns at 50 Hz; the others are its harmonics and the mesh of the gear.
    for frequency, strength in ((50, 0.8), (100, 0.35), (150, 0.2), (325, 0.3)):
        phase = generator.uniform(0, 2 * np.pi, (n, 1))
        swing = strength * load * generator.uniform(0.8, 1.2, (n, 1))
        windows += swing * np.sin(2 * np.pi * frequency * time + phase)
    return windows, load


def _bearing(generator, load):
    """Return short rings at 600 Hz, one for each time that a ball meets the crack."""
    time = np.arange(WINDOW)
    ring = np.zeros(WINDOW)
    for start in np.arange(generator.integers(0, 16), WINDOW, 18):
        after = np.clip(time - start, 0, None)
        ring += (time >= start) * np.exp(-after / 3) * np.sin(2 * np.pi * 600 * after / RATE)
    return generator.uniform(0.25, 0.8) * load * ring


def _imbalance(generator, load):
    """Return more of the shaft's own turning, at a speed that slips."""
    return _tone(generator, generator.uniform(25, 40), generator.uniform(0.15, 0.5) * load)


def _looseness(generator, load):
    """Return a tone at half of a harmonic, where a healthy motor has none."""
    return _tone(generator, generator.uniform(200, 260), generator.uniform(0.12, 0.45) * load)


def _rubbing(generator, load):
    """Return broad noise."""
    return generator.normal(0, generator.uniform(0.04, 0.15) * (0.5 + load), WINDOW)


def _tone(generator, frequency, strength):
    phase = generator.uniform(0, 2 * np.pi)
    return strength * np.sin(2 * np.pi * frequency * np.arange(WINDOW) / RATE + phase)


_DEFECT = {
    "bearing": _bearing,
    "imbalance": _imbalance,
    "looseness": _looseness,
    "rubbing": _rubbing,
}
