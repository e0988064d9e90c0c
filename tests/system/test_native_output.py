"""Native output is caught, kept, and never lost or left redirected."""

from __future__ import annotations

import ctypes
import logging
import os
import subprocess
import sys
import threading
from importlib.util import find_spec
from pathlib import Path

import pytest

from tinyml_bench.errors import UsageError
from tinyml_bench.system import native_output
from tinyml_bench.system.native_output import silenced


@pytest.fixture(autouse=True)
def silencing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever runs the tests may have asked for chatter."""
    monkeypatch.delenv(native_output.VERBOSE, raising=False)


def run_python(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run `code` in a fresh interpreter and catch what reaches its terminal."""
    kept = {key: value for key, value in os.environ.items() if key != native_output.VERBOSE}
    return subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
        env={**kept, **environment},
    )


def test_native_writes_do_not_reach_either_descriptor(capfd: pytest.CaptureFixture[str]) -> None:
    """Bytes written past Python to 1 and 2 land in the log, those after the block do not."""
    with silenced() as caught:
        os.write(1, b"to stdout\n")
        os.write(2, b"to stderr\n")
    os.write(1, b"after\n")
    assert caught.tail() == ("to stdout", "to stderr")
    assert capfd.readouterr() == ("after\n", "")


@pytest.mark.parametrize(("wanted", "shown"), [("stdout", ("", "e")), ("stderr", ("o", ""))])
def test_one_descriptor_can_be_left_alone(
    capfd: pytest.CaptureFixture[str], wanted: str, shown: tuple[str, str]
) -> None:
    """Only the descriptor that was asked for is caught."""
    with silenced(**{"stdout": False, "stderr": False, wanted: True}):
        os.write(1, b"o")
        os.write(2, b"e")
    assert capfd.readouterr() == shown


def test_c_stdio_buffers_are_caught() -> None:
    """What C code left in its stdout buffer does not surface later."""
    out = run_python(
        "import ctypes; from tinyml_bench.system.native_output import silenced\n"
        "with silenced() as c: ctypes.CDLL(None).puts(b'from C')\n"
        "print(c.tail())"
    )
    assert out.stdout == "('from C',)\n"


def test_what_was_buffered_before_is_still_shown() -> None:
    """Text printed before the block and not yet flushed belongs to the terminal."""
    out = run_python(
        "from tinyml_bench.system.native_output import silenced\n"
        "print('before')\n"
        "with silenced(): print('inside')\n"
        "print('after')"
    )
    assert out.stdout == "before\nafter\n"


def test_it_works_under_capture_of_sys_only(capsys: pytest.CaptureFixture[str]) -> None:
    """Python's own streams, when replaced, stay replaced; only descriptors are caught."""
    with silenced() as caught:
        print("python")  # noqa: T201 - the point of the test
        os.write(1, b"native\n")
    assert caught.tail() == ("native",)
    assert capsys.readouterr().out == "python\n"


def test_the_text_survives_an_exception(capfd: pytest.CaptureFixture[str]) -> None:
    """After an exception the text is readable and the descriptors are back."""
    with pytest.raises(RuntimeError), silenced() as caught:  # noqa: PT012 - both lines matter
        os.write(2, b"last words\n")
        raise RuntimeError
    os.write(2, b"visible")
    assert caught.tail() == ("last words",)
    assert capfd.readouterr().err == "visible"


def test_the_text_is_readable_inside_the_block() -> None:
    """A failure handler need not leave the block to see what was written."""
    with silenced() as caught:
        os.write(2, b"so far\n")
        assert caught.tail() == ("so far",)


def test_blocks_nest(capfd: pytest.CaptureFixture[str]) -> None:
    """The inner block gives the descriptors back to the outer one."""
    with silenced() as outer:
        os.write(1, b"a\n")
        with silenced() as inner:
            os.write(1, b"b\n")
        os.write(1, b"c\n")
    assert (outer.tail(), inner.tail()) == (("a", "c"), ("b",))
    assert capfd.readouterr().out == ""


def test_blocks_of_threads_may_end_in_any_order(capfd: pytest.CaptureFixture[str]) -> None:
    """A block that ends before one begun later leaves nothing redirected, and nobody waits."""
    entered, leave = threading.Event(), threading.Event()

    def later() -> None:
        with silenced():
            entered.set()
            leave.wait(10)
            os.write(1, b"hidden")

    thread = threading.Thread(target=later)
    with silenced():
        thread.start()
        assert entered.wait(10)
    leave.set()
    thread.join(10)
    os.write(1, b"shown")
    assert capfd.readouterr().out == "shown"


