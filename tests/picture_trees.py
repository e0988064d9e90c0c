"""Small folders and archives of pictures, for tests."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
from PIL import Image


def make_pixels(grey: int, height: int = 6, width: int = 8) -> np.ndarray:
    """Make a picture of one grey, ``(height, width, 3) uint8``."""
    return np.full((height, width, 3), grey, np.uint8)


def make_jpeg(pixels: np.ndarray) -> bytes:
    """Encode ``(height, width, 3) uint8`` so that one grey stays that grey."""
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "JPEG", quality=95, subsampling=0)
    return stream.getvalue()


def make_files(names: Iterable[str]) -> dict[str, bytes]:
    """Make one picture for each name; the n-th is of the grey n."""
    return {name: make_jpeg(make_pixels(grey)) for grey, name in enumerate(names)}


def write_folder(folder: Path, files: Mapping[str, bytes]) -> Path:
    """Write files below `folder` by their paths inside."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder


def write_zip(path: Path, files: Mapping[str, bytes]) -> Path:
    """Write files into a zip archive by their paths inside."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path
