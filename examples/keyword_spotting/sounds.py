"""Sounds of one second, made here: four "keywords" of tones and chirps, and plain noise."""

import numpy as np

CLASSES = ("rising", "falling", "trill", "beeps", "noise")
RATE = 8000
"""Samples per second."""

_SEEDS = {"train": 1, "validation": 2, "test": 3}
_COUNTS = {"train": 4000, "validation": 600, "test": 300}


def make(split):
    """Return the waves ``(n, 8000) float64``, within [-1, 1], and the classes ``(n,) int64``."""
    generator, n = np.random.default_rng(_SEEDS[split]), _COUNTS[split]
    labels = generator.integers(0, len(CLASSES), n)
    return np.stack([_sound(CLASSES[label], generator) for label in labels]), labels


def _sound(name, generator):
    """Return one sound: a keyword somewhere in the second, in noise as loud as it or less."""
    wave = generator.normal(0, 1, RATE) * generator.uniform(0.02, 0.25)
    if name != "noise":
        length = int(generator.integers(3000, 5000))
        start = int(generator.integers(0, RATE - length))
        fade = np.sin(np.pi * np.arange(length) / length) ** 0.5
        phase = 2 * np.pi * np.cumsum(_pitch(name, length, generator)) / RATE
        wave[start : start + length] += generator.uniform(0.06, 0.3) * fade * _voice(phase, name)
    return np.clip(wave, -1, 1)


def _pitch(name, length, generator):
    """Return the pitch in Hz at each of `length` samples."""
    time, base = np.arange(length) / length, generator.uniform(350, 700)
    rise = generator.uniform(1.4, 2.2)
    return {
        "rising": base * rise**time,
        "falling": base * rise ** (1 - time),
        "trill": base * (1 + 0.12 * np.sign(np.sin(2 * np.pi * generator.uniform(5, 8) * time))),
        "beeps": np.full(length, base * rise**0.5),
    }[name]


def _voice(phase, name):
    """Return the tone with two overtones; beeps are cut into three."""
    tone = np.sin(phase) + 0.5 * np.sin(2 * phase) + 0.25 * np.sin(3 * phase)
    if name == "beeps":
        tone *= np.sin(5 * np.pi * np.arange(phase.size) / phase.size) > 0
    return tone
