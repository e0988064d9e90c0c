"""The command ``init``: write a repository's first registration, tests and settings."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tinyml_bench.cli.commands.project_scan import ModelAndSamples, find_model_and_samples
from tinyml_bench.errors import UsageError
from tinyml_bench.judging.policy.settings import Settings
from tinyml_bench.system.files import write_atomically

_EXAMPLE = '''\
"""What is gated here: a small network that tells drawings apart. Put your own in its place."""

import numpy as np

import tinyml_bench


def drawings(seed, count):
    """Make noisy images of a horizontal, a vertical and a diagonal line, and their classes."""
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, 3, count)
    images = generator.integers(0, 120, (count, 12, 12, 1), dtype=np.uint8)
    for image, label, place in zip(images, labels, generator.integers(2, 10, count)):
        steps = np.arange(12)
        rows = (np.full(12, place), steps, steps)[label]
        columns = (steps, np.full(12, place), steps)[label]
        image[rows, columns] = 255 - image[rows, columns] // 2
    return images, labels


def network():
    """Train the network, in seconds."""
    import tf_keras

    tf_keras.utils.set_random_seed(1)
    layers = tf_keras.layers
    model = tf_keras.Sequential([
        layers.Input((12, 12, 1)),
        layers.Rescaling(1 / 255),
        layers.Conv2D(8, 3, activation="relu"),
        layers.MaxPool2D(),
        layers.Flatten(),
        layers.Dense(3, activation="softmax"),
    ])
    model.compile(tf_keras.optimizers.Adam(0.01), "sparse_categorical_crossentropy")
    model.fit(*drawings(1, 600), epochs=6, verbose=0)
    return model


tinyml_bench.register(
    "drawings-net",
    model=network,
    test=drawings(2, 400),
    train=drawings(3, 200),
    class_names=("horizontal", "vertical", "diagonal"),
    variants=("tf", "float32", "int8"),
)
'''

_TESTS = '''\
"""The gates: every check of tinyml-bench, of every registered case."""

from tinyml_bench.checks import *  # noqa: F403
'''

_PYTEST = '[tool.pytest.ini_options]\nminversion = "8"\n'
_IGNORED = ".tinyml_bench/"


@dataclass
class Done:
    """The files written, and advice on what to do next.

    Parameters
    ----------
    written : list of str
    advice : list of str
    tests : Path or None
        The file with the tests.
    """

    written: list[str] = field(default_factory=list)
    advice: list[str] = field(default_factory=list)
    tests: Path | None = None


def begin(folder: Path, model: str | None, samples: str | None) -> Done:
    """Write the first files into `folder`; existing files are kept or added to.

    Parameters
    ----------
    folder : Path
    model, samples : str or None
        Files to register; ``None`` looks for them, and makes an example where there is no model.

    Raises
    ------
    UsageError
        A model is there and no samples, several are, or there is none and no TensorFlow to make the
        example with.
    """
    scanned = find_model_and_samples(folder, model, samples)
    if scanned.model is None and not _has_tensorflow():
        raise UsageError(
            "there is no model here, and no TensorFlow to make an example with; name one with "
            "--model FILE (.keras, .h5, .tflite or a SavedModel), or: "
            "pip install 'tinyml-bench[tf]'"
        )
    text = _EXAMPLE if scanned.model is None else _registration(scanned)
    return _Writer(folder).write(text)


def store_baselines(folder: Path, tests: Path | None) -> int:
    """Measure the registered models and store their first baselines; return the exit status."""
    command = [sys.executable, "-m", "pytest", "-q", str(tests or folder), "--baseline-update-new"]
    return subprocess.run(command, cwd=folder, check=False).returncode


class _Writer:
    """Writes missing files and adds to existing ones."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.done = Done()

    def write(self, registration: str) -> Done:
        settings = self._settings()
        registering = self._registering(settings)
        self._new(registering, registration)
        self._tests(settings)
        self._project(settings, registering.name)
        self._ignore()
        return self.done

    def _settings(self) -> Settings | None:
        path = self.folder / "pyproject.toml"
        return Settings.read(path) if path.is_file() else None

    def _registering(self, settings: Settings | None) -> Path:
        if settings is not None and settings.table:
            raise UsageError(
                f"{settings.source} has [tool.tinyml_bench] already: register your model in "
                f"conftest.py, or in a module that its 'workloads' names"
            )
        names = ("conftest.py", "gated_models.py")
        free = [name for name in names if not (self.folder / name).exists()]
        if not free:
            raise UsageError(f"{' and '.join(names)} are there already; register your model there")
        return self.folder / free[0]

    def _new(self, path: Path, text: str) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, text.encode("utf-8"))
        self.done.written.append(str(path.relative_to(self.folder)))

    def _added(self, path: Path, text: str) -> None:
        """Append to a file, whose last line may lack its end."""
        content = path.read_text(encoding="utf-8") if path.exists() else ""
        gap = "" if not content else "\n" if content.endswith("\n") else "\n\n"
        write_atomically(path, f"{content}{gap}{text}".encode())
        name = str(path.relative_to(self.folder))
        self.done.written.append(f"{name} (added to)" if content else name)

    def _tests(self, settings: Settings | None) -> None:
        folders = settings.testpaths() if settings is not None else []
        path = self.folder.joinpath(*folders[:1], "test_gates.py")
        if path.exists():
            self.done.advice.append(f"{path} is there: from tinyml_bench.checks import *")
        else:
            self._new(path, _TESTS)
        self.done.tests = path

    def _project(self, settings: Settings | None, registering: str) -> None:
        table = f'[tool.tinyml_bench]\nworkloads = ["{registering}"]\nbaselines = "baselines"\n'
        # Without a section of its own pytest may take a folder further up for the root.
        tables = table if settings is not None else f"{_PYTEST}\n{table}"
        self._added(self.folder / "pyproject.toml", tables)

    def _ignore(self) -> None:
        path = self.folder / ".gitignore"
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        if _IGNORED not in lines:
            text = "\n".join([*lines, _IGNORED, ""])
            self._new(path, text)


def _registration(scanned: ModelAndSamples) -> str:
    arguments = [
        f'"{scanned.name}"',
        f"model={scanned.model_text()}",
        f"test={_quoted(scanned.test)}",
    ]
    if scanned.train is not None:
        arguments.append(f"train={_quoted(scanned.train)}")
    if scanned.metrics != ("accuracy",):
        arguments.append(f"metrics={_quoted_tuple(scanned.metrics)}")
    lines = "".join(f"    {argument},\n" for argument in arguments)
    return f'"""What is gated here."""\n\nimport tinyml_bench\n\ntinyml_bench.register(\n{lines})\n'


def _quoted(text: object) -> str:
    return '"' + str(text).replace("\\", "\\\\").replace('"', '\\"') + '"'


def _quoted_tuple(names: Sequence[str]) -> str:
    return f"({''.join(_quoted(name) + ', ' for name in names).strip()})"


def _has_tensorflow() -> bool:
    return all(importlib.util.find_spec(name) for name in ("tensorflow", "tf_keras"))
