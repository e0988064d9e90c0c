"""What Vela says of a model on an Arm Ethos-U: cycles, memory, and what stays on the CPU.

Every figure is an estimate of Arm's compiler for a stated system, not a measurement: SRAM and flash
as in the settings below, at Vela's own default strategy, which spends SRAM to be fast. Cycles are
of what runs on the NPU; operators that stay on the CPU are named and not counted.
"""

from __future__ import annotations

import csv
import re
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

from tinyml_bench.errors import ModelFileError, UsageError
from tinyml_bench.measuring.devices.target import Answers, Job, Outcome, Sample, Target
from tinyml_bench.records.devices.npu import Npu
from tinyml_bench.records.structure import Structure
from tinyml_bench.system.machine import version_of
from tinyml_bench.system.registry import unknown_name
from tinyml_bench.tflite.file import read_model
from tinyml_bench.tflite.model_facts import ModelFile, OperatorFact

NPU_PACKAGE: Final = Npu.package
OLDEST_VERSION: Final = 4
"""The first major version that has all accelerators and system configurations used here."""

ACCELERATORS: Final[tuple[str, ...]] = (
    "ethos-u55-32",
    "ethos-u55-64",
    "ethos-u55-128",
    "ethos-u55-256",
    "ethos-u65-256",
    "ethos-u65-512",
    "ethos-u85-128",
    "ethos-u85-256",
    "ethos-u85-512",
    "ethos-u85-1024",
    "ethos-u85-2048",
)
DEFAULT: Final = "ethos-u55-128"

_INSTALL: Final = "pip install 'tinyml-bench[npu]'"
_LIMIT_SECONDS: Final = 300.0
_LONGEST_LINE: Final = 300
_MODEL: Final = "model"
_ON_NPU: Final = "custom ethos-u"
_OPERATORS: Final = re.compile(r"^(?:CPU|NPU) operators = (\d+)", re.MULTILINE)


class _Setting(NamedTuple):
    system: str
    memory: str
    words: str


# Each family in a microcontroller: weights in flash, all else in SRAM that the CPU shares.
_SHARED: Final = "Shared_Sram"
_SETTINGS: Final = {
    "ethos-u55": _Setting(
        "Ethos_U55_High_End_Embedded", _SHARED, "500 MHz, SRAM 4 GB/s, flash 0.5 GB/s"
    ),
    "ethos-u65": _Setting("Ethos_U65_Embedded", _SHARED, "500 MHz, SRAM 8 GB/s, flash 0.5 GB/s"),
    "ethos-u85": _Setting(
        "Ethos_U85_SYS_Flash_High", _SHARED, "500 MHz, SRAM 16 GB/s, flash 0.5 GB/s"
    ),
}


@dataclass(frozen=True, slots=True)
class Estimate:
    """What Vela estimates for one model on one accelerator.

    Parameters
    ----------
    npu : Npu
    cycles : int or None
        Of one inference, of what runs on the NPU; ``None`` where `npu` has a problem.
    sram_bytes : int or None
        Peak of the tensor arena, inputs and outputs included.
    flash_bytes : int or None
        Weights and other constants as compiled.
    is_final : bool
        Whether another try would come to the same: Vela has not failed, by itself or for want of
        time or memory.
    """

    npu: Npu
    cycles: int | None = None
    sram_bytes: int | None = None
    flash_bytes: int | None = None
    is_final: bool = True


def missing_extra() -> str:
    """Say in one sentence that Vela is not installed, or too old; empty where it can be used."""
    installed = version()
    if not installed:
        return f"the package {NPU_PACKAGE} is not installed: {_INSTALL}"
    major = installed.partition(".")[0]
    if major.isdecimal() and int(major) < OLDEST_VERSION:
        return (
            f"{NPU_PACKAGE} {installed} is installed, expected {OLDEST_VERSION}.0 or later: "
            f"{_INSTALL}"
        )
    return ""


def version() -> str:
    """Return the version of Vela that is installed; empty where none is."""
    return version_of(NPU_PACKAGE) or ""


