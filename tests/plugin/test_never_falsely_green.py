"""A run that judged nothing does not exit 0."""


def test_all_data_missing_exits_2(toy_project):
    """Skipping every case is not passing."""
    toy_project.write_baselines()
    for variant in ("tf", "float32", "int8"):
        toy_project.trouble(variant, "missing")
    outcome = toy_project.run()
    assert outcome.ret == 2
    outcome.stdout.fnmatch_lines(["*no case was judged*"])


def test_missing_data_of_a_case_asked_for_by_name_fails(toy_project):
    """Whoever names a case wants a verdict on it."""
    toy_project.write_baselines()
    toy_project.trouble("int8", "missing")
    outcome = toy_project.run("-k", "toy-net-int8")
    assert outcome.ret == 1
    outcome.stdout.fnmatch_lines(["*toy is in none of the places tried*"])


def test_nothing_selected_is_no_success(toy_project):
    """Pytest's own status for no tests is kept."""
    toy_project.write_baselines()
    assert toy_project.run("-k", "no-such-case").ret == 5


def test_skipping_every_test_from_outside_exits_2(toy_project):
    """A marker that skips everything does not turn the build green."""
    toy_project.write_baselines()
    toy_project.pytester.makepyfile(
        test_gates="""
        import pytest

        @pytest.mark.skip(reason="planted")
        def test_accuracy(tinyml_case):
            tinyml_case.must_hold("accuracy")
        """
    )
    assert toy_project.run().ret == 2


def test_tests_that_judge_nothing_exit_2(toy_project):
    """Asking for the fixture is not judging."""
    toy_project.write_baselines()
    toy_project.pytester.makepyfile(test_gates="def test_nothing(tinyml_case): pass")
    assert toy_project.run().ret == 2
