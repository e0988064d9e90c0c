"""``docs/versions.md``: what changed from version to version, for the whole matrix."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tinyml_bench.cache import Cache
from tinyml_bench.errors import TinymlError, UsageError
from tinyml_bench.files import write_atomically
from tinyml_bench.project import Project
from tinyml_bench.records import CaseId
from tinyml_bench.report.grid import table
from tinyml_bench.versions.comparing import Comparison, Plan, cause, compared
from tinyml_bench.versions.installing import ready
from tinyml_bench.versions.matrix import Environment
from tinyml_bench.versions.notes import release_notes
from tinyml_bench.versions.rendering import lines_of
from tinyml_bench.versions.steps import Steps
from tinyml_bench.versions.workshop import Workshop

_COMMAND = "tinyml-bench versions document"


@dataclass(frozen=True, slots=True)
class Page:
    """What is written down.

    Parameters
    ----------
    steps : tuple of Comparison
        Each version with the one before it.
    left_out : mapping of str to str
        Versions that could not be had, with the reason.
    """

    steps: tuple[Comparison, ...]
    left_out: dict[str, str]

    def text(self) -> str:
        """Return it in Markdown."""
        return "\n\n".join(part for part in self._parts() if part) + "\n"

    def _parts(self) -> Iterator[str]:
        yield "# What changed between versions of TensorFlow"
        yield (
            f"Written by `{_COMMAND}`: the same networks, converted, run and timed by each version "
            f"and the one before it, on one machine, the two in turns. A time above 1 is slower."
        )
        first = self.steps[0].old
        yield f"Processor: {first.cpu}."
        yield self._sizes()
        for step in self.steps:
            version = step.new.tensorflow
            yield f"## TensorFlow {version}, after {step.old.tensorflow}"
            yield f"[Release notes]({release_notes(version)})."
            yield lines_of(step)
        if self.left_out:
            yield "## Left out"
            yield "\n".join(f"- TensorFlow {one}: {why}" for one, why in self.left_out.items())

    def _sizes(self) -> str:
        """Return one table: the bytes of every case under every version."""
        sizes: dict[CaseId, dict[str, int]] = {}
        for step in self.steps:
            for one in step.differences:
                row = sizes.setdefault(one.case, {})
                row[step.old.tensorflow] = one.old_bytes
                row[step.new.tensorflow] = one.new_bytes
        versions = [self.steps[0].old.tensorflow, *(step.new.tensorflow for step in self.steps)]
        rows = [
            (str(case), *(f"{row[one]:,}" if row.get(one) else "-" for one in versions))
            for case, row in sizes.items()
        ]
        align = ("left", *["right"] * len(versions))
        return table(rows, "github", align, ("bytes", *versions))


def page(
    environments: Sequence[Environment], cases: Sequence[CaseId], plan: Plan, project: Project
) -> Page:
    """Compare each of `environments`, oldest first, with the one before it.

    Raises
    ------
    UsageError
        Fewer than two of them can be had.
    """
    left_out: dict[str, str] = {}
    shops: list[Workshop] = []
    found: list[Comparison] = []
    total = (len(environments) - 1) * len(cases) * (3 if plan.seconds else 2)
    with Steps("comparing", total) as steps:
        try:
            for environment in environments:
                try:
                    made = ready(environment, project.root, steps.say)
                    shop = Workshop(made, Cache(), plan.samples)
                    _ = shop.toolchain
                except TinymlError as error:
                    left_out[environment.tensorflow] = cause(error)
                    continue
                shops.append(shop)
                if len(shops) > 1:
                    found.append(compared(shops[-2], shops[-1], cases, plan, steps))
                    shops[-2].close()
        finally:
            for shop in shops:
                shop.kill()
                shop.close()
    if not found:
        reasons = "; ".join(f"{one}: {why}" for one, why in left_out.items())
        raise UsageError(f"fewer than two versions of TensorFlow can be had: {reasons}")
    return Page(tuple(found), left_out)


def write(written: Page, path: Path) -> str:
    """Write the page; returns what there is to say of it.

    Raises
    ------
    UsageError
        The file cannot be written.
    """
    try:
        write_atomically(path, written.text().encode())
    except OSError as error:
        raise UsageError(f"{path} cannot be written ({error}); give --output FILE.md") from error
    lines = [f"wrote {path}"]
    lines += [f"left out TensorFlow {one}: {why}" for one, why in written.left_out.items()]
    return "\n".join(lines)
