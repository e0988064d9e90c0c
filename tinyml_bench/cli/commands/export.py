"""The command ``export``: write a case's model, its arena size and a test vector to files."""

from __future__ import annotations

import difflib
import hashlib
import os
import struct
from argparse import Namespace
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tinyml_bench.cli.commands import firmware
from tinyml_bench.cli.commands.c_source import first_line
from tinyml_bench.cli.commands.firmware import Notes, Vector
from tinyml_bench.errors import ModelFileError, TinymlError, UsageError
from tinyml_bench.judging.policy.project import Project
from tinyml_bench.measuring.devices import micro
from tinyml_bench.records.case import CaseId
from tinyml_bench.suite.options import Options
from tinyml_bench.suite.suite import Suite
from tinyml_bench.system import machine
from tinyml_bench.system.files import write_atomically
from tinyml_bench.system.workers.process import failure
from tinyml_bench.tflite.file import read_model
from tinyml_bench.tflite.model_facts import ModelFile
from tinyml_bench.tflite.runtime import Runtime
from tinyml_bench.workloads.cases import has_file
from tinyml_bench.workloads.datasets import DATASETS
from tinyml_bench.workloads.datasets.split import Array, Inputs

if TYPE_CHECKING:
    from tinyml_bench.measuring.devices.micro import MicroRun
    from tinyml_bench.measuring.workbench import Workbench

# Reference kernels are what the microcontroller runtime's own come from; where they refuse a model
# that the optimized ones take, any expected output is better than none.
_KERNELS = ("reference", "builtin")

_MEASURED_ON = (
    f"with its reference kernels and {8 * struct.calcsize('P')}-bit pointers; a device with "
    f"shorter ones needs less, and kernels of its own, such as CMSIS-NN's, may need scratch memory "
    f"on top"
)


@dataclass(frozen=True, slots=True)
class Order:
    """The options of an export: which case, in which form, and where to.

    Parameters
    ----------
    case : str
    form : {"c-array", "header", "tflite"}
    output : Path or None
        A folder; for a form of one file that file as well. ``None`` is the current folder.
    arena_bytes : int or None
        ``None`` takes what is measured.
    force : bool
        Overwrite what this command did not write.

    Raises
    ------
    UsageError
        The arena has no bytes.
    """

    case: str
    form: str
    output: Path | None = None
    arena_bytes: int | None = None
    force: bool = False

    def __post_init__(self) -> None:
        if self.arena_bytes is not None and self.arena_bytes < 1:
            raise UsageError(f"expected an arena of at least 1 byte, got {self.arena_bytes}")

    @classmethod
    def from_options(cls, options: Namespace) -> Order:
        """Take the options of ``tinyml-bench export``.

        Raises
        ------
        UsageError
            See the class.
        """
        return cls(options.case, options.to, options.output, options.arena, options.force)

    def paths(self) -> dict[str, Path]:
        """Return the path of each file, by the name that its form gives it.

        Raises
        ------
        UsageError
            The form is unknown, or one file is named for two.
        """
        names = firmware.file_names(self.form, self.case)
        folder = self.output or Path()
        if folder.suffix not in {".c", ".cc", ".cpp", ".h", ".tflite"} or folder.is_dir():
            return {name: folder / name for name in names}
        if len(names) > 1 or folder.suffix != Path(names[0]).suffix:
            raise UsageError(
                f"--output {folder}: --to {self.form} writes {' and '.join(names)}; name a folder"
            )
        return {names[0]: folder}


def run(order: Order, project: Project) -> str:
    """Write the files and return a few lines on their content.

    Raises
    ------
    UsageError
        There is no such case, it has no file, or what stands in the way is not to be overwritten.
    DataMissingError, DataCorruptError, CheckpointError
        The case cannot be converted here; the message says what would enable it.
    ModelFileError
        It cannot be converted, or no kernels run it.
    """
    suite = Suite(project, Options(profile="full"))
    try:
        case = _case(order.case, suite)
        paths = order.paths()
        _check_places(order, paths)
        suite.fetch_data([case])
        return _export(order, case, paths, suite.workbench)
    finally:
        suite.close()


