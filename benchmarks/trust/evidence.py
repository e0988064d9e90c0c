"""What was measured, kept in ``docs/trust.json``: sections, and where each is from."""

from __future__ import annotations

import datetime
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tinyml_bench.system import machine
from tinyml_bench.system.cache_key import key
from trust.running import ROOT

PAGE, KEPT = ROOT / "docs" / "trust.md", ROOT / "docs" / "trust.json"

# Patterns of the modules that decide a section's figures; a change of one makes the figures those
# of another program. Their text decides, not their time stamps.
_GATES = ("judging/*.py", "judging/devices/*.py", "metrics/*.py", "records/predictions.py")
_TIMING = (
    "comparing/models.py", "measuring/latency.py", "metrics/bootstrap.py", "suite/timing.py",
)  # fmt: skip
SOURCES = {
    "catalogue": (
        *_GATES, *_TIMING, "measuring/*.py", "records/weight_pattern.py",
        "system/workers/process.py", "tflite/structure.py", "tflite/weight_patterns.py",
        "training/*.py", "workloads/datasets/calibration.py", "workloads/variants/*.py",
    ),
    "null": (
        *_GATES, "measuring/latency.py", "measuring/workbench.py", "suite/suite.py",
        "suite/timing.py",
    ),
    "accuracy_power": _GATES,
    "ab_power": _TIMING,
    "instructions": ("measuring/instructions.py",),
    "judging": _GATES,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Section:
    """One kind of figures.

    Parameters
    ----------
    found : object
        Of plain JSON types.
    date, cpu, cores, toolchain : str
        When and where it was measured.
    inputs : str
        Hash of the package's version and of the modules that decide it.
    """

    found: Any
    date: str
    cpu: str
    cores: int
    toolchain: str
    inputs: str

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return {name: getattr(self, name) for name in self.__slots__}


def measured_now(name: str, found: Any) -> Section:
    """Say when and where `found` was measured: here and now."""
    chain = machine.toolchain()
    told = ", ".join(
        f"{package} {chain[package]}" for package in ("python", "tensorflow") if package in chain
    )
    date = datetime.datetime.now(datetime.timezone.utc).date().isoformat()
    return Section(found, date, machine.cpu(), machine.cores(), told, inputs(name))


def inputs(name: str) -> str:
    """Return the hash of what decides the figures of a section."""
    package = ROOT / "tinyml_bench"
    texts = {
        str(path.relative_to(package)): hashlib.sha256(path.read_bytes()).hexdigest()
        for pattern in SOURCES.get(name, ())
        for path in _matching(package, pattern)
    }
    return key(version=machine.toolchain().get("tinyml-bench", ""), **texts)[:16]


def _matching(package: Path, pattern: str) -> list[Path]:
    paths = sorted(package.glob(pattern))
    if not paths:
        raise ValueError(f"no module of the package matches {pattern!r}: mend SOURCES")
    return paths


def read() -> dict[str, Section]:
    """Read what is kept; nothing where there is none."""
    if not KEPT.exists():
        return {}
    document = json.loads(KEPT.read_text(encoding="utf-8"))
    return {name: Section(**table) for name, table in document.items()}


def write(sections: dict[str, Section], path: Path = KEPT) -> None:
    """Keep `sections`."""
    document = {name: section.to_json() for name, section in sections.items()}
    path.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
