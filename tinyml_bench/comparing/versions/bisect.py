"""``tinyml-bench versions bisect``: find the TensorFlow version that changed a case."""

from __future__ import annotations

import contextlib
import json
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from tinyml_bench.comparing.versions.compare import cause
from tinyml_bench.comparing.versions.environment_worker import Workshop
from tinyml_bench.comparing.versions.environments import Environment
from tinyml_bench.comparing.versions.environments_setup import ready
from tinyml_bench.comparing.versions.graph_changes import graph_changes, in_words
from tinyml_bench.comparing.versions.release_notes import notes, release_notes
from tinyml_bench.comparing.versions.traits import Probe, Trait
from tinyml_bench.errors import TinymlError, UsageError
from tinyml_bench.judging.policy.project import Project
from tinyml_bench.records.case import CaseId
from tinyml_bench.reporting.text_table import filled
from tinyml_bench.system.cache import Cache
from tinyml_bench.system.progress import StepProgress


@dataclass(frozen=True, slots=True)
class Question:
    """The case and trait to search a change of.

    Parameters
    ----------
    case : CaseId
    trait : Trait
    limit : float or None
        A share up to which a change is none; ``None`` for the trait's usual one.
    samples : int or None
        Test images; ``None`` for all.

    Raises
    ------
    UsageError
        A number is out of range.
    """

    case: CaseId
    trait: Trait
    limit: float | None = None
    samples: int | None = None

    def __post_init__(self) -> None:
        if self.limit is not None and not 0 <= self.limit < math.inf:
            raise UsageError(f"expected a limit of 0 percent or more, got {100 * self.limit:g}")
        if self.samples is not None and self.samples < 1:
            raise UsageError(f"expected at least 1 sample, got {self.samples}")


@dataclass(frozen=True, slots=True)
class Found:
    """The result of a search over positions.

    Parameters
    ----------
    last_same : int
        Position of the newest one that is as the oldest.
    first_changed : int or None
        Position after it; ``None`` where none has changed.
    """

    last_same: int
    first_changed: int | None


@dataclass(slots=True)
class Bisection:
    """The result of a bisection.

    Parameters
    ----------
    case : CaseId
    trait : str
    tried : list of str
        Versions that were looked at, in that order.
    skipped : dict of str to str
        Versions that could not be, with the reason.
    conversions : int
        Made now; others came from the cache.
    seconds : float
    before, first : str
        The newest version without, and the oldest with the change; `first` is empty where there
        was none.
    words : str
        Old and new value.
    graph : tuple of str
        What changed in the graph between these two.
    meaning : str
        The same in plain words.
    """

    case: CaseId
    trait: str
    tried: list[str] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)
    conversions: int = 0
    seconds: float = 0.0
    before: str = ""
    first: str = ""
    words: str = ""
    graph: tuple[str, ...] = ()
    meaning: str = ""

    def text(self, width: int) -> str:
        """Return the result for people."""
        return "\n".join(filled(line, width) for line in self._lines())

    def as_json(self) -> str:
        """Return all fields as JSON, for programs."""
        notes = release_notes(self.first) if self.first else ""
        plain: dict[str, Any] = {
            name: getattr(self, name) for name in self.__dataclass_fields__ if name != "case"
        }
        return json.dumps({"case": str(self.case), **plain, "release_notes": notes}, indent=1)

    def _lines(self) -> Iterator[str]:
        conversions = f"{self.conversions} conversion{'s' * (self.conversions != 1)}"
        basis = f"tried {', '.join(self.tried)}; {conversions}, {self.seconds:.0f} s"
        if not self.first:
            yield f"{self.case}: {self.trait} has not changed from {self.tried[0]} to {self.before}"
            yield f"  {self.words}"
        else:
            where = f"{self.case}: {self.trait} changed in TensorFlow {self.first}{self._doubt()}"
            yield f"{where}: {self.meaning}" if self.meaning else where
            yield f"  {self.before} -> {self.first}: {self.words}"
            yield from (f"  graph: {line}" for line in self.graph)
            yield from (f"  upstream: {note.text}: {note.link}" for note in notes(self.first))
            yield f"  release notes: {release_notes(self.first)}"
        yield f"  {basis}"
        for version, why in self.skipped.items():
            yield f"  TensorFlow {version} could not be tried: {why}"

    def _doubt(self) -> str:
        """Name the versions that may have made the change too."""
        between = [
            one for one in self.skipped if _number(self.before) < _number(one) < _number(self.first)
        ]
        return f", or in {' or '.join(between)}, which could not be tried" if between else ""


