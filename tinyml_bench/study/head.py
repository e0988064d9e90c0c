"""What stands first: what the page is, what came out, and what it was measured with."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterable, Iterator

from tinyml_bench.records.finding import Verdict
from tinyml_bench.records.measurement import Measurement
from tinyml_bench.records.provenance import KERAS, Provenance
from tinyml_bench.reporting.sentences import sentence
from tinyml_bench.study import goals, paper
from tinyml_bench.study.study import REFERENCE, Study, collapse

_SHOWN_FAILURES = 20


def head(study: Study) -> Iterator[str]:
    """Yield title, command, summary and what it was measured with."""
    yield "# Results: the published table, and ours"
    yield (
        "The nine networks of the published study in its eight formats, measured on the real test "
        "images and judged by the gates of this suite: the paper's figures and ours, side by side."
    )
    name = shlex.quote(study.run.name)
    profile = study.run.profile or "full"
    yield (
        "Generated from a saved run; do not edit. The first command measures and saves, the second "
        "writes this page:"
    )
    yield (
        f"```sh\npytest benchmarks/ --tinyml-profile {profile} --benchmark-save={name}\n"
        f"tinyml-bench results {name}\n```"
    )
    yield "## In short"
    yield "\n".join(f"- {line}" for line in _in_short(study))
    yield "## Measured with"
    yield "\n".join(f"- {line}" for line in _measured_with(study))


def missing(study: Study) -> Iterator[str]:
    """Yield what the run lacks of the study, with the commands that add it."""
    lacking: dict[str, list[str]] = {}
    for case in study.cells:
        if str(case) not in study.measured:
            lacking.setdefault(case.workload, []).append(case.variant)
    if not lacking:
        return
    yield "## Missing cells"
    yield (
        "Not in this run. The data first: `tinyml-bench list` says what is there and how to get "
        "the rest. Then measure, and save under the same name, all that is to be on this page."
    )
    yield "\n".join(_enabling(workload, names) for workload, names in lacking.items())


def _enabling(workload: str, variants: list[str]) -> str:
    whole = len(variants) == len(paper.variants())
    which = "" if whole else f", {', '.join(variants)}"
    dataset = workload.partition("-")[0]
    return (
        f"- `{workload}`{which}: `tinyml-bench data fetch {dataset}`, then "
        f"`pytest benchmarks/ --tinyml-profile full -k {workload}`"
    )


def _in_short(study: Study) -> Iterator[str]:
    found = [one for case in study.cells if (one := study.measured.get(str(case))) is not None]
    crashed = [one for one in found if one.crash is not None]
    collapsed = {str(one.case): why for one in found if (why := collapse(one))}
    total = len(list(study.cells))
    lacking = f", {total - len(found)} are [missing](#missing-cells)" if len(found) < total else ""
    yield (
        f"**{len(found) - len(crashed)} of {total} cells** have figures{lacking}; "
        f"{len(collapsed) or 'none'} collapsed, {len(crashed) or 'none'} crashed."
    )
    yield from (f"`{case}` collapsed: {why}." for case, why in collapsed.items())
    yield from (
        f"`{one.case}` crashed in {one.crash.phase}: {one.crash.cause}."
        for one in crashed
        if one.crash is not None
    )
    yield _of_networks(study)
    yield _of_formats(study, found)
    yield from _gates(study)


def _of_networks(study: Study) -> str:
    known = [
        (one.predictions.accuracy, goals.OF_NETWORKS[name])
        for name in study.workloads
        if (one := study.cell(name, REFERENCE)) is not None and one.predictions is not None
    ]
    floors = sum(value >= goal.floor for value, goal in known)
    aims = sum(value >= goal.aim for value, goal in known)
    return (
        f"{floors} of {len(known)} networks reach their [floor](#accuracy-of-the-networks-against-"
        f"their-goals), {aims} their aim."
    )


def _of_formats(study: Study, found: list[Measurement]) -> str:
    reference = {name: study.cell(name, REFERENCE) for name in study.workloads}
    distances = [
        one
        for cell in found
        if (one := goals.distance(cell, reference[cell.case.workload])) is not None
    ]
    met = sum(not one.excess for one in distances)
    return (
        f"{met} of {len(distances)} converted cells cost no more than their format "
        f"[should](#what-the-formats-cost)."
    )


def _gates(study: Study) -> Iterator[str]:
    verdicts = Counter(one.verdict for one in dict.fromkeys(study.run.findings))
    told = ", ".join(f"{verdicts[one]:,} {one}" for one in Verdict if verdicts[one])
    failing = dict.fromkeys(sentence(one) for one in study.run.findings if one.fails)
    yield f"Gates: {told or 'nothing was judged'}. {len(failing) or 'None'} of them fail the run."
    yield from (f"fails: {line}" for line in [*failing][:_SHOWN_FAILURES])
    if len(failing) > _SHOWN_FAILURES:
        yield f"fails: {len(failing) - _SHOWN_FAILURES:,} more"


def _measured_with(study: Study) -> Iterator[str]:
    known = [one.provenance for one in study.run.measurements if one.provenance is not None]
    networks = [one for one in known if one.answered_by == KERAS]
    converted = [one for one in known if one.answered_by != KERAS]
    yield f"Toolchain: {_told(_versions(one) for one in known)}"
    yield f"Processor: {_told(one.cpu for one in known)}"
    yield f"Converted models run by: {_told(one.runtime for one in converted)}"
    yield f"The networks themselves by: {_told(one.runtime for one in networks)}, one a core"
    yield f"Profile: {study.run.profile or 'not recorded'}; saved {study.run.created}"
    yield f"Test images: {_images(study)}"


def _told(texts: Iterable[str]) -> str:
    return "; ".join(dict.fromkeys(texts)) or "not known"


def _versions(one: Provenance) -> str:
    return ", ".join(f"{name} {version}" for name, version in one.toolchain.items())


def _images(study: Study) -> str:
    told = dict.fromkeys(_of_dataset(study, workload) for workload in study.workloads)
    return ", ".join(told)


def _of_dataset(study: Study, workload: str) -> str:
    dataset, samples = workload.partition("-")[0], study.samples(workload)
    all_images = paper.TEST_IMAGES[dataset]
    part = f" of {all_images:,}" if samples != all_images else ""
    return f"{dataset} {samples:,}{part}"
