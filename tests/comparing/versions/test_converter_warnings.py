"""Warnings of two versions can be compared."""

from tinyml_bench.comparing.versions.converter_warnings import gathered, native_warnings


def test_the_same_warning_of_another_moment_is_the_same():
    """Times, addresses, temporary files and line numbers are taken out."""
    one = "2026-11-22 10:00:00.123456: W a/b/file.cc:12] Lost 0xdeadbeef01 in /tmp/tmpab12/model"
    two = "2026-11-23 11:11:11.654321: W c/file.cc:99] Lost 0xfeedbeef02 in /var/tmp/tmpxy/model"
    assert native_warnings([one]) == native_warnings([two])
    assert native_warnings([one, two]) == ("file.cc: Lost (address) in (temporary file)",)


def test_errors_and_warnings_stay_and_notes_go():
    """Levels decide; a line without one must tell of something amiss."""
    lines = [
        "2026-11-22 10:00:00.1: I file.cc:1] all is well",
        "I0000 00:00:1763.1  77 file.cc:1] all is well",
        "E0000 00:00:1763.1  77 file.cc:1] bad",
        "WARNING:absl:Optimization option OPTIMIZE_FOR_SIZE is deprecated",
        "fully_quantize: 0, inference_type: 6",
        "WARNING: All log messages before absl::InitializeLog() is called are written to STDERR",
        "UserWarning: Statistics for quantized inputs were expected",
    ]
    assert native_warnings(lines) == (
        "file.cc: bad",
        "WARNING:absl:Optimization option OPTIMIZE_FOR_SIZE is deprecated",
        "UserWarning: Statistics for quantized inputs were expected",
    )


def test_a_warning_without_end_is_cut():
    """A whole graph printed in one line stays readable."""
    (line,) = native_warnings(["error " + "x" * 5000])
    assert len(line) == 300


def test_one_warning_stands_for_those_of_other_classes():
    """Python itself says the same of each class of a syntax tree; others stay as they are."""
    lines = [f"Deprecated: {name}.__init__ got x" for name in ("Call", "Name", "arg")]
    assert gathered([*lines, "file.cc: bad", "file.cc: worse"]) == (
        "Deprecated: Call.__init__ got x (and of 2 other classes)",
        "file.cc: bad",
        "file.cc: worse",
    )
