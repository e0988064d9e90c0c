"""The pytest plugin: options, the fixture ``tinyml_case``, and nothing else until it is used.

In a project that does not use the fixture this module adds options to ``--help`` and costs nothing:
whatever is heavier lies behind :func:`_hooks`.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Generator
from types import FunctionType
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tinyml_bench.suite.case_under_test import CaseUnderTest
    from tinyml_bench.suite.session import SessionHooks

_FIXTURE = "tinyml_case"
_HOOKS = "tinyml_bench_session"
_CHECKS = "tinyml_bench.checks"


@pytest.hookimpl(wrapper=True)
def pytest_load_initial_conftests() -> Generator[None, object, object]:
    """Refuse a wrong registration in a conftest in one line, as any other wrong setting."""
    try:
        return (yield)
    except Exception as error:
        from tinyml_bench.errors import TinymlError

        cause = getattr(error, "cause", None)  # pytest's own error holds it, and the file
        if not isinstance(cause, TinymlError):
            raise
        place = _place(cause, str(getattr(error, "path", "")))
        sys.stderr.write(f"tinyml-bench: {place}: {cause}\n")
        raise SystemExit(2) from None


def _place(error: BaseException, path: str) -> str:
    """Return the file, and its line that led to `error` where it is known."""
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if frame.filename == path]
    return f"{path}:{lines[-1]}" if lines else path


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options of the suite."""
    group = parser.getgroup("tinyml", "tinyml-bench: gates for compressed models")
    group.addoption(
        "--tinyml",
        action="store_true",
        help="run the suite's own tests of every registered case, beside those of the repository",
    )
    group.addoption(
        "--baseline-update-new", action="store_true", help="store baselines that are missing"
    )
    group.addoption(
        "--baseline-update",
        action="count",
        default=0,
        help="store baselines that are missing and rewrite those that changed, for the worse only "
        "with --reason; give it twice to rewrite more than 8 cases for the worse in one go",
    )
    group.addoption(
        "--reason",
        metavar="TEXT",
        help="why --baseline-update is to store worse values; kept in the baseline's history",
    )
    group.addoption(
        "--tinyml-baselines",
        metavar="DIR",
        help="folder of the baselines (default: 'baselines' in "
        "[tool.tinyml_bench] of pyproject.toml, else baselines/)",
    )
    group.addoption(
        "--tinyml-data",
        metavar="DIR",
        help="folder with datasets (default: $TINYML_BENCH_DATA, then the user cache, "
        "the system, a download)",
    )
    group.addoption(
        "--tinyml-profile",
        choices=("quick", "full"),
        default="quick",
        help="quick: what a fresh machine can run; full: every registered workload, where its data "
        "and weights are (default: quick)",
    )
    group.addoption(
        "--tinyml-samples",
        metavar="N",
        help="evaluate the first N test images in their fixed order; all: every one, though a rule "
        "says fewer or lets a case stop early (default: all but for such rules)",
    )
    group.addoption(
        "--tinyml-workers",
        type=int,
        metavar="N",
        help="worker processes (default: one a core, at most 4)",
    )
    group.addoption(
        "--tinyml-time-limit",
        type=float,
        default=600.0,
        metavar="SECONDS",
        help="after which a conversion or an evaluation hangs (default: 600)",
    )
    group.addoption(
        "--tinyml-no-cache",
        action="store_true",
        help="convert and evaluate anew, whatever earlier runs have kept",
    )
    group.addoption(
        "--tinyml-runtime",
        choices=("tf", "litert"),
        help="interpreter that evaluates and times the converted models: TensorFlow's own, or that "
        "of ai-edge-litert (default: tf where TensorFlow is installed, else litert)",
    )
    group.addoption(
        "--tinyml-kernels",
        choices=("xnnpack", "builtin", "reference"),
        default="xnnpack",
        help="its kernels: XNNPACK's where it has them, the optimized built-in ones, or the plain "
        "reference ones, which are slow (default: xnnpack)",
    )
    group.addoption(
        "--tinyml-threads",
        type=int,
        default=1,
        metavar="N",
        help="threads of the interpreter (default: 1)",
    )
    group.addoption(
        "--tinyml-device",
        choices=("auto", "on", "off"),
        default="auto",
        help="look at what a device would meet (TensorFlow Lite Micro, Ethos-U, kernel parity): "
        "auto: with the extras 'micro' and 'npu' that are installed; on: both are needed; off: "
        "not at all (default: auto)",
    )
    group.addoption(
        "--tinyml-npu",
        metavar="NAME",
        help="Ethos-U to estimate integer cases for (default: the board's, else ethos-u55-128)",
    )
    group.addoption(
        "--tinyml-board",
        metavar="NAME",
        help="say of each case whether it fits this board, and fail where it no longer does",
    )
    group.addoption(
        "--tinyml-against",
        metavar="RUN",
        help="say in a failure which images are new against a saved run, by its name or file",
    )
    group.addoption(
        "--tinyml-instructions",
        action="store_true",
        help="count the instructions of an inference (needs valgrind and ai-edge-litert)",
    )
    group.addoption(
        "--tinyml-keep-models",
        action="store_true",
        help="keep the converted models beside the saved run, for tinyml-bench ab",
    )
    group.addoption("--tinyml-paper", action="store_true",
                    help="show the published study's figures beside ours")  # fmt: skip


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Give every test that asks for the fixture one run for each registered case."""
    if _FIXTURE in metafunc.fixturenames:
        _hooks(metafunc.config).parametrize(metafunc)


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Collect the suite's own tests after those of the repository."""
    report = yield
    if isinstance(collector, pytest.Session) and collector.config.option.tinyml:
        from tinyml_bench import checks
        from tinyml_bench.suite import collection

        report.result.append(collection.node(collector, checks))
    return report


