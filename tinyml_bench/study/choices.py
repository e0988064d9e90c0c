"""What no other variant beats, and compressed families beside their plain siblings."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from tinyml_bench.records.measurement import Measurement
from tinyml_bench.records.predictions import Predictions
from tinyml_bench.reporting.pareto import SAME_LATENCY, Standing, unbeaten
from tinyml_bench.study import goals, paper
from tinyml_bench.study.study import REFERENCE, Study
from tinyml_bench.study.tables import kib, listing, percent, short
from tinyml_bench.workloads.variants.families import plain_sibling, training_rank

_SPARSE: Final = "experimental_sparsity"


@dataclass(frozen=True, slots=True)
class Published:
    """A figure that TensorFlow Model Optimization publishes of its own techniques.

    Parameters
    ----------
    network, variant : str
    accuracy : float
        Top-1 on ImageNet, in [0, 1].
    zipped_mb : float or None
        Size of the zipped file; ``None`` where none is published.
    """

    network: str
    variant: str
    accuracy: float
    zipped_mb: float | None = None


PUBLISHED: Final = (
    Published("MobileNetV1, ImageNet", "float", 0.7099, 14.97),
    Published("MobileNetV1, ImageNet", "50 % pruned", 0.7084),
    Published("MobileNetV1, ImageNet", "32 clusters", 0.694, 4.43),
    Published("MobileNetV1, ImageNet", "int8 after quantization-aware training", 0.7106),
    Published("MobileNetV1, ImageNet", "int8, pruning kept in that training", 0.7029),
)
"""For reference: what the library itself reports."""


def choices(study: Study) -> Iterator[str]:
    """Yield, workload by workload, the variants that no other one beats."""
    yield "## Variants that no other one beats"
    yield (
        "A variant is beaten where another of the same workload is at least as good in accuracy, "
        "size after gzip and time of one inference, and better in one of them. Times count as "
        f"equal within {percent(SAME_LATENCY, 0)} %, and what has collapsed is left out. What is "
        "listed is a choice: each is the best for some balance."
    )
    rows = [row for workload in study.compared for row in _unbeaten(study, workload)]
    if not rows:
        yield "Nothing to compare: this run timed nothing."
        return
    headings = ("workload", "variant", "accuracy, %", "gzip, KiB", "time / float32")
    yield listing(headings, rows, words=2)


def families(study: Study) -> Iterator[str]:
    """Yield compressed variants beside their plain siblings; nothing where the run has none."""
    rows = [row for workload in study.compared for row in _family_rows(study, workload)]
    if not rows:
        return
    yield "## Pruned, clustered, trained for quantization"
    yield (
        "Each compressed variant below the plain one that its name ends in. *lost*: points of "
        "accuracy against `tf`. *of sibling*: its size after gzip in % of the sibling's. "
        "*reduction*: of the file, against the plain float32 `.tflite`. *time*: one inference "
        "against `float32`, timed in turns."
    )
    headings = ("workload", "variant", "goal", "accuracy, %", "lost", "KiB", "gzip, KiB",
                "of sibling, %", "reduction, %", "time")  # fmt: skip
    yield listing(headings, rows, words=3)
    yield from _sparse(study)
    yield (
        "For reference, what TensorFlow Model Optimization publishes of its own techniques "
        "(top-1 on ImageNet; MB of the zipped file):"
    )
    yield listing(
        ("network", "variant", "accuracy, %", "zip, MB"),
        [
            (one.network, one.variant, percent(one.accuracy), f"{one.zipped_mb or ''}")
            for one in PUBLISHED
        ],
        words=2,
    )


def _sparse(study: Study) -> Iterator[str]:
    """Yield which sparse encodings make a file both smaller and faster than the dense one."""
    pairs = [
        (one, dense)
        for workload in study.compared
        for one in study.variants(workload)
        if plain_sibling(one.case.variant) == _SPARSE
        and (dense := study.cell(workload, one.case.variant.replace(_SPARSE, "float32")))
    ]
    if not pairs:
        return
    gains = [line for one, dense in pairs if (line := _gain(one, dense))]
    told = ", ".join(gains) or "none of this run; [why](sparsity.md)"
    yield (
        f"Smaller *and* faster by a sparse encoding than the same network's dense file, of "
        f"{len(pairs)}: {told}."
    )


def _gain(sparse: Measurement, dense: Measurement) -> str:
    """Say by how much a sparse file is smaller and faster; empty where it is not both."""
    mine, theirs = Standing.of(sparse), Standing.of(dense)
    if mine is None or theirs is None or not mine.is_faster(theirs):
        return ""
    share = sparse.facts["size_bytes"] / dense.facts["size_bytes"]
    if share >= 1:
        return ""
    ratio = mine.latency_ratio / theirs.latency_ratio
    return f"`{sparse.case}` ({short(share)} of the bytes, {short(ratio)} of the time)"


def _unbeaten(study: Study, workload: str) -> Iterator[tuple[str, ...]]:
    found = study.variants(workload)
    front = unbeaten(found)
    first = workload
    for one in found:
        if one.case.variant in front and one.predictions is not None:
            facts = one.facts
            yield (
                first,
                one.case.variant,
                percent(one.predictions.accuracy),
                kib(facts["gzip_bytes"]),
                short(facts["latency_ratio"]),
            )
            first = ""


def _family_rows(study: Study, workload: str) -> Iterator[tuple[str, ...]]:
    found = study.variants(workload)
    plain_ones = filter(None, (plain_sibling(one.case.variant) for one in found))
    first = workload
    for plain in sorted(dict.fromkeys(plain_ones), key=_rank):
        members = [one for one in found if plain_sibling(one.case.variant) == plain]
        family = _Family(study.cell(workload, REFERENCE), study.cell(workload, plain), members)
        for row in family.rows():
            yield (first, *row)
            first = ""


def _rank(plain: str) -> int:
    order = paper.variants()
    return order.index(plain) if plain in order else len(order)


@dataclass(frozen=True, slots=True)
class _Family:
    """The compressed variants that end in one plain format, beside that."""

    reference: Measurement | None
    plain: Measurement | None
    members: list[Measurement]

    def rows(self) -> Iterator[tuple[str, ...]]:
        """Yield the plain sibling, then the others in the order of their training."""
        if self.plain is not None:
            yield self._row(self.plain, "", "")
        for one in sorted(self.members, key=lambda one: training_rank(one.case.variant)):
            share = self._gzip_share(one)
            yield self._row(one, self._goal(one), "" if share is None else percent(share, 0))

    def _row(self, one: Measurement, goal: str, share: str) -> tuple[str, ...]:
        name, facts = one.case.variant, one.facts
        if one.predictions is None:
            return (name, "**crashed**" if one.crash else "", *[""] * 7)
        return (
            name,
            goal,
            percent(one.predictions.accuracy),
            self._lost(one.predictions),
            *(kib(facts[name]) if name in facts else "-" for name in ("size_bytes", "gzip_bytes")),
            share,
            percent(facts["size_reduction"], 1) if "size_reduction" in facts else "-",
            short(facts["latency_ratio"]) if "latency_ratio" in facts else "-",
        )

    def _lost(self, mine: Predictions) -> str:
        theirs = None if self.reference is None else self.reference.predictions
        if theirs is None:
            return "-"
        images = min(mine.samples, theirs.samples)
        return percent(theirs.prefix(images).accuracy - mine.prefix(images).accuracy)

    def _gzip_share(self, one: Measurement) -> float | None:
        mine = one.facts.get("gzip_bytes")
        plain = self.plain.facts.get("gzip_bytes") if self.plain else None
        return None if mine is None or not plain else mine / plain

    def _goal(self, one: Measurement) -> str:
        """Say whether a member reaches its goals; empty where it has none."""
        distance = goals.distance(one, self.reference)
        if distance is None:
            return ""
        missed = "; ".join(self._missed(one, distance))
        return f"**{missed}**" if missed else "met"

    def _missed(self, one: Measurement, distance: goals.Distance) -> Iterator[str]:
        goal, share, gzip = distance.goal, self._gzip_share(one), one.facts.get("gzip_bytes", 0.0)
        if distance.excess:
            yield f"loses {percent(distance.excess)} more than {percent(goal.limit, 1)}"
        limit = goal.gzip_share if one.case.model == "custom" else None
        if limit is not None and share is not None and share > limit:
            yield f"gzip {percent(share, 0)} % of sibling, goal {percent(limit, 0)} %"
        others = [one.facts.get("gzip_bytes", gzip) for one in (*self.members, self.plain) if one]
        if goal.smallest and gzip > min(others):
            yield f"not the smallest, which has {kib(min(others))} KiB"
        plain = self.plain.predictions if self.plain else None
        mine = one.predictions
        if goal.not_below_plain and plain and mine and mine.accuracy < plain.accuracy:
            yield f"{percent(plain.accuracy - mine.accuracy)} below its sibling"
