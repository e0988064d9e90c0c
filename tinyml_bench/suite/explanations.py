"""What only a run can add to a finding: names of images and classes, and the layers behind it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from tinyml_bench.errors import UsageError
from tinyml_bench.metrics.catalogue import row_of
from tinyml_bench.records.case import CaseId
from tinyml_bench.records.finding import Finding, Verdict
from tinyml_bench.records.measurement import Baseline, Measurement
from tinyml_bench.records.run import Run
from tinyml_bench.suite.new_failures import newly_flipped
from tinyml_bench.workloads.cases import reference_of, sibling_of
from tinyml_bench.workloads.datasets import DATASETS

if TYPE_CHECKING:
    from tinyml_bench.measuring.workbench import Workbench

_SHOWN_IMAGES = 10

# How a sentence names a class: by its index.
_CLASS = re.compile(r"\bclass (\d+)\b")


@dataclass(frozen=True, slots=True)
class Explainer:
    """Explains the findings on one case.

    Parameters
    ----------
    measurement : Measurement
        What the findings are about.
    workbench : Workbench
        Knows images and layers.
    baseline : callable
        A case to its baseline; ``None`` where there is none.
    earlier : Run or None
        The saved run against which images are called new.
    """

    measurement: Measurement
    workbench: Workbench
    baseline: Callable[[CaseId], Baseline | None]
    earlier: Run | None = None

    def explained(self, findings: Sequence[Finding]) -> list[Finding]:
        """Return the findings with what is known of their images, classes and layers."""
        named = [self._with_images(self._with_classes(finding)) for finding in findings]
        return [self._with_layers(finding) for finding in named]

    def _with_classes(self, finding: Finding) -> Finding:
        """Call the classes in a finding what the dataset calls them, where it has names."""
        names = DATASETS[self.measurement.case.dataset].class_names
        if row_of(finding.metric).about != "classes" or not names:
            return finding

        def named(text: str) -> str:
            return _CLASS.sub(lambda match: f"class {names[int(match[1])]!r}", text)

        try:
            evidence = tuple(map(named, finding.evidence))
            return replace(finding, reason=named(finding.reason), evidence=evidence)
        except IndexError:  # there are more classes than names: numbers are the only sure ones
            return finding

    def _with_images(self, finding: Finding) -> Finding:
        """Name the images behind a finding as the dataset names them."""
        if not finding.flipped:
            return finding
        lines = [f"images: {self._names(finding.flipped)}", *self._new_images(finding)]
        return replace(finding, evidence=(*finding.evidence, *lines))

    def _new_images(self, finding: Finding) -> Iterator[str]:
        """Say which of them are new against the saved run, where there is one to compare with."""
        case = self.measurement.case
        baseline = self.baseline(case)
        if self.earlier is None or baseline is None:
            return
        name, reference = self.earlier.name, self.baseline(reference_of(case))
        try:
            new = newly_flipped(finding, self.measurement, baseline, reference, self.earlier)
        except UsageError as error:
            yield f"against {name!r} it cannot be told which of them are new: {error}"
            return
        listed = f": {self._names(new)}" if new else ""
        yield f"new against {name!r}: {len(new) or 'none'} of {len(finding.flipped)}{listed}"

    def _names(self, positions: Sequence[int]) -> str:
        case = self.measurement.case
        names = [self.workbench.image_name(case, position) for position in positions]
        return ", ".join(names[:_SHOWN_IMAGES]) + (" ..." if len(names) > _SHOWN_IMAGES else "")

    def _with_layers(self, finding: Finding) -> Finding:
        """Name the layers to look at where a converted case answers worse, or takes more memory."""
        case = self.measurement.case
        if finding.verdict is not Verdict.REGRESSED or not finding.fails:
            return finding
        if row_of(finding.metric).about == "memory":
            layer, lines = self.workbench.memory_peak(case)
        elif self._is_about_layers(finding):
            layer, lines = self.workbench.diagnosis(case, finding.flipped)
        else:
            return finding
        return replace(finding, layer=layer, evidence=(*finding.evidence, *lines))

    def _is_about_layers(self, finding: Finding) -> bool:
        case = self.measurement.case
        answers = row_of(finding.metric).about in ("classes", "answers")
        return answers and case not in (reference_of(case), sibling_of(case))