def pytest_pycollect_makeitem(collector: pytest.Collector, obj: Any) -> list[Any] | None:
    """Leave out those of the suite's tests that this project, or this run, has no use for."""
    if not isinstance(obj, FunctionType) or obj.__module__ != _CHECKS:
        return None
    return None if _hooks(collector.config).concerns(obj) else []


@pytest.fixture
def tinyml_case(request: pytest.FixtureRequest) -> CaseUnderTest:
    """One case: a model on a dataset in a variant, measured and ready to be judged."""
    return _hooks(request.config).case_under_test(request)


def pytest_configure(config: pytest.Config) -> None:
    """Listen for reports of tests that ran elsewhere."""
    config.pluginmanager.register(_Listener(config))


@pytest.hookimpl(tryfirst=True)  # pytest-xdist's own lets no other one run
def pytest_collection(session: pytest.Session) -> None:
    """Refuse a wrong option in one line, before anything is collected."""
    option = session.config.option
    chosen = option.tinyml_runtime or option.tinyml_threads != 1
    if option.tinyml or option.tinyml_board or option.tinyml_against or chosen:
        _hooks(session.config)
    elif getattr(option, "numprocesses", None) and _has_settings(session.config):
        # A worker of pytest-xdist that ends cannot say why: what is wrong is found before it
        # starts. Whether any test is about a case is not known yet, so nothing is registered.
        _make_hooks(session.config)


class _Listener:
    """Takes in what a test found; the reports of pytest-xdist's workers come by here too."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        found = getattr(report, "tinyml", None)
        if found is not None:
            _hooks(self.config).collect(found)


def _has_settings(config: pytest.Config) -> bool:
    path = config.rootpath / "pyproject.toml"
    return path.is_file() and "tinyml_bench" in path.read_text(encoding="utf-8", errors="replace")


def _hooks(config: pytest.Config) -> SessionHooks:
    """Return the hooks of this session, registering them on first use."""
    plugin: SessionHooks | None = config.pluginmanager.get_plugin(_HOOKS)
    if plugin is None:
        plugin = _make_hooks(config)
        config.pluginmanager.register(plugin, _HOOKS)
    return plugin


def _make_hooks(config: pytest.Config) -> SessionHooks:
    from tinyml_bench.suite.session import SessionHooks

    try:
        from tinyml_bench.study import goals, paper
    except ModuleNotFoundError:  # without the study's folder there is nothing to set beside ours
        return SessionHooks(config)
    return SessionHooks(config, paper.layout(beside=config.option.tinyml_paper), goals.missed)
