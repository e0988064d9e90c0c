"""Progress is a line a step in a log, and nothing where nobody wants to see it."""

from __future__ import annotations

import io

from rich.console import Console

from tinyml_bench.system.progress import StepProgress, track


def shown(**options):
    """Return what two steps leave in a log."""
    stream = io.StringIO()
    with StepProgress("comparing", 2, Console(file=stream), **options) as steps:
        steps.say("old: a-b-int8")
        steps.advance("old: a-b-int8")
        steps.advance("new: [a]", "nothing more")
    return stream.getvalue()


def test_a_log_has_a_line_a_step():
    """As it is, brackets included; what is under way besides is for a bar only."""
    assert shown() == "  old: a-b-int8\n  1/2 old: a-b-int8\n  2/2 new: [a]\n"


def test_who_wants_nothing_gets_nothing():
    """Neither bar nor lines."""
    assert shown(quiet=True) == ""


def test_what_is_tracked_comes_in_its_order_and_draws_nothing_in_a_log():
    """All of it."""
    stream = io.StringIO()
    assert list(track("abc", 3, "letters", Console(file=stream))) == ["a", "b", "c"]
    assert stream.getvalue() == ""