def check(accelerator: str) -> None:
    """Refuse what Vela does not know.

    Raises
    ------
    UsageError
        The message names the nearest accelerator.
    """
    _setting(accelerator)


def assumptions(accelerator: str = DEFAULT) -> str:
    """Say for which system the estimates are.

    Examples
    --------
    >>> print(assumptions())
    Ethos-U figures are Vela's estimates for ethos-u55-128 in Ethos_U55_High_End_Embedded with \
Shared_Sram (500 MHz, SRAM 4 GB/s, flash 0.5 GB/s)
    """
    setting = _setting(accelerator)
    return (
        f"Ethos-U figures are Vela's estimates for {accelerator} in {setting.system} with "
        f"{setting.memory} ({setting.words})"
    )


def estimate(
    content: bytes, accelerator: str = DEFAULT, limit_seconds: float = _LIMIT_SECONDS
) -> Estimate:
    """Compile a ``.tflite`` file for an Ethos-U with Vela and read off what it estimates.

    Whatever is wrong with the model, or goes wrong in Vela, is the ``problem`` of the record.

    Parameters
    ----------
    content : bytes
        Of the file.
    accelerator : str
        One of :data:`ACCELERATORS`.
    limit_seconds : float
        Vela is ended after that long.

    Raises
    ------
    UsageError
        The accelerator is unknown (the message names the nearest), or :func:`missing_extra`.
    """
    _setting(accelerator)
    if lack := missing_extra():
        raise UsageError(lack)
    try:
        return _compiled(content, accelerator, limit_seconds)
    except (_VelaError, ModelFileError) as error:
        npu = Npu(accelerator, problem=_line(str(error)), version=version())
        return Estimate(npu, is_final=isinstance(error, ModelFileError))


class _VelaError(Exception):
    """Vela gave no estimate; the text is the problem, in one line."""


def _setting(accelerator: str) -> _Setting:
    if accelerator not in ACCELERATORS:
        raise UsageError(unknown_name("accelerator", accelerator, list(ACCELERATORS)))
    return _SETTINGS[accelerator.rpartition("-")[0]]


def _compiled(content: bytes, accelerator: str, limit_seconds: float) -> Estimate:
    model, setting = read_model(content), _setting(accelerator)
    with tempfile.TemporaryDirectory(prefix="tinyml-bench-vela-") as name:
        folder = Path(name)
        (folder / f"{_MODEL}.tflite").write_bytes(content)
        told = _run(_command(accelerator, setting), folder, limit_seconds)
        summary = _summary(folder / f"{_MODEL}_summary_{setting.system}.csv")
        compiled = read_model(folder / f"{_MODEL}_vela.tflite")
    left = [one for one in compiled.main.operators if one.name != _ON_NPU]
    npu = Npu(
        accelerator,
        on_cpu=tuple(_named(one, compiled) for one in left),
        operators=sum(map(int, _OPERATORS.findall(told))),
        clock_hz=summary.clock_hz,
        version=version(),
    )
    if len(left) == len(compiled.main.operators):
        problem = f"no operator runs on the NPU: {_why_none(model)}"
        return Estimate(Npu(accelerator, problem, (), npu.operators, npu.clock_hz, version()))
    return Estimate(npu, summary.cycles, summary.sram_bytes, summary.flash_bytes)


def _command(accelerator: str, setting: _Setting) -> list[str]:
    # All is named, as Vela's defaults change with its version and the family.
    return [
        *(sys.executable, "-W", "ignore", "-m", "ethosu.vela", f"{_MODEL}.tflite"),
        *("--accelerator-config", accelerator, "--config", "Arm/vela.ini"),
        *("--system-config", setting.system, "--memory-mode", setting.memory),
        *("--optimise", "Performance", "--output-dir", "."),
    ]


