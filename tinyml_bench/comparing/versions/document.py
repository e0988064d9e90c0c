"""``docs/versions.md``: the changes from version to version, for the whole matrix."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tinyml_bench.comparing.versions.compare import Comparison, Plan, cause, compared
from tinyml_bench.comparing.versions.difference import of_speed
from tinyml_bench.comparing.versions.environment_worker import Toolchain, Workshop
from tinyml_bench.comparing.versions.environments import Environment
from tinyml_bench.comparing.versions.environments_setup import ready
from tinyml_bench.comparing.versions.graph_changes import in_words
from tinyml_bench.comparing.versions.release_notes import notes, release_notes
from tinyml_bench.comparing.versions.render import lines_of
from tinyml_bench.errors import TinymlError, UsageError
from tinyml_bench.judging.policy.project import Project
from tinyml_bench.records.case import CaseId
from tinyml_bench.reporting.text_table import table
from tinyml_bench.system.cache import Cache
from tinyml_bench.system.files import write_atomically
from tinyml_bench.system.progress import StepProgress

_COMMAND = "tinyml-bench versions document"


@dataclass(frozen=True, slots=True)
class Page:
    """The content of the page.

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
        """Return the page in Markdown."""
        return "\n\n".join(part for part in self._parts() if part) + "\n"

    def _parts(self) -> Iterator[str]:
        yield "# What changed between versions of TensorFlow"
        yield (
            f"Written by `{_COMMAND}`: the same networks, with the same weights, converted, run "
            f"and timed by each version and by the one before it, the two in turns on one machine. "
            f"A time above 1 is slower. Upstream's words stand where some were found."
        )
        yield "## In short"
        yield "\n".join(f"- **{step.new.tensorflow}**: {in_short(step)}" for step in self.steps)
        yield "## Bytes of each file"
        yield self._sizes()
        for step in self.steps:
            version = step.new.tensorflow
            yield f"## TensorFlow {version}, after {step.old.tensorflow}"
            links = [f"- upstream: {one.text} ([link]({one.link}))." for one in notes(version)]
            yield "\n".join([*links, f"- [Release notes]({release_notes(version)})."])
            yield lines_of(step, brief=True)
        if self.left_out:
            yield "## Left out"
            yield "\n".join(f"- TensorFlow {one}: {why}" for one, why in self.left_out.items())
        yield "## Measured with"
        yield self._toolchains()

    def _toolchains(self) -> str:
        """Return the processor, and the packages of each version."""
        sides = [self.steps[0].old, *(step.new for step in self.steps)]
        processors = ", ".join(dict.fromkeys(side.cpu for side in sides))
        lines = [f"- TensorFlow {side.tensorflow}: {_others(side)}" for side in sides]
        return "\n".join([f"- Processor: {processors}.", *lines])

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


def in_short(step: Comparison) -> str:
    """Summarize a version's changes over all cases in one sentence."""
    parts = [
        f"{what} in {count} case{'s' * (count != 1)}"
        for what, count in Counter(
            in_words(change) for one in step.differences for change in one.changes
        ).items()
    ]
    flipped = [one.accuracy.flipped for one in step.differences if one.accuracy.flipped]
    if flipped:
        most = f"{max(flipped):,} of {step.differences[0].accuracy.samples:,}"
        cases = "1 case answers" if len(flipped) == 1 else f"{len(flipped)} cases answer"
        parts.append(f"{cases} differently, on {most} images at most")
    else:
        parts.append("every image is answered as before")
    for one in step.differences:
        speed = of_speed(one.speed)
        if speed.startswith(("runs", "takes")):
            parts.append(f"`{one.case.variant}` {speed}")
    if step.failed:
        parts.append(f"{len(step.failed)} could not be compared")
    return "; ".join(parts) + "."


def _others(side: Toolchain) -> str:
    """Return the other packages of an environment, with their versions."""
    return ", ".join(
        f"{name} {version}" for name, version in side.versions.items() if name != "tensorflow"
    )


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
    comparisons: list[Comparison] = []
    total = (len(environments) - 1) * len(cases) * (3 if plan.seconds else 2)
    with StepProgress("comparing", total) as steps:
        try:
            for environment in environments:
                try:
                    created = ready(environment, project.root, steps.say)
                    shop = Workshop(created, Cache(), plan.samples)
                    _ = shop.toolchain
                except TinymlError as error:
                    left_out[environment.tensorflow] = cause(error)
                    continue
                shops.append(shop)
                if len(shops) > 1:
                    comparisons.append(compared(shops[-2], shops[-1], cases, plan, steps))
                    shops[-2].close()
        finally:
            for shop in shops:
                shop.kill()
                shop.close()
    if not comparisons:
        reasons = "; ".join(f"{one}: {why}" for one, why in left_out.items())
        raise UsageError(f"fewer than two versions of TensorFlow can be had: {reasons}")
    return Page(tuple(comparisons), left_out)


def write(written: Page, path: Path) -> str:
    """Write the page; return a message on what was written.

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
