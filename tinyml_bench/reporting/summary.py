"""The end of a test session: the tables, the count of verdicts, and every sentence that matters."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace

from tinyml_bench.metrics.catalogue import METRICS
from tinyml_bench.records.deployment import FACTS
from tinyml_bench.records.finding import Finding, Verdict
from tinyml_bench.records.provenance import ACROSS
from tinyml_bench.records.run import Run
from tinyml_bench.reporting.device_table import Shelf, devices
from tinyml_bench.reporting.layout import AS_MEASURED, Layout
from tinyml_bench.reporting.sentences import sentence
from tinyml_bench.reporting.tables import tables

_RED, _GREEN, _YELLOW = "31", "32", "33"
_PAINT = (
    (re.compile(r"(?:\d+\.\d+|-) ![*a-z]*(?=\s|$)|(?<![\w-])crashed(?![\w-])"), _RED),
    (re.compile(r"\d+\.\d+ [?~<][*a-z]*(?=\s|$)"), _YELLOW),
    (re.compile(r"\d+\.\d+ \+[*a-z]*(?=\s|$)"), _GREEN),
)


def summary(
    run: Run,
    width: int,
    colour: bool,
    layout: Layout = AS_MEASURED,
    shelf: Shelf | None = None,
) -> str:
    """Sum a run up: tables, counts, failing sentences, then what is open and why.

    A sentence stays on one line whatever the width, so that it can be searched for; one that
    several tests came to is said and counted once.

    Parameters
    ----------
    run : Run
    width : int
        Columns of the terminal, for the tables.
    colour : bool
        Colour what failed, with ANSI codes.
    layout : Layout
        The order of rows and columns, and published figures to show beside ours.
    shelf : Shelf or None
        The boards to tell of.
    """
    run = replace(run, findings=tuple(dict.fromkeys(run.findings)))
    said = {finding.reason for finding in _let_pass(run, Verdict.INCOMPARABLE)}
    met = devices(layout.sort(run), width=width, shelf=shelf, said=said)
    drawn = "\n\n".join(block for block in (tables(run, width=width, layout=layout), met) if block)
    failing = [sentence(finding) for finding in run.findings if finding.fails]
    blocks = [
        _painted(drawn) if colour else drawn,
        _counts(run),
        "\n".join(_ansi(line, _RED) if colour else line for line in failing),
        "\n".join(_inconclusive(run)),
        "\n".join(_overlaid(run)),
        "\n".join([*across_runtimes(run.findings), *_incomparable(run), *_unstored(run)]),
    ]
    return "\n\n".join(block for block in blocks if block)


def _counts(run: Run) -> str:
    counts = Counter(finding.verdict for finding in run.findings)
    told = ", ".join(f"{counts[verdict]} {verdict}" for verdict in Verdict if counts[verdict])
    cases = len(run.measurements)
    return f"{cases} case{'' if cases == 1 else 's'}: {told or 'nothing was judged'}"


def _let_pass(run: Run, verdict: Verdict) -> list[Finding]:
    return [one for one in run.findings if one.verdict is verdict and not one.fails]


def _inconclusive(run: Run) -> list[str]:
    """Return what got worse without proof, and does not fail for it, with what would prove it."""
    told = [sentence(finding) for finding in _let_pass(run, Verdict.INCONCLUSIVE)]
    note = "inconclusive: worse than the limit, without proof; by default this does not fail"
    return [*told, note] if told else []


def _overlaid(run: Run) -> Iterator[str]:
    """Say what passed by an overlay instead of its baseline, a line for each overlay."""
    groups: dict[str, list[str]] = {}
    for finding in run.findings:
        if finding.overlay and not finding.fails:
            groups.setdefault(finding.overlay, []).append(f"{finding.case} {finding.metric}")
    for overlay, judged in groups.items():
        yield f"by the overlay for {overlay}: {', '.join(judged)}"


def _incomparable(run: Run) -> Iterator[str]:
    """Group what is incomparable without failing by what was measured and why."""
    groups = Counter(
        (_family(finding.metric), finding.reason or "no reason is given")
        for finding in _let_pass(run, Verdict.INCOMPARABLE)
    )
    for (family, reason), count in groups.items():
        figures = "figure is" if count == 1 else "figures are"
        yield f"{count} {family} {figures} incomparable: {reason}"


def across_runtimes(findings: Iterable[Finding]) -> Iterator[str]:
    """Say of how many cases the answers are judged by those of another runtime."""
    pairs = {
        (finding.case, line)
        for finding in findings
        for line in finding.evidence
        if line.startswith(ACROSS) and finding.metric in METRICS
        and METRICS[finding.metric].needs_same_images
    }  # fmt: skip
    for line, count in sorted(Counter(line for _, line in pairs).items()):
        cases = "1 case" if count == 1 else f"{count} cases"
        yield f"answers of {cases} were compared across runtimes: {line}"


def _unstored(run: Run) -> list[str]:
    """Say what of a device was measured and not judged, since nothing was stored to judge it by."""
    counts = Counter(
        finding.metric for finding in _let_pass(run, Verdict.MISSING) if finding.metric in FACTS
    )
    if not counts:
        return []
    told = ", ".join(
        f"{part} of {count} case{'' if count == 1 else 's'}" for part, count in counts.items()
    )
    store = "python -m pytest benchmarks/ --baseline-update-new"
    return [f"not judged, for no baseline had it: {told}; this stores it: {store}"]


def _family(metric: str) -> str:
    """Return the plain word for a metric.

    Examples
    --------
    >>> _family("latency_ratio"), _family("size_bytes"), _family("agreement")
    ('latency', 'size', 'agreement')
    """
    return metric.partition("_")[0]


def _painted(drawn: str) -> str:
    """Colour the marked figures; done last, so that no width is ever counted with colour codes."""
    for pattern, code in _PAINT:
        drawn = pattern.sub(_ansi(r"\g<0>", code), drawn)
    return drawn


def _ansi(text: str, code: str) -> str:
    return f"\x1b[{code}m{text}\x1b[0m"