def _run(command: list[str], folder: Path, limit_seconds: float) -> str:
    """Return what Vela writes to its output and error streams, neither of which is ours."""
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=limit_seconds,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise _VelaError(f"Vela gave no answer within {limit_seconds:g} s") from None
    except OSError as error:
        raise _VelaError(f"Vela cannot be started: {error}") from error
    told = done.stdout.decode("utf-8", "replace")
    if done.returncode:
        last = next((line for line in reversed(told.splitlines()) if line.strip()), "no word")
        raise _VelaError(f"Vela {_end(done.returncode)}: {last.strip()}")
    return told


def _end(status: int) -> str:
    if status > 0:
        return "cannot compile the model"
    try:
        name = signal.Signals(-status).name
    except ValueError:
        name = f"signal {-status}"
    return f"was killed by {name}"


class _Summary(NamedTuple):
    cycles: int
    sram_bytes: int
    flash_bytes: int
    clock_hz: float


def _summary(path: Path) -> _Summary:
    """Read Vela's summary, whose sizes are exact where those it prints are rounded."""
    try:
        with path.open(newline="", encoding="utf-8") as file:
            row = list(csv.DictReader(file))[-1]
        return _Summary(
            cycles=round(float(row["cycles_total"])),
            sram_bytes=round(float(row["sram_memory_used"]) * 1024),
            flash_bytes=round(float(row["off_chip_flash_memory_used"]) * 1024),
            clock_hz=float(row["core_clock"]),
        )
    except OSError as error:
        raise _VelaError(f"Vela wrote no summary: {error.strerror or error}") from error
    except (IndexError, KeyError, TypeError, ValueError) as error:
        raise _VelaError(f"Vela's summary is not as expected: {error!r}") from error


def _named(operator: OperatorFact, model: ModelFile) -> str:
    outputs = model.main.pick(operator.outputs)
    # The converter joins the names of what it fuses; the first says enough.
    return f"{operator.name} ({outputs[0].name.partition(';')[0] if outputs else 'no output'})"


def _why_none(model: ModelFile) -> str:
    """Say why no operator of the file as it was given can run on an NPU."""
    main = model.main
    computed = [tensor for one in main.operators for tensor in main.pick(one.outputs)]
    kinds = sorted({tensor.dtype for tensor in computed if tensor.is_float})
    if kinds and all(tensor.is_float for tensor in computed):
        return f"the model computes in {' and '.join(kinds)}; give an integer variant such as int8"
    names = ", ".join(sorted({operator.name for operator in main.operators})) or "no operator"
    return f"Vela takes none of its operators as they are ({names})"


def _line(text: str) -> str:
    """Return `text` as one line that is not too long for a table's note."""
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST_LINE else f"{line[: _LONGEST_LINE - 3]}..."


# -- as a target ----------------------------------------------------------------------------------


def is_integer(structure: Structure) -> bool:
    """Whether most of a network computes in integers, so that an integer NPU may run it."""
    macs = structure.macs
    return 2 * (macs.get("int8", 0) + macs.get("int16x8", 0)) > sum(macs.values())


class _NpuTarget:
    """Its setting is the accelerator."""

    def missing_extra(self) -> str:
        return missing_extra()

    def setting(self, asked: str) -> str:
        accelerator = asked or DEFAULT
        check(accelerator)
        return accelerator

    def stamp(self, setting: str | None) -> str:
        return "" if setting is None else f"{setting} {version()}"

    def jobs(self, sample: Sample) -> dict[str, Job]:
        takes = is_integer(sample.structure)
        return {"npu": (estimate, (sample.content, sample.setting))} if takes else {}

    def outcome(self, sample: Sample, answers: Answers) -> Outcome:
        if "npu" in answers.failures:
            problem = answers.failures["npu"]
            return Outcome(Npu(sample.setting, problem, version=version()))
        estimated: Estimate = answers.values["npu"]
        figures = (estimated.cycles, estimated.sram_bytes, estimated.flash_bytes)
        named = zip(Npu.facts, figures, strict=True)
        facts = {name: figure for name, figure in named if figure is not None}
        return Outcome(estimated.npu, facts, estimated.is_final)


TARGET: Final[Target] = _NpuTarget()
