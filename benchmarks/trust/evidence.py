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

# The modules that decide a section's figures; a change of one makes the figures those of another
# program. Their text decides, not their time stamps.
_GATES = (
    "divergence", "evidence", "findings", "gates", "metrics", "overlay_gate", "paired", "policy",
    "predictions", "soundness", "stats", "truth", "truth_gate", "weight_truth",
)  # fmt: skip
_TIMING = ("ab", "bootstrap", "latency", "timing")
SOURCES = {
    "catalogue": (
        *_GATES, *_TIMING, "calibration", "compressed", "compression", "families", "measure",
        "patterns", "process", "qat", "stored_patterns", "structure", "tasks", "wrapping",
    ),
    "null": (*_GATES, "bootstrap", "latency", "measure", "suite", "timing"),
    "accuracy_power": _GATES,
    "ab_power": _TIMING,
    "instructions": ("instructions",),
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
    files = [ROOT / "tinyml_bench" / f"{module}.py" for module in SOURCES.get(name, ())]
    texts = {
        path.stem: hashlib.sha256(path.read_bytes()).hexdigest() for path in files if path.exists()
    }
    return key(version=machine.toolchain().get("tinyml-bench", ""), **texts)[:16]


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