def search(count: int, changed: Callable[[int], bool | None]) -> Found:
    """Find the first of the positions 1 to `count` - 1 that differs from position 0.

    Parameters
    ----------
    count : int
    changed : callable
        Whether the position differs; ``None`` where that cannot be told, which leaves it out.

    Notes
    -----
    Positions before the first one are taken to be as position 0, and those after it to differ: a
    change that was taken back is not found. The last position is looked at only if no earlier one
    was found to differ, so that seven take at most three looks beside position 0.

    Examples
    --------
    >>> search(7, lambda position: position >= 3)
    Found(last_same=2, first_changed=3)
    >>> search(7, lambda position: False)
    Found(last_same=6, first_changed=None)
    """
    low, high = 0, count
    unknown: set[int] = set()
    while inner := [one for one in range(low + 1, high) if one not in unknown]:
        middle = inner[(len(inner) - 1) // 2]
        answer = changed(middle)
        if answer is None:
            unknown.add(middle)
        elif answer:
            high = middle
        else:
            low = middle
    return Found(low, high if high < count else None)


def bisect(question: Question, environments: Sequence[Environment], project: Project) -> Bisection:
    """Find the first of `environments`, oldest first, in which a trait of a case has changed.

    Raises
    ------
    UsageError
        Fewer than two of them can be tried; the message says why.
    """
    looks = 1 + math.ceil(math.log2(len(environments)))
    with StepProgress("bisecting", looks) as steps:
        hunt = _Hunt(question, project, steps)
        with contextlib.closing(hunt):
            return hunt.run(list(environments))


def _number(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))


class _Hunt:
    """A bisection in progress; the oldest version's worker lives as long."""

    def __init__(self, question: Question, project: Project, steps: StepProgress) -> None:
        self.trait = question.trait
        self.project = project
        self.steps = steps
        self.limit = self.trait.usual_limit if question.limit is None else question.limit
        self.samples = question.samples
        self.cache = Cache()
        self.shops: dict[str, Workshop] = {}
        self.probes: dict[str, Probe] = {}
        self.found = Bisection(question.case, self.trait.name)

    def run(self, environments: list[Environment]) -> Bisection:
        started = time.monotonic()
        while environments and not self._try(environments[0], self._begin):
            environments.pop(0)
        if len(environments) < 2:
            raise self._nothing_left()
        base = self.shops[environments[0].tensorflow]

        def changed(position: int) -> bool | None:
            one = environments[position]
            if not self._try(one, lambda shop: self._look(base, shop)):
                return None
            return self.probes[one.tensorflow].changed

        outcome = search(len(environments), changed)
        if not self.probes:
            raise self._nothing_left()
        self.found.before = environments[outcome.last_same].tensorflow
        if outcome.first_changed is None:
            self.found.words = self.probes[self.found.before].words
        else:
            self.found.first = environments[outcome.first_changed].tensorflow
            self._explain(self.shops[self.found.before], self.shops[self.found.first])
        self.found.conversions = sum(shop.conversions for shop in self.shops.values())
        self.found.seconds = round(time.monotonic() - started, 1)
        return self.found

    def close(self) -> None:
        for shop in self.shops.values():
            shop.kill()
            shop.close()

    def _try(self, one: Environment, do: Callable[[Workshop], None]) -> bool:
        """Run `do` in an environment; one that cannot be created is noted and left out."""
        self.steps.say(f"TensorFlow {one.tensorflow}: {self.found.case}")
        try:
            shop = Workshop(ready(one, self.project.root, self.steps.say), self.cache, self.samples)
            self.shops[one.tensorflow] = shop
            do(shop)
        except TinymlError as error:
            self.found.skipped[one.tensorflow] = cause(error)
            self.steps.advance(f"TensorFlow {one.tensorflow} cannot be tried")
            return False
        self.found.tried.append(one.tensorflow)
        self.steps.advance(f"TensorFlow {one.tensorflow}")
        return True

    def _begin(self, shop: Workshop) -> None:
        _ = shop.toolchain
        shop.converted(self.found.case)

    def _look(self, base: Workshop, shop: Workshop) -> None:
        _ = shop.toolchain
        probe = self.trait.look(base, shop, self.found.case, self.limit)
        self.probes[shop.environment.tensorflow] = probe
        shop.close()  # what it made is kept; its memory is not

    def _explain(self, before: Workshop, first: Workshop) -> None:
        """Compare the versions before and after the change."""
        case = self.found.case
        if self.trait.name == "latency":
            self.found.words = self.probes[self.found.first].words
        else:
            self.found.words = self.trait.look(before, first, case, self.limit).words
        old, new = before.converted(case).structure, first.converted(case).structure
        if old is not None and new is not None:
            changes = graph_changes(old, new)
            self.found.meaning = ", ".join(map(in_words, changes))
            self.found.graph = tuple(map(str, changes)) or ("the same operators and types",)

    def _nothing_left(self) -> UsageError:
        reasons = "\n".join(f"  {one}: {why}" for one, why in self.found.skipped.items())
        return UsageError(f"fewer than two versions of TensorFlow can be tried:\n{reasons}")