def test_only_the_last_lines_are_given() -> None:
    """The tail is bounded, skips blank lines and stands bytes that are no UTF-8."""
    with silenced() as caught:
        os.write(2, b"one\n\ntwo\n\xff\n")
    assert caught.tail(2) == ("two", "\ufffd")
    assert caught.tail(0) == ()


def test_a_flood_is_cut_to_its_end() -> None:
    """Memory stays bounded however much is written."""
    with silenced() as caught:
        for _ in range(9):
            os.write(1, b"x" * 65536)
        os.write(1, b"\nend\n")
    assert caught.tail(1) == ("end",)
    assert len(caught.text) <= 256 * 1024


def test_a_log_file_is_appended_to(tmp_path: Path) -> None:
    """A named log keeps what it held, and the tail is of this block only."""
    log = tmp_path / "native.log"
    for text in (b"first\n", b"second\n"):
        with silenced(log=log) as caught:
            os.write(1, text)
    assert caught.tail() == ("second",)
    assert log.read_text(encoding="ascii") == "first\nsecond\n"


def test_closed_descriptors_stay_closed() -> None:
    """Without a standard output or error the block works and leaves both closed."""
    out = run_python(
        "import os\n"
        "from tinyml_bench.system.native_output import silenced\n"
        "saved = os.dup(1)\n"
        "os.close(0); os.close(1); os.close(2)\n"
        "with silenced() as c: os.write(1, b'x'); os.write(2, b'y')\n"
        "def closed(fd):\n"
        "    try: os.fstat(fd)\n"
        "    except OSError: return True\n"
        "    return False\n"
        "os.write(saved, repr((c.text, closed(1), closed(2))).encode())\n"
        "os._exit(0)"
    )
    assert out.stdout == "('xy', True, True)"


def test_no_descriptor_leaks() -> None:
    """A hundred blocks leave as many descriptors open as one."""
    with silenced():
        pass
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(100):
        with silenced():
            pass
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_verbose_catches_nothing(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With TINYML_BENCH_VERBOSE=1 native output passes through."""
    monkeypatch.setenv(native_output.VERBOSE, "1")
    with silenced() as caught:
        ctypes.CDLL(None).dprintf(2, b"shown")
    assert capfd.readouterr().err == "shown"
    assert caught.tail() == ()


def test_settings_of_the_user_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """A log level that is set already is not overruled."""
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "0")
    native_output.quiet_tensorflow()
    assert os.environ["TF_CPP_MIN_LOG_LEVEL"] == "0"


def test_tensorflow_is_turned_down(monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment and TensorFlow's logger are set to errors only, unless verbose."""
    # Set first, so that the variable is put back to what it was, set or not.
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "0")
    monkeypatch.delenv("TF_CPP_MIN_LOG_LEVEL")
    monkeypatch.setenv(native_output.VERBOSE, "1")
    native_output.quiet_tensorflow()
    assert "TF_CPP_MIN_LOG_LEVEL" not in os.environ
    monkeypatch.setenv(native_output.VERBOSE, "0")
    native_output.quiet_tensorflow()
    assert os.environ["TF_CPP_MIN_LOG_LEVEL"] == "3"
    assert logging.getLogger("tensorflow").level == logging.ERROR


@pytest.mark.tensorflow
@pytest.mark.slow
@pytest.mark.skipif(find_spec("tensorflow") is None, reason="TensorFlow is not installed")
def test_importing_tensorflow_prints_nothing() -> None:
    """The lines that no setting silences do not reach the terminal either."""
    code = (
        "from tinyml_bench.system.native_output import import_tensorflow;"
        "print(import_tensorflow().__name__)"
    )
    out = run_python(code)
    assert (out.stdout, out.stderr) == ("tensorflow\n", "")


def test_a_missing_tensorflow_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without TensorFlow the error names the extra to install."""

    def missing(name: str) -> None:
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    monkeypatch.delitem(sys.modules, "tensorflow", raising=False)
    monkeypatch.setattr(native_output.importlib, "import_module", missing)
    with pytest.raises(UsageError, match=r"pip install 'tinyml-bench\[tf\]'"):
        native_output.import_tensorflow()
