"""What is wrong with a registration is said in one line, and the run ends with status 2."""

from __future__ import annotations

import pytest

WRONG = 'import tinyml_bench\n\ntinyml_bench.register("digits", model="net.tflite", test="t.npz")\n'


def test_a_wrong_registration_names_its_file_line_and_argument(pytester):
    """No traceback: the line is in the reader's own file."""
    conftest = pytester.makeconftest(WRONG)
    outcome = pytester.runpytest_subprocess("--tinyml")
    assert outcome.ret == 2
    (line,) = [one for one in outcome.stderr.lines if one]
    assert line.startswith(f"tinyml-bench: {conftest}:3: register('digits'): expected <dataset>-")


@pytest.mark.parametrize("arguments", [("--tinyml",), ()])
def test_another_error_of_a_conftest_is_pytests_own(pytester, arguments):
    """It is shown as ever, with its traceback."""
    pytester.makeconftest("1 / 0\n")
    outcome = pytester.runpytest_subprocess(*arguments)
    assert outcome.ret == 4
    outcome.stderr.fnmatch_lines(["*ZeroDivisionError*"])