def _case(name: str, suite: Suite) -> CaseId:
    by_id = {str(case): case for case in suite.cases()}
    if name not in by_id:
        near = difflib.get_close_matches(name, by_id, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else "; expected <dataset>-<model>-<variant>."
        raise UsageError(f"unknown case {name!r}{hint} `tinyml-bench list` shows what there is")
    case = by_id[name]
    if not has_file(case):
        alternatives = [
            text
            for text, other in by_id.items()
            if other.workload == case.workload and other != case
        ]
        raise UsageError(
            f"{case} is the Keras model itself, which no .tflite file is of; "
            f"export one of: {', '.join(alternatives) or 'none is registered'}"
        )
    return case


def _export(order: Order, case: CaseId, paths: Mapping[str, Path], workbench: Workbench) -> str:
    content = _content(case, workbench)
    measured, reason = _run_on_micro(content, workbench.first_sample(case), workbench)
    version = measured.micro.version if measured else ""
    vector: Vector | None = None
    lines: tuple[str, ...] = ()
    if order.form != "tflite":
        outputs = measured.outputs if measured else None
        vector, expected = firmware.given_by_micro(
            _vector(case, content, workbench), outputs, version
        )
        lines = _on_the_vector(case, vector, expected, workbench)
    toolchain = dict(machine.toolchain()) | ({"tflite-micro": version} if version else {})
    notes = Notes(*_arena(order, measured, reason), lines, toolchain)
    files = firmware.export(content, order.form, order.case, vector, notes)
    written = [_write(paths[name], text, order) for name, text in files.items()]
    return "\n".join([*written, *_summary(content, notes)])


# -- what goes in ---------------------------------------------------------------------------------


def _content(case: CaseId, workbench: Workbench) -> bytes:
    try:
        return workbench.model_file(case).path.read_bytes()
    except TinymlError:
        raise
    except Exception as error:
        raise ModelFileError(f"{case} cannot be converted: {failure(error)[0]}") from error


def _run_on_micro(
    content: bytes, image: Inputs, workbench: Workbench
) -> tuple[MicroRun | None, str]:
    """Run the model in the microcontroller runtime; return the result, and why it did not run."""
    if absent := micro.missing_extra():
        return None, absent
    if isinstance(image, tuple):
        return None, f"it is run with one input only, and the model has {len(image)}"
    try:
        micro_run = workbench.executor.submit(micro.run, content, image[None]).result()
    except Exception as error:  # noqa: BLE001 - it dies in native code: that is said in the files
        return None, f"it failed ({failure(error)[0]})"
    return micro_run, micro_run.micro.problem


def _image(case: CaseId, workbench: Workbench) -> Array:
    sample = workbench.first_sample(case)
    if isinstance(sample, tuple):
        raise UsageError(
            f"{case} has {len(sample)} inputs, and a test vector has one; "
            f"`tinyml-bench export {case} --to tflite` writes the file alone"
        )
    return sample


def _vector(case: CaseId, content: bytes, workbench: Workbench) -> Vector:
    image = _image(case, workbench)
    failures = []
    for kernels in _KERNELS:
        runtime = Runtime(kernels=kernels)
        call = workbench.executor.submit(firmware.vector_of, content, image, runtime)
        try:
            return call.result()
        except Exception as error:  # noqa: BLE001 - kernels die in more ways than they say
            failures.append(f"{kernels}: {failure(error)[0]}")
    raise ModelFileError(f"no kernels give {case} an expected output: {'; '.join(failures)}")


def _arena(order: Order, measured: MicroRun | None, reason: str) -> tuple[int | None, str]:
    """Return the arena size in bytes, and a clause on where it comes from."""
    needed = None if measured is None or measured.arena is None else measured.arena.total_bytes
    requested = order.arena_bytes
    if measured is None or needed is None:
        why = f"it could not be measured: {reason.rstrip('.') or 'the runtime does not tell'}"
        return requested, why if requested is None else f"as asked for; {why}"
    how = f"measured by tflite-micro {measured.micro.version} {_MEASURED_ON}"
    if requested is None:
        return needed, how
    short = "TOO SMALL, " if requested < needed else ""
    return requested, f"{short}as asked for; {needed:,} bytes were {how}"


def _on_the_vector(
    case: CaseId, vector: Vector, expected: str, workbench: Workbench
) -> tuple[str, ...]:
    classes = DATASETS[case.dataset].class_names
    lines = [f"Test vector: test image, and its true class: {workbench.image_name(case, 0)}."]
    if len(classes) == vector.given.size:
        lines.append(f"Expected class: {classes[int(vector.given.argmax())]}.")
        numbered = (f"{number} {name}" for number, name in enumerate(classes))
        lines.append(f"Classes: {', '.join(numbered)}.")
    return (*lines, f"Expected output: {expected.rstrip('.')}.")


# -- where it goes --------------------------------------------------------------------------------


def _check_places(order: Order, paths: Mapping[str, Path]) -> None:
    """Refuse before minutes are spent on a conversion; `_write` has the last word."""
    for path in paths.values():
        folder = next(parent for parent in path.absolute().parents if parent.exists())
        if not (folder.is_dir() and os.access(folder, os.W_OK)):
            raise UsageError(f"{folder} is no folder that can be written; name one with --output")
        # Whether a .tflite file is the same is known only once it is made again.
        if order.form != "tflite":
            _check_overwriting(path, None, order)


def _check_overwriting(path: Path, content: bytes | None, order: Order) -> None:
    """Refuse to overwrite a file, unless it is the same or its first line shows it is ours."""
    if order.force or not path.exists():
        return
    existing = _read(path)
    own_line = first_line(order.case).encode()
    if existing == content or existing.startswith(own_line):
        return
    raise UsageError(
        f"{path} is there, and was not written by `tinyml-bench export {order.case}`; "
        f"overwrite it with --force, or name another place with --output"
    )


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise _unwritable(path, error) from error


def _unwritable(path: Path, error: OSError) -> UsageError:
    return UsageError(
        f"{path} cannot be written ({error.strerror or error}); name another place with --output"
    )


def _write(path: Path, text: str | bytes, order: Order) -> str:
    content = text.encode("ascii") if isinstance(text, str) else text
    _check_overwriting(path, content, order)
    try:
        write_atomically(path, content)
    except OSError as error:
        raise _unwritable(path, error) from error
    return f"wrote {path} ({len(content):,} bytes)"


# -- what is told ---------------------------------------------------------------------------------


def _summary(content: bytes, notes: Notes) -> list[str]:
    model = read_model(content)
    ends = (model.inputs[0], model.outputs[0])
    shapes = " -> ".join(f"{end.dtype} {'x'.join(map(str, end.shape))}" for end in ends)
    digest = hashlib.sha256(content).hexdigest()[:12]
    size = notes.arena_bytes
    constant = "no constant in the files" if size is None else f"{size:,} bytes of RAM"
    assumed = (
        "Assumed: the model stays in flash; it and the arena are aligned to 16 bytes; the input is "
        "raw pixels; the runtime's code, the stack and other buffers come on top."
    )
    return [
        f"Model: {len(content):,} bytes of flash, {shapes}, sha256 {digest}...",
        f"Arena: {constant}, {notes.arena}.",
        _operators(model),
        *(notes.lines[:1] + notes.lines[-1:]),
        assumed,
    ]


def _operators(model: ModelFile) -> str:
    adders = firmware.adders(model)
    unknown = [operator for operator, adder in adders.items() if not adder]
    sentence = f"Operators: {', '.join(adders)}."
    if unknown:
        sentence += f" MicroMutableOpResolver lacks {', '.join(unknown)}: add these yourself."
    return sentence
