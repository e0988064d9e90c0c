"""The audio front end: one second of sound to the picture that the network sees.

A device computes it in firmware before the network runs, so it is no part of the ``.tflite`` files;
the files are judged on what it gives. Step by step:

1. frames of 512 samples (64 ms), one every 250 (31 ms): 30 in a second at 8 kHz;
2. a Hann window, and the power spectrum of each frame (FFT);
3. 20 triangular bands that are equally wide on the mel scale, from 100 to 3,800 Hz;
4. the logarithm, and from there whole numbers from 0 to 255: 100 dB of range in one byte.
"""

import numpy as np

RATE = 8000
FRAME, STEP, BANDS = 512, 250, 20
LOWEST, HIGHEST = 100.0, 3800.0
FRAMES = (RATE - FRAME) // STEP + 1


def features(waves):
    """Return ``(n, 30, 20, 1) uint8``, frames by bands, of waves ``(n, 8000)`` within [-1, 1]."""
    frames = np.lib.stride_tricks.sliding_window_view(waves, FRAME, axis=-1)[:, ::STEP]
    spectrum = np.fft.rfft(frames * np.hanning(FRAME), axis=-1)
    power = (spectrum.real**2 + spectrum.imag**2) @ _bank().T
    decibels = 10 * np.log10(power + 1e-6)
    return np.clip(np.rint((decibels + 60) * 2.55), 0, 255).astype(np.uint8)[..., np.newaxis]


def _mel(hertz):
    return 2595 * np.log10(1 + hertz / 700)


def _bank():
    """Return the weight of each frequency in each band, ``(20, 257) float64``."""
    edges = np.linspace(_mel(LOWEST), _mel(HIGHEST), BANDS + 2)[:, np.newaxis]
    mel = _mel(np.fft.rfftfreq(FRAME, 1 / RATE))
    rising = (mel - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - mel) / (edges[2:] - edges[1:-1])
    return np.clip(np.minimum(rising, falling), 0, None)
