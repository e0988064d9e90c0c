"""Write ``test.npz``: what the network sees of each test sound, ``x``, and its class, ``y``."""

from pathlib import Path

import front_end
import numpy as np
import sounds


def main():
    """Write the file."""
    waves, labels = sounds.make("test")
    path = Path(__file__).parent / "test.npz"
    np.savez_compressed(path, x=front_end.features(waves), y=labels)


if __name__ == "__main__":
    main()
