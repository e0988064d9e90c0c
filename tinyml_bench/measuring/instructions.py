"""Instructions of one inference, counted exactly by valgrind's callgrind."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from tinyml_bench.errors import ModelFileError, UsageError
from tinyml_bench.tflite.file import read_model
from tinyml_bench.tflite.runtime import KERNELS, Runtime

# Inferences of the two runs whose difference is taken.
_SHORT, _LONG = 2, 6
_TIME_LIMIT_SECONDS: Final = 600
_NO_INTERPRETER: Final = 3
_TOTAL: Final = re.compile(r"^(?:summary|totals):\s*(\d+)", re.MULTILINE)

DEFAULT_LIMIT: Final = 0.005

# Runs alone in its process, so that nothing else is counted: no package of ours, no TensorFlow.
_PROGRAM: Final = f"""
import sys
try:
    from ai_edge_litert import interpreter as litert
except ImportError:
    sys.exit({_NO_INTERPRETER})
path, kernels, inferences = sys.argv[1], sys.argv[2], int(sys.argv[3])
resolver = getattr(litert.OpResolverType, kernels)
model = litert.Interpreter(path, num_threads=1, experimental_op_resolver_type=resolver)
model.allocate_tensors()
for _ in range(inferences):
    model.invoke()
"""


@dataclass(frozen=True, slots=True)
class InstructionChange:
    """How many instructions two models need.

    Parameters
    ----------
    old, new : int
        Of one inference.
    limit : float
        The largest share of more instructions that is no slowdown: 0.005 is 0.5 %.
    """

    old: int
    new: int
    limit: float = DEFAULT_LIMIT

    @property
    def change(self) -> float:
        """Instructions that came on top, as a share of the old ones; negative where some went."""
        return self.new / self.old - 1

    @property
    def is_slower(self) -> bool:
        """Whether the new model needs more instructions than the limit allows."""
        return self.change > self.limit

    def sentence(self) -> str:
        """Say it in one line, for people."""
        what = "no difference"
        if abs(self.change) > self.limit:
            what = "more instructions" if self.is_slower else "fewer instructions"
        return (
            f"{what}: {self.old:,} -> {self.new:,} an inference ({100 * self.change:+.2f} %); "
            f"limit {100 * self.limit:g} %"
        )

    def as_json(self) -> str:
        """Return all fields and the change as JSON, for programs."""
        return json.dumps({**asdict(self), "change": self.change}, indent=1)


def compare_instructions(
    old: Path, new: Path, limit: float = DEFAULT_LIMIT, kernels: str = "xnnpack"
) -> InstructionChange:
    """Count the instructions of two ``.tflite`` files; `limit` is a share.

    Raises
    ------
    UsageError, ModelFileError
        As `instructions_per_inference`.
    """
    runtime = Runtime("litert", kernels)
    counts = [instructions_per_inference(path, runtime) for path in (old, new)]
    return InstructionChange(counts[0], counts[1], limit)


def instructions_per_inference(
    path: str | os.PathLike[str], runtime: Runtime | None = None, python: str = sys.executable
) -> int:
    """Count the instructions that one more inference of a ``.tflite`` file executes.

    Parameters
    ----------
    path : path-like
    runtime : Runtime, optional
        Its kernels are used; it must be ``litert`` with one thread, which ``None`` is.
    python : str
        The interpreter that has ``ai-edge-litert``.

    Returns
    -------
    int
        Instructions, input and output of the Python call included. The same for the same file,
        machine and versions, run after run.

    Raises
    ------
    UsageError
        valgrind or ai-edge-litert is not installed, or the runtime is another.
    ModelFileError
        The file is not one, or could not be run under valgrind.

    Notes
    -----
    Two runs, with 2 and with 6 inferences, in processes that hold nothing but ai-edge-litert; a
    quarter of the difference, so that starting and loading cancel. The input is all zeros.

    Instructions are not time: a cache miss, a wider vector unit or a faster clock do not show, and
    a kernel with fewer instructions can be the slower one. valgrind knows no AVX-512, so where the
    processor has it the kernels for AVX2 are counted, which are not those that run otherwise.
    Counts of two machines may be compared where `emulated` names the same processor for both.

    References
    ----------
    Weidendorfer, Kowarschik and Trinitis, "A tool suite for simulation based analysis of memory
    access behavior", 2004 (callgrind).
    """
    runtime = runtime or Runtime("litert")
    if runtime.name != "litert" or runtime.threads != 1:
        raise UsageError(f"instructions are counted with litert and 1 thread, not with {runtime}")
    if shutil.which("valgrind") is None:
        raise UsageError(
            "counting instructions needs valgrind, which is not installed: apt-get install valgrind"
        )
    read_model(path)  # what is no model is said in our words, not in valgrind's
    with ThreadPoolExecutor(2) as both:
        counts = both.map(
            lambda inferences: _count(Path(path), runtime.kernels, inferences, python),
            (_SHORT, _LONG),
        )
        short, long = counts
    return round((long - short) / (_LONG - _SHORT))


def _count(path: Path, kernels: str, inferences: int, python: str) -> int:
    """Return the instructions of a whole process that runs so many inferences."""
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder, "callgrind.out")
        command = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={output}", python]
        command += ["-c", _PROGRAM, str(path.resolve()), KERNELS[kernels], str(inferences)]
        try:
            done = subprocess.run(
                command,
                # The length of the environment moves the stack; what is not needed is left out.
                env={"OPENBLAS_NUM_THREADS": "1", "PYTHONHASHSEED": "0", "PATH": os.defpath},
                # A random name would end up in Python's dictionaries, and be looked up there.
                cwd="/",
                capture_output=True,
                text=True,
                errors="replace",
                timeout=_TIME_LIMIT_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise ModelFileError(
                f"{path}: {inferences} inferences took more than {_TIME_LIMIT_SECONDS} s under "
                f"valgrind; time it instead: tinyml-bench ab"
            ) from error
        if done.returncode == _NO_INTERPRETER:
            raise UsageError(
                "counting instructions needs a package that is not installed: "
                "python -m pip install ai-edge-litert"
            )
        found = _TOTAL.findall(output.read_text()) if output.exists() else []
    if done.returncode or not found:
        said = [line for line in done.stderr.splitlines() if line and not line.startswith("==")]
        raise ModelFileError(
            f"{path} cannot be run under valgrind: {(said or ['it gave no reason'])[-1]}"
        )
    return int(found[-1])
