"""Proves the gates: ``python benchmarks/trust/run.py`` from the repository's root.

Plants every fault of the catalogue, makes null runs, measures power, and writes docs/trust.md.
Exits 0 only where every fault was caught, no null run raised an alarm, and the goals for power and
false alarms were met.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from rich.console import Console
from rich.progress import Progress
from tabulate import tabulate

from tinyml_bench.judging.policy.policy import Policy
from trust import evidence, page, planted, running  # noqa: F401 - planted fills the catalogue
from trust.catalogue import FAULTS, Fault, Outcome

STAGES = (
    "`fashion_mnist-custom` with its 10,000 test images, and `paint-net`, a small network for "
    "made images of coloured shapes, 4,000 of them; faults of colour on the latter only, faults of "
    "compression in what each of both was compressed to while it was trained further"
)
# What is timed comes out by chance as well, so it is planted more often.
TIMED_REPEATS = 3
# The goals: share of alarms where there is nothing, of real changes found, spread of exact counts.
MOST_ALARMS, LEAST_POWER, MOST_SPREAD = 0.01, 0.95, 0.0001
FEWEST_RUNS = 100


def main() -> int:
    """Do what the command line asks for."""
    options = parsed()
    if options.render:
        keep(evidence.read())
        return 0
    if options.section:
        return one_section(options)
    chosen = [fault for fault in FAULTS.values() if options.only in ("", fault.name)]
    if not chosen:
        print(f"no fault is called {options.only!r}; known: {', '.join(FAULTS)}")
        return 2
    if options.quick:
        chosen = [fault for fault in chosen if not fault.slow]
    with Progress(console=Console(stderr=True), transient=True) as progress:
        outcomes = catalogue(chosen, options, progress)
        print(told(outcomes), flush=True)
        sections = evidence.read()
        whole = not (options.only or options.disable_gate)
        if whole:
            measured(options, progress, outcomes, sections)
    problems = problems_of(outcomes, sections if whole and not options.quick else {})
    if whole:
        print(f"\nwrote {evidence.PAGE} and {evidence.KEPT}")
    print(
        "\n".join(["", *problems] if problems else ["", "every fault was caught, no false alarm"])
    )
    return 1 if problems else 0


def one_section(options: argparse.Namespace) -> int:
    """Measure one kind of figures anew, and keep the others."""
    name, sections = options.section, evidence.read()
    outcomes: dict[str, list[Outcome]] = {}
    with Progress(console=Console(stderr=True), transient=True) as progress:
        if name == "catalogue":
            outcomes = catalogue(list(FAULTS.values()), options, progress)
            print(told(outcomes), flush=True)
            found: Any = faults_json(outcomes)
        else:
            found = MEASURES[name](options, progress)
    if found is None:
        return 1
    sections[name] = evidence.measured_now(name, found)
    keep(sections)
    problems = problems_of(outcomes, {name: sections[name]})
    print("\n".join([f"wrote {evidence.PAGE} and {evidence.KEPT}", *problems]))
    return 1 if problems else 0


def keep(sections: dict[str, evidence.Section]) -> None:
    """Write what was measured, and the page of it."""
    evidence.write(sections)
    evidence.PAGE.write_text(page.render(sections), encoding="utf-8")


def parsed() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=100, help="null runs (default: 100)")
    parser.add_argument("--pytest-runs", type=int, default=5, help="null runs of pytest (5)")
    parser.add_argument("--ab-runs", type=int, default=100, help="of each slowdown (100)")
    parser.add_argument(
        "--baselines", type=Path, metavar="DIR",
        help="stored baselines for null runs (default: the project's, whose latencies are "
        "comparable on the processor only that they were measured on)",
    )  # fmt: skip
    parser.add_argument("--only", default="", metavar="NAME", help="plant this fault alone")
    parser.add_argument(
        "--quick",
        action="store_true",
        help="leave slow faults out, and use what is kept of null runs and power where the gates "
        "are the same",
    )
    parser.add_argument(
        "--section", choices=("catalogue", *MEASURES),
        help="measure these figures alone, and keep the others",
    )  # fmt: skip
    parser.add_argument(
        "--render", action="store_true", help="only write the page of the figures that are kept"
    )
    parser.add_argument(
        "--disable-gate", action="append", default=[], metavar="GATE",
        help="do not ask this gate: the run must then fail",
    )  # fmt: skip
    parser.add_argument(
        "--litert-python", default=sys.executable, metavar="PYTHON",
        help="interpreter that has ai-edge-litert, to count instructions (default: this one)",
    )  # fmt: skip
    return parser.parse_args()


def catalogue(
    chosen: list[Fault], options: argparse.Namespace, progress: Progress
) -> dict[str, list[Outcome]]:
    """Plant the faults on each stage; returns the outcomes by fault."""
    mains = [running.MADE] if options.quick else [running.REAL, running.MADE]
    found: dict[str, list[Outcome]] = {fault.name: [] for fault in chosen}
    disabled = frozenset(options.disable_gate)
    with running.stages([running.MADE, *mains], disabled) as stages:
        for main in mains:
            faults = [fault for fault in chosen if main == running.MADE or not fault.colour]
            if not options.quick:
                faults += [fault for fault in faults if fault.alone] * (TIMED_REPEATS - 1)
            bar = progress.add_task(f"faults on {main}", total=len(faults))

            def done(_: Outcome, bar: Any = bar) -> None:
                progress.advance(bar)

            for outcome in running.run(faults, stages, main, done):
                found[outcome.fault.name].append(outcome)
    return found


def told(outcomes: dict[str, list[Outcome]]) -> str:
    """Return the catalogue with what came of it, as a table."""
    rows = [
        (
            fault.family,
            fault.name,
            caught_of(found),
            shown(found).answer.verdict,
            shown(found).answer.line[:110],
        )
        for fault, found in ((FAULTS[name], found) for name, found in outcomes.items())
    ]
    return tabulate(rows, ("family", "fault", "caught", "verdict", "first line"))


def caught_of(found: list[Outcome]) -> str:
    """Say how often a fault was caught."""
    caught = sum(outcome.caught for outcome in found)
    return f"{caught} of {len(found)}" + ("" if caught == len(found) else " NOT CAUGHT")


def shown(found: list[Outcome]) -> Outcome:
    """Return the outcome to show: the first that was not as it must be, else the first."""
    return next((outcome for outcome in found if not outcome.caught), found[0])


def measured(
    options: argparse.Namespace,
    progress: Progress,
    outcomes: dict[str, list[Outcome]],
    kept: dict[str, evidence.Section],
) -> None:
    """Measure every section of `kept` anew, and keep each as soon as it is there.

    A quick run measures none: it says which of the figures are of other gates than these.
    """
    if options.quick:
        for name in MEASURES:
            same = name in kept and kept[name].inputs == evidence.inputs(name)
            print(f"{name}: " + ("as kept, of these gates" if same else "NOT OF THESE GATES"))
        return
    kept["catalogue"] = evidence.measured_now("catalogue", faults_json(outcomes))
    keep(kept)
    for name, measure in MEASURES.items():
        found = measure(options, progress)
        if found is not None:
            kept[name] = evidence.measured_now(name, found)
            keep(kept)


def faults_json(outcomes: dict[str, list[Outcome]]) -> dict[str, Any]:
    """Return the outcomes as plain values, family by family."""
    rows = [
        {
            "name": fault.name,
            "family": fault.family,
            "what": fault.planted,
            "caught": sum(outcome.caught for outcome in found),
            "planted": len(found),
            "verdict": shown(found).answer.verdict,
            "line": shown(found).answer.line[:200],
            "why": fault.why,
        }
        for fault, found in ((FAULTS[name], found) for name, found in outcomes.items())
    ]
    return {"stages": STAGES, "faults": rows}


def _null(options: argparse.Namespace, progress: Progress) -> dict[str, Any]:
    from dataclasses import asdict

    from trust import null

    bar = progress.add_task("null runs", total=options.runs)
    runs = null.in_process(options.runs, options.baselines, lambda _: progress.advance(bar))
    bar = progress.add_task("null runs of pytest", total=options.pytest_runs)
    statuses = null.with_pytest(
        options.pytest_runs, options.baselines, lambda _: progress.advance(bar)
    )
    return {**asdict(runs), "pytest": statuses}


def _accuracy_power(_: argparse.Namespace, progress: Progress) -> dict[str, Any]:
    from trust import power

    progress.add_task("power for drops", total=None)
    policy = Policy(tests=power.MATRIX_CASES * power.TESTS_A_CASE)
    return {
        "rows": power.accuracy_power(),
        "alpha": policy.alpha,
        "tolerance": policy.tolerances["accuracy"].absolute,
        "churn": power.CHURN,
        "repeats": power.REPEATS,
    }


def _ab_power(options: argparse.Namespace, progress: Progress) -> list[dict[str, Any]]:
    from trust import power

    progress.add_task("power for slowdowns", total=None)
    return power.ab_power(options.ab_runs)


def _instructions(options: argparse.Namespace, progress: Progress) -> list[int] | None:
    from trust import power

    progress.add_task("instruction counts", total=None)
    with running.stages([running.REAL]) as stages:
        path = stages[running.REAL].scratch() / "int8.tflite"
        path.write_bytes(stages[running.REAL].healthy().content)
        found = power.instruction_counts(path, options.litert_python)
    if isinstance(found, str):
        print(f"instruction counts were not measured: {found}")
        return None
    return found


def _judging(_: argparse.Namespace, progress: Progress) -> dict[str, Any]:
    import json
    import subprocess

    progress.add_task("time to judge", total=None)
    command = [sys.executable, str(Path(__file__).parent / "judging.py")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


MEASURES: dict[str, Callable[[argparse.Namespace, Progress], Any]] = {
    "null": _null,
    "accuracy_power": _accuracy_power,
    "ab_power": _ab_power,
    "instructions": _instructions,
    "judging": _judging,
}


def problems_of(
    outcomes: dict[str, list[Outcome]], sections: dict[str, evidence.Section]
) -> list[str]:
    """Say what keeps the gates from being trusted; nothing where they can be."""
    problems = []
    for name, found in outcomes.items():
        if not all(outcome.caught for outcome in found):
            what = "false alarm" if FAULTS[name].family == "nothing" else "not caught"
            problems.append(f"{what}: {name}: {shown(found).answer.line[:160]}")
    if "null" in sections:
        null = sections["null"].found
        if null["alarmed"]:
            problems.append(f"{null['alarmed']} of {null['runs']} null runs raised an alarm")
        if any(null["pytest"]):
            problems.append(f"null runs of pytest exited {null['pytest']}")
    return problems + list(goals_missed(sections)) + list(too_few(sections))


def too_few(sections: dict[str, evidence.Section]) -> Iterator[str]:
    """Say which figures are of fewer runs than the goals are about."""
    rows = [("null runs", sections["null"].found["runs"])] if "null" in sections else []
    compared = sections["ab_power"].found if "ab_power" in sections else ()
    rows += [(f"comparisons at {row['slowdown']} %", row["runs"]) for row in compared]
    for what, runs in rows:
        if runs < FEWEST_RUNS:
            yield f"{runs} {what} are too few to prove a goal: expected {FEWEST_RUNS}"


def goals_missed(sections: dict[str, evidence.Section]) -> Iterator[str]:
    """Say which of the goals for power and false alarms the figures fall short of."""
    for row in sections["accuracy_power"].found["rows"] if "accuracy_power" in sections else ():
        share = row["alarms"] / row["repeats"]
        if row["drop"] == 0 and share >= MOST_ALARMS:
            yield f"no drop on {row['samples']} images raised an alarm in {share:.1%} of runs"
        if (row["samples"], row["drop"]) == (10_000, 0.01) and share < LEAST_POWER:
            yield f"a drop of 1 point on 10,000 images was found in {share:.1%} of runs only"
    for row in sections["ab_power"].found if "ab_power" in sections else ():
        share = row["slower"] / row["runs"]
        if not row["slowdown"] and share >= MOST_ALARMS:
            yield f"ab called a model slower than itself in {share:.1%} of runs"
        if row["slowdown"] >= 5 and share < LEAST_POWER:
            yield f"ab found a slowdown of {row['slowdown']} % in {share:.1%} of runs only"
    counts = sections["instructions"].found if "instructions" in sections else [1]
    if max(counts) > min(counts) * (1 + MOST_SPREAD):
        yield f"instruction counts spread from {min(counts):,} to {max(counts):,}"


if __name__ == "__main__":
    sys.exit(main())
