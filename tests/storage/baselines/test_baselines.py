"""Baselines survive the disk, are refused where broken, and rewritten only for a cause."""

from __future__ import annotations

import base64
import errno
import json
import math
import os
import re
import subprocess
import sys
import zlib
from dataclasses import replace
from pathlib import Path

import pytest
from making import (
    FACTS,
    make_baseline,
    make_case,
    make_finding,
    make_measurement,
    make_predictions,
    make_provenance,
)

from tinyml_bench.errors import BaselineError
from tinyml_bench.metrics.early_stopping import Stopping
from tinyml_bench.records.deployment import Deployment
from tinyml_bench.records.devices.micro import Micro
from tinyml_bench.records.devices.npu import Npu
from tinyml_bench.records.devices.parity import Difference, Parity
from tinyml_bench.records.finding import Verdict
from tinyml_bench.records.measurement import Crash
from tinyml_bench.records.predictions import pack
from tinyml_bench.records.structure import Operator, Structure
from tinyml_bench.storage import baselines
from tinyml_bench.storage.baselines import history, schema

CASE = make_case()
TEXT = baselines.render(make_baseline())


def store(folder: Path, text: str = TEXT) -> Path:
    """Put `text` where the baseline of the test's case belongs, long ago."""
    path = baselines.path_of(folder, CASE)
    path.parent.mkdir(parents=True)
    path.write_text(text, encoding="utf-8")
    os.utime(path, (1, 1))
    return path


def edited(change) -> str:
    """Return the text of the baseline after `change` was applied to its JSON document."""
    document = json.loads(TEXT)
    change(document)
    return json.dumps(document, indent=1) + "\n"


def line_of(text: str, part: str) -> int:
    """Return the number of the first line of `text` with `part`, from one."""
    return next(n for n, line in enumerate(text.splitlines(), 1) if part in line)


def refused(text: str) -> str:
    """Return the message with which `text` is refused."""
    with pytest.raises(BaselineError) as caught:
        baselines.parse(text, CASE, "tiny-cnn/int8.json")
    return str(caught.value)


# -- reading and writing --------------------------------------------------------------------------


def test_a_baseline_has_its_place_below_the_folder(tmp_path):
    """One folder a workload, one file a variant."""
    assert baselines.path_of(tmp_path, CASE) == tmp_path / "tiny-cnn" / "int8.json"


def test_a_baseline_comes_back_as_it_was(tmp_path):
    """Facts, provenance and every prediction; the source is the file."""
    path = store(tmp_path)
    old, new = make_baseline(), baselines.read(tmp_path, CASE)
    assert (new.case, new.facts, new.provenance) == (old.case, old.facts, old.provenance)
    assert new.predictions.predicted.tolist() == old.predictions.predicted.tolist()
    assert new.predictions.correct.tolist() == old.predictions.correct.tolist()
    assert new.source == str(path)


@pytest.mark.parametrize("samples", [1, 7, 1000])
def test_rendering_what_was_parsed_gives_the_same_bytes(samples):
    """Else an update without change would not be an empty diff."""
    odd = make_baseline(predictions=make_predictions(samples, wrong=1), latency_ratio=1 / 3)
    text = baselines.render(odd)
    assert baselines.render(baselines.parse(text, CASE, "")) == text


def test_the_text_holds_one_fact_a_line_in_a_fixed_order():
    """A diff shows the fact that changed, whatever the order of measuring."""
    shuffled = replace(make_baseline(), facts=dict(reversed(FACTS.items())))
    assert baselines.render(shuffled) == TEXT
    lines = [line for line in TEXT.splitlines() if any(f'"{name}":' in line for name in FACTS)]
    assert len(lines) == len(FACTS)
    assert TEXT.endswith("}\n")


def test_a_processor_s_name_is_stored_as_it_is_read():
    """Signs beyond ASCII are not escaped."""
    named = make_baseline(provenance={"cpu": "Intel® Core™"})
    text = baselines.render(named)
    assert "Intel® Core™" in text
    assert baselines.parse(text, CASE, "").provenance == named.provenance


def test_a_case_without_file_has_no_baseline(tmp_path):
    """Neither an empty nor an absent folder is an error."""
    assert baselines.read(tmp_path, CASE) is None
    assert baselines.read(tmp_path / "nowhere", CASE) is None


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", None], ids=["not UTF-8", "folder"])
def test_a_file_that_cannot_be_read_is_no_missing_baseline(tmp_path, content):
    """The message names it and says what to do."""
    path = baselines.path_of(tmp_path, CASE)
    path.parent.mkdir()
    path.mkdir() if content is None else path.write_bytes(content)
    with pytest.raises(BaselineError, match=r"cannot be read.*restore it with git") as caught:
        baselines.read(tmp_path, CASE)
    assert str(path) in str(caught.value)


def test_stored_cases_are_listed_in_a_stable_order(tmp_path):
    """Id and file of each; what is no baseline file is not listed."""
    for name in ("b-b/int8.json", "a-b/tf.json", "a-b/int8.json", "a-b/notes.txt", "top.json"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert baselines.stored_cases(tmp_path) == [
        ("a-b-int8", tmp_path / "a-b" / "int8.json"),
        ("a-b-tf", tmp_path / "a-b" / "tf.json"),
        ("b-b-int8", tmp_path / "b-b" / "int8.json"),
    ]
    assert baselines.stored_cases(tmp_path / "nowhere") == []


# -- broken files ---------------------------------------------------------------------------------


@pytest.mark.parametrize("marker", ["<<<<<<< HEAD", "=======", ">>>>>>> theirs", "||||||| base"])
def test_a_merge_marker_is_named_with_its_line(marker):
    """A conflict that was committed is said to be one."""
    lines = TEXT.splitlines()
    lines.insert(5, marker)
    message = refused("\n".join(lines))
    assert message.startswith("tiny-cnn/int8.json, line 6: a merge conflict was left in the file")
    assert "restore it with git" in message


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", 1),
        ("not json", 1),
        (TEXT[:200], TEXT[:200].count("\n") + 1),
        (TEXT.replace('"facts": {', '"facts": {,'), line_of(TEXT, '"facts"')),
        (TEXT + "{}", TEXT.count("\n") + 1),
        ("[" * 200_000, 1),
        ('{"format": ' + "1" * 100_000 + "}", 1),
    ],
    ids=["empty", "text", "cut", "comma", "two documents", "deep", "long number"],
)
def test_what_is_not_json_is_named_with_its_line(text, line):
    """Whatever the parser stumbles over."""
    message = refused(text)
    assert message.startswith(f"tiny-cnn/int8.json, line {line}: ")
    assert "restore it with git" in message


@pytest.mark.parametrize("text", ["[]", "1", "null", '"text"'])
def test_json_that_is_no_object_is_refused(text):
    """It was never a baseline."""
    assert "line 1: expected a JSON object" in refused(text)


@pytest.mark.parametrize("version", [0, -1, 2, 99])
def test_an_unknown_format_is_refused_by_its_number(version):
    """The message says which formats are read."""
    text = edited(lambda document: document.update(format=version))
    message = refused(text)
    assert f"line {line_of(text, 'format')}: has format {version}, " in message
    assert "reads 1 to 1; a newer one may read it" in message


def test_an_older_format_is_upgraded_step_by_step(monkeypatch):
    """Each step has a named function, and a reader applies as many as it takes."""

    def from_minus_1(document):
        return {**document, "format": 0, "provenance": document["origin"]}

    def from_0(document):
        return {**document, "format": 1, "case": str(CASE)}

    monkeypatch.setattr(schema, "_UPGRADES", {-1: from_minus_1, 0: from_0})
    document = json.loads(TEXT)
    document.update(format=-1, origin=document.pop("provenance"), case="old")
    upgraded = baselines.parse(json.dumps(document), CASE, "")
    assert baselines.render(upgraded) == TEXT


PATHS = [
    ("format",),
    ("case",),
    ("facts",),
    ("provenance",),
    ("provenance", "toolchain"),
    ("provenance", "runtime"),
    ("provenance", "cpu"),
    ("provenance", "dataset_sha256"),
    ("provenance", "checkpoint_sha256"),
    ("provenance", "model_sha256"),
    ("provenance", "scores_sha256"),
    ("predictions",),
    ("predictions", "samples"),
    ("predictions", "predicted"),
    ("predictions", "labels"),
]
STRUCTURE = Structure(
    ("int8",), ("int8",), (Operator(0, "CONV_2D", "int8", "conv", "int8", "per-channel", 9, 99),)
)
EVERY_KEY = pytest.mark.parametrize("path", PATHS, ids=".".join)


def table_at(document, path):
    """Return the table that holds the last key of `path`."""
    for key in path[:-1]:
        document = document[key]
    return document


@EVERY_KEY
def test_a_missing_key_is_named(path):
    """Every key of the format is needed."""
    message = refused(edited(lambda document: table_at(document, path).pop(path[-1])))
    assert f"lacks '{path[-1]}'" in message


def test_a_structure_comes_back_as_it_was():
    """Operator by operator, and where there is none, as none."""
    text = baselines.render(replace(make_baseline(), structure=STRUCTURE))
    assert baselines.parse(text, CASE, "").structure == STRUCTURE
    assert baselines.parse(TEXT, CASE, "").structure is None


@pytest.mark.parametrize("change", [lambda d: d.pop("structure"), lambda d: d.update(structure=1)])
def test_a_structure_is_not_taken_out_by_hand(change):
    """The gate on structure would else be silently off."""
    assert "'structure'" in refused(edited(change))


def test_a_damaged_structure_is_named_with_its_line():
    """What is wrong, and where."""
    text = edited(lambda document: document.update(structure={"inputs": []}))
    assert f"line {line_of(text, 'structure')}: 'structure' lacks 'outputs'" in refused(text)


@EVERY_KEY
@pytest.mark.parametrize("value", [None, True, 1.5, []], ids=str)
def test_a_value_of_the_wrong_type_is_named_with_its_line(path, value):
    """With what came and what was expected; true is no number."""
    text = edited(lambda document: table_at(document, path).update({path[-1]: value}))
    message = refused(text)
    line = line_of(text, f'"{path[-1]}"')
    assert f"line {line}: '{path[-1]}' is {value!r}, expected " in message


@pytest.mark.parametrize("value", ["0.9", None, True, [0.9], {}], ids=str)
def test_a_fact_is_a_number(value):
    """A quoted number is none."""
    text = edited(lambda document: document["facts"].update(size_bytes=value))
    assert f"line {line_of(text, 'size_bytes')}: 'size_bytes' is " in refused(text)


@pytest.mark.parametrize("value", ["NaN", "Infinity", "-Infinity", "1e999", "-1e999", "9" * 400])
@pytest.mark.parametrize("name", FACTS)
def test_a_fact_is_finite(name, value):
    """An endless size would be a limit that nothing exceeds."""
    text = re.sub(rf'"{name}": [^,\n]+', f'"{name}": {value}', TEXT, count=1)
    assert f"line {line_of(text, name)}: " in refused(text)


def test_an_unknown_fact_is_refused():
    """A misspelled name would else be a metric that is missing."""
    text = edited(lambda document: document["facts"].update(acuracy=0.9))
    assert f"line {line_of(text, 'acuracy')}: has an unknown fact 'acuracy'" in refused(text)


def test_a_toolchain_is_text():
    """A version number that lost its quotes is refused."""
    text = edited(lambda document: document["provenance"]["toolchain"].update(python=3.11))
    assert f"line {line_of(text, 'python')}: 'python' is 3.11, expected str" in refused(text)


def test_a_file_of_another_case_is_refused():
    """A file that was copied would else gate the wrong model."""
    text = edited(lambda document: document.update(case="tiny-cnn-int16x8"))
    message = refused(text)
    assert "line 3: holds case 'tiny-cnn-int16x8', expected 'tiny-cnn-int8'" in message


@pytest.mark.parametrize("accuracy", [0.8999, 0.91, 0, 1])
def test_an_accuracy_edited_by_hand_is_refused(accuracy):
    """The stored predictions tell what it was."""
    text = edited(lambda document: document["facts"].update(accuracy=accuracy))
    message = refused(text)
    assert f"line {line_of(text, 'accuracy')}: states accuracy {accuracy} " in message
    assert "accuracy 0.9: it was edited by hand" in message


@pytest.mark.parametrize("key", ["predicted", "labels"])
@pytest.mark.parametrize("damage", ["AAAA", "no base64!", "é"])
def test_damaged_predictions_are_named_with_their_line(key, damage):
    """Which of the two, and what is wrong."""
    text = edited(lambda document: document["predictions"].update({key: damage}))
    assert f"line {line_of(text, key)}: '{key}' is damaged" in refused(text)


@pytest.mark.parametrize("samples", [1, 999, 1001])
def test_a_wrong_number_of_images_is_refused(samples):
    """What is held must be what is stated."""
    text = edited(lambda document: document["predictions"].update(samples=samples))
    assert f"line {line_of(text, 'predicted')}: 'predicted' holds " in refused(text)


@pytest.mark.parametrize("samples", [-1, 0, 10**8 + 1, 10**30])
def test_an_impossible_number_of_images_is_refused(samples):
    """No image is no evaluation, and for too many no memory would be enough."""
    text = edited(lambda document: document["predictions"].update(samples=samples))
    assert f"line {line_of(text, 'samples')}: states {samples} images" in refused(text)


@pytest.mark.parametrize("key", ["predicted", "labels"])
def test_a_stream_that_would_fill_the_memory_is_refused(key):
    """Fifty megabytes of zeros are not unpacked for a thousand images."""
    bomb = base64.b64encode(zlib.compress(bytes(50_000_000), 9)).decode()
    text = edited(lambda document: document["predictions"].update({key: bomb}))
    assert f"'{key}' holds more than " in refused(text)


# -- from a measurement ---------------------------------------------------------------------------


def test_only_what_means_something_elsewhere_is_stored():
    """Absolute times and memory are reported, never stored."""
    measured = make_measurement(latency_ns=1e6, split_seconds=3.5, peak_memory_bytes=1e7)
    assert baselines.from_measurement(measured).facts == FACTS


@pytest.mark.parametrize("missing", ["provenance", "predictions"])
def test_a_measurement_without_predictions_or_place_cannot_be_stored(missing):
    """There is nothing to compare with later."""
    with pytest.raises(BaselineError, match="tiny-cnn-int8: nothing was measured"):
        baselines.from_measurement(replace(make_measurement(), **{missing: None}))


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_figure_that_is_not_finite_cannot_be_stored(tmp_path, value):
    """The update says so and writes nothing."""
    with pytest.raises(BaselineError, match="tiny-cnn-int8: latency_ratio is"):
        baselines.update(tmp_path, make_measurement(latency_ratio=value), [], rewrite=True)
    assert list(tmp_path.iterdir()) == []


# -- updating -------------------------------------------------------------------------------------


@pytest.mark.parametrize("rewrite", [True, False])
def test_a_missing_baseline_is_created(tmp_path, rewrite):
    """With all its facts, and what it holds is what was measured."""
    change = baselines.update(tmp_path, make_measurement(), [], rewrite=rewrite)
    path = tmp_path / "tiny-cnn" / "int8.json"
    assert (change.path, change.created, change.flips) == (path, True, 0)
    assert set(change.facts) == {(name, None, value) for name, value in FACTS.items()}
    assert baselines.render(baselines.read(tmp_path, CASE)) == TEXT
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("rewrite", [True, False])
def test_an_update_without_change_touches_nothing(tmp_path, rewrite):
    """Neither the bytes nor the time of the file."""
    path = store(tmp_path)
    assert baselines.update(tmp_path, make_measurement(), [], rewrite=rewrite) is None
    assert path.read_text() == TEXT
    assert path.stat().st_mtime == 1


def test_a_newer_toolchain_alone_is_no_change(tmp_path):
    """Every machine would else rewrite every file."""
    path = store(tmp_path)
    newer = make_measurement(provenance={"toolchain": {"python": "3.13.0"}})
    assert baselines.update(tmp_path, newer, [], rewrite=True) is None
    assert path.stat().st_mtime == 1


def test_rewriting_lists_old_and_new(tmp_path):
    """Each fact that changed, how many predictions did, and the new place."""
    path = store(tmp_path)
    newer = make_measurement(
        predictions=make_predictions(wrong=120),
        size_bytes=150_000,
        provenance={"toolchain": {"python": "3.13.0"}},
    )
    change = baselines.update(tmp_path, newer, [], rewrite=True)
    assert (change.path, change.created, change.flips) == (path, False, 20)
    assert {("accuracy", 0.9, 0.88), ("size_bytes", 200_000, 150_000)} <= {*change.facts}
    assert baselines.read(tmp_path, CASE).provenance.toolchain == {"python": "3.13.0"}


def test_a_fact_that_is_gone_is_dropped_on_rewriting(tmp_path):
    """It is listed with what it was."""
    store(tmp_path)
    change = baselines.update(tmp_path, make_measurement(without=("agreement",)), [], rewrite=True)
    assert change.facts == (("agreement", 0.97, None),)
    assert "agreement" not in baselines.read(tmp_path, CASE).facts


def test_flipped_predictions_are_a_change_even_at_one_accuracy(tmp_path):
    """The stored labels are compared image by image later."""
    store(tmp_path)
    shifted = make_measurement(predictions=make_predictions(first=10))
    change = baselines.update(tmp_path, shifted, [], rewrite=True)
    assert (change.facts, change.flips) == ((), 20)


def test_the_same_figures_on_other_images_are_a_change(tmp_path):
    """Else the case would stay incomparable after the update that is to settle it."""
    store(tmp_path)
    moved = make_measurement(provenance={"dataset_sha256": "e" * 64})
    assert baselines.update(tmp_path, moved, [], rewrite=True).facts == ()
    assert baselines.read(tmp_path, CASE).provenance.dataset_sha256 == "e" * 64
    assert baselines.update(tmp_path, moved, [], rewrite=True) is None


def test_without_rewriting_a_changed_fact_stays(tmp_path):
    """--baseline-update-new hides no regression."""
    path = store(tmp_path)
    worse = make_measurement(predictions=make_predictions(wrong=500), size_bytes=1e9)
    assert baselines.update(tmp_path, worse, [], rewrite=False) is None
    assert path.stat().st_mtime == 1


def test_without_rewriting_a_missing_fact_is_added(tmp_path):
    """The others stay, changed or not."""
    store(tmp_path, baselines.render(make_baseline(without=("latency_ratio",))))
    newer = make_measurement(latency_ratio=0.6, size_bytes=1e9)
    change = baselines.update(tmp_path, newer, [], rewrite=False)
    assert change.facts == (("latency_ratio", None, 0.6),)
    assert baselines.read(tmp_path, CASE).facts == {**FACTS, "latency_ratio": 0.6}


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("latency_ratio", {"provenance": {"cpu": "another"}}),
        ("latency_ratio", {"provenance": {"runtime": "another"}}),
        ("agreement", {"provenance": {"dataset_sha256": "e" * 64}}),
        ("agreement", {"provenance": {"runtime": "another"}}),
        ("size_bytes", {"provenance": {"checkpoint_sha256": "f" * 64}}),
        ("agreement", {"predictions": make_predictions(300)}),
        ("agreement", {"predictions": make_predictions(2000)}),
    ],
)
def test_a_fact_from_elsewhere_is_not_added(tmp_path, name, changes):
    """A file states one place for all its facts; the message names the fact and the way out."""
    path = store(tmp_path, baselines.render(make_baseline(without=(name,))))
    with pytest.raises(
        BaselineError, match=rf"{name} cannot be added.*--baseline-update$"
    ) as error:
        baselines.update(tmp_path, make_measurement(**changes), [], rewrite=False)
    assert str(path) in str(error.value)
    assert path.stat().st_mtime == 1


def test_a_size_is_added_from_another_processor_or_fewer_images(tmp_path):
    """Neither decides it."""
    store(tmp_path, baselines.render(make_baseline(without=("gzip_bytes",))))
    newer = make_measurement(predictions=make_predictions(300), provenance={"cpu": "another"})
    change = baselines.update(tmp_path, newer, [], rewrite=False)
    assert change.facts == (("gzip_bytes", None, FACTS["gzip_bytes"]),)


@pytest.mark.parametrize("verdict", [Verdict.MATCHED, Verdict.INCOMPARABLE, None])
def test_a_noisy_figure_that_still_describes_the_case_is_kept(tmp_path, verdict):
    """A ratio that moved within its tolerance, or was not judged, makes no diff."""
    path = store(tmp_path)
    findings = [make_finding("latency_ratio", verdict)] if verdict else []
    moved = make_measurement(latency_ratio=0.55)
    assert baselines.update(tmp_path, moved, findings, rewrite=True) is None
    assert path.stat().st_mtime == 1


def test_a_noisy_figure_is_kept_where_timing_is_disabled(tmp_path):
    """A run without timing forgets no latency."""
    store(tmp_path)
    untimed = make_measurement(without=("latency_ratio",), size_bytes=1000)
    change = baselines.update(tmp_path, untimed, [], rewrite=True)
    assert change.facts == (("size_bytes", 200_000, 1000),)
    assert baselines.read(tmp_path, CASE).facts["latency_ratio"] == 0.5


@pytest.mark.parametrize("verdict", [Verdict.REGRESSED, Verdict.IMPROVED])
def test_a_noisy_figure_that_no_longer_holds_is_replaced(tmp_path, verdict):
    """For the worse or for the better."""
    store(tmp_path)
    moved = make_measurement(latency_ratio=1.5)
    judged = [make_finding("latency_ratio", verdict)]
    change = baselines.update(tmp_path, moved, judged, rewrite=True, reason="a slower kernel")
    assert change.facts == (("latency_ratio", 0.5, 1.5),)


def test_a_quiet_figure_is_replaced_whatever_its_verdict(tmp_path):
    """A size within its tolerance is still not the size."""
    store(tmp_path)
    matched = [make_finding("size_bytes", Verdict.MATCHED)]
    change = baselines.update(tmp_path, make_measurement(size_bytes=200_001), matched, rewrite=True)
    assert change.facts == (("size_bytes", 200_000, 200_001),)


@pytest.mark.parametrize("field", ["cpu", "runtime"])
def test_a_noisy_figure_from_another_place_is_replaced(tmp_path, field):
    """The file names the place of its latency, so the two go together."""
    store(tmp_path)
    moved = make_measurement(latency_ratio=0.55, provenance={field: "another"})
    change = baselines.update(tmp_path, moved, [], rewrite=True, reason="it moved")
    assert change.facts == (("latency_ratio", 0.5, 0.55),)
    assert getattr(baselines.read(tmp_path, CASE).provenance, field) == "another"


def test_a_noisy_figure_from_another_place_is_dropped_where_timing_is_disabled(tmp_path):
    """A ratio of one processor must not be said to be of another."""
    store(tmp_path)
    untimed = make_measurement(without=("latency_ratio",), provenance={"cpu": "another"})
    change = baselines.update(tmp_path, untimed, [], rewrite=True)
    assert change.facts == (("latency_ratio", 0.5, None),)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("tf xnnpack 1 thread", "litert xnnpack 1 thread"),
        ("keras 2 threads", "keras 2 threads, timed against tf xnnpack 2 threads"),
    ],
)
def test_another_runtime_does_not_replace_a_baseline_without_a_reason(tmp_path, old, new):
    """Not even where nothing else changed; the message names both."""
    path = store(tmp_path, baselines.render(make_baseline(provenance={"runtime": old})))
    moved = make_measurement(provenance={"runtime": new})
    with pytest.raises(BaselineError, match=f"not updated, .* {old}, this run with {new}; .*why"):
        baselines.update(tmp_path, moved, [], rewrite=True)
    assert path.stat().st_mtime == 1
    assert baselines.update(tmp_path, moved, [], rewrite=True, reason="we moved") is not None
    assert baselines.read(tmp_path, CASE).provenance.runtime == new


def test_keras_on_other_cores_needs_no_reason(tmp_path):
    """Nobody chose how many the machine has."""
    store(tmp_path, baselines.render(make_baseline(provenance={"runtime": "keras 2 threads"})))
    moved = make_measurement(provenance={"runtime": "keras 8 threads"})
    assert baselines.update(tmp_path, moved, [], rewrite=True) is not None


def test_fewer_images_do_not_replace_more(tmp_path):
    """A quick run must not shrink the baseline; the message names both numbers and the option."""
    path = store(tmp_path)
    fewer = make_measurement(predictions=make_predictions(300))
    with pytest.raises(BaselineError, match=r"holds 1000 images.* 300; .*--tinyml-samples"):
        baselines.update(tmp_path, fewer, [], rewrite=True)
    assert path.stat().st_mtime == 1


def test_more_images_replace_fewer(tmp_path):
    """A full run may complete what a quick one began."""
    few = make_baseline(predictions=make_predictions(300, wrong=30))
    store(tmp_path, baselines.render(few))
    assert baselines.update(tmp_path, make_measurement(), [], rewrite=True) is not None
    assert baselines.read(tmp_path, CASE).predictions.samples == 1000


@pytest.mark.parametrize("rewrite", [True, False])
@pytest.mark.parametrize(
    "measurement",
    [
        make_measurement(crash=Crash("evaluation", "killed by SIGABRT")),
        replace(make_measurement(), predictions=None),
    ],
    ids=["crashed", "without predictions"],
)
@pytest.mark.parametrize("stored", [True, False])
def test_what_was_not_measured_changes_nothing(tmp_path, measurement, rewrite, stored):
    """A crash neither creates a baseline nor deletes one."""
    if stored:
        store(tmp_path)
    assert baselines.update(tmp_path, measurement, [], rewrite=rewrite) is None
    assert len(list(tmp_path.rglob("*.json"))) == stored


@pytest.mark.parametrize("rewrite", [True, False])
def test_a_damaged_baseline_is_not_overwritten(tmp_path, rewrite):
    """Whoever broke it has to say what is to become of it."""
    path = store(tmp_path, "<<<<<<< HEAD\n" + TEXT)
    with pytest.raises(BaselineError, match="line 1: a merge conflict"):
        baselines.update(tmp_path, make_measurement(), [], rewrite=rewrite)
    assert path.read_text().startswith("<<<<<<< HEAD")


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.EROFS, "Read-only file system"),
        PermissionError(errno.EACCES, "Permission denied"),
        OSError(errno.ENOSPC, "No space left on device"),
    ],
    ids=lambda error: error.strerror,
)
@pytest.mark.parametrize("stored", [True, False])
def test_a_folder_that_cannot_be_written_is_a_clear_error(tmp_path, monkeypatch, error, stored):
    """The file, the reason and the option; the old content stays and no other file is left."""
    if stored:
        store(tmp_path)

    def fail(*_):
        raise error

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(BaselineError, match=f"{error.strerror}.*--tinyml-baselines") as caught:
        baselines.update(tmp_path, make_measurement(size_bytes=1), [], rewrite=True)
    path = baselines.path_of(tmp_path, CASE)
    assert str(path) in str(caught.value)
    assert [entry for entry in tmp_path.rglob("*") if entry.is_file()] == [path] * stored
    assert not stored or path.read_text() == TEXT


def test_a_folder_that_is_a_file_is_a_clear_error(tmp_path):
    """Without any injected fault."""
    (tmp_path / "baselines").write_text("")
    with pytest.raises(BaselineError, match="baselines"):
        baselines.update(tmp_path / "baselines", make_measurement(), [], rewrite=True)


def test_what_was_created_matches_in_the_next_run(tmp_path):
    """Through the disk and back nothing is lost that a gate looks at."""
    baselines.update(tmp_path, make_measurement(), [], rewrite=False)
    stored = baselines.read(tmp_path, CASE)
    assert stored.facts == FACTS
    assert stored.provenance == make_provenance()
    assert stored.predictions.flips(make_predictions()).size == 0
    assert len(pack(stored.predictions.predicted)) < 1000


# -- what a device meets --------------------------------------------------------------------------

ARENA = {"arena_bytes": 50_000, "arena_activation_bytes": 40_000, "arena_persistent_bytes": 10_000}
CYCLES = {"npu_cycles": 1_000_000, "npu_sram_bytes": 60_000, "npu_flash_bytes": 200_000}
MICRO = Micro(images=8, version="0.1")
NPU = Npu("ethos-u55-128", "", ("SOFTMAX (softmax)",), 9, 5e8, "4.2")
ON_CPU, ON_MICRO = Difference("xnnpack", "reference", 0, 1), Difference("reference", "micro", 0, 0)
PARITY = Parity(8, (ON_CPU, ON_MICRO))
WITHOUT_MICRO = Parity(8, (ON_CPU,), {"micro": "tflite-micro is not installed"})
FULL = Deployment(MICRO, NPU, PARITY)
DEVICE_FACTS = {**ARENA, **CYCLES}


def deployed(deployment=FULL, facts=DEVICE_FACTS, **changes):
    """Make a measurement that met a device."""
    return replace(make_measurement(**facts, **changes), deployment=deployment)


def store_deployed(folder, deployment=FULL, facts=DEVICE_FACTS):
    """Store the baseline of such a measurement."""
    baseline = replace(make_baseline(**facts), deployment=deployment)
    return store(folder, baselines.render(baseline))


@pytest.mark.parametrize("deployment", [FULL, Deployment(npu=NPU), Deployment(parity=PARITY)])
def test_a_deployment_comes_back_as_it_was_stored(deployment):
    """Rendering it again gives the same bytes."""
    text = baselines.render(replace(make_baseline(), deployment=deployment))
    again = baselines.parse(text, CASE, "x")
    assert again.deployment == deployment
    assert baselines.render(again) == text


def test_a_baseline_without_deployment_has_no_word_of_it():
    """Files of before are written as they were."""
    assert "deployment" not in TEXT
    assert baselines.parse(TEXT, CASE, "x").deployment is None


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (None, "'deployment' is None, expected dict"),
        ({"micro": {}}, r"'deployment' holds 'micro' with \[\]"),
    ],
)
def test_a_damaged_deployment_is_named_with_its_line(value, words):
    """What is null was edited by hand: nobody writes that."""
    text = edited(lambda document: document.update(deployment=value))
    line = line_of(text, '"deployment"')
    assert re.search(rf"line {line}: {words}", refused(text))


def test_a_deployment_that_is_not_finite_cannot_be_stored(tmp_path):
    """The update says of which case and writes nothing."""
    broken = Deployment(parity=Parity(8, (replace(ON_CPU, steps=math.nan),)))
    with pytest.raises(BaselineError, match="tiny-cnn-int8: its deployment holds nan"):
        baselines.update(tmp_path, deployed(broken), [], rewrite=True)
    assert list(tmp_path.iterdir()) == []


def test_what_changed_on_a_device_is_a_change(tmp_path):
    """Though no figure is another; the new state is stored."""
    store_deployed(tmp_path)
    fewer = replace(FULL, npu=replace(NPU, on_cpu=()))
    assert baselines.update(tmp_path, deployed(fewer), [], rewrite=True).facts == ()
    assert baselines.read(tmp_path, CASE).deployment == fewer
    assert baselines.update(tmp_path, deployed(fewer), [], rewrite=True) is None


@pytest.mark.parametrize("rewrite", [True, False])
def test_newer_versions_and_other_reasons_alone_are_no_change(tmp_path, rewrite):
    """Every machine would else rewrite every file."""
    path = store_deployed(tmp_path)
    newer = Deployment(
        replace(MICRO, version="9"), replace(NPU, version="9"), replace(PARITY, absent={"x": "y"})
    )
    assert baselines.update(tmp_path, deployed(newer), [], rewrite=rewrite) is None
    assert path.stat().st_mtime == 1


@pytest.mark.parametrize("rewrite", [True, False])
@pytest.mark.parametrize(
    ("deployment", "facts"),
    [
        (None, {}),
        (Deployment(parity=WITHOUT_MICRO), {}),
        (Deployment(npu=NPU, parity=WITHOUT_MICRO), CYCLES),
        (Deployment(micro=MICRO, parity=PARITY), ARENA),
    ],
)
def test_what_this_run_could_not_measure_is_kept(tmp_path, rewrite, deployment, facts):
    """Updating where an extra is not installed loses neither facts, parts nor pairs of kernels."""
    path = store_deployed(tmp_path)
    text = path.read_text()
    assert baselines.update(tmp_path, deployed(deployment, facts), [], rewrite=rewrite) is None
    smaller = deployed(deployment, facts, size_bytes=100_000)
    change = baselines.update(tmp_path, smaller, [], rewrite=rewrite)
    stored = baselines.read(tmp_path, CASE)
    assert (stored.deployment, {**stored.facts, "size_bytes": 200_000}) == (
        FULL,
        {**FACTS, **DEVICE_FACTS},
    )
    assert (change is not None) == rewrite == (path.read_text() != text)


def test_what_was_measured_and_has_no_figure_is_dropped(tmp_path):
    """A model that no longer runs there needs no arena, and is compared with no kernels of it."""
    store_deployed(tmp_path)
    gone = Deployment(Micro("no kernel for IF", ("IF",)), NPU, WITHOUT_MICRO)
    change = baselines.update(tmp_path, deployed(gone, CYCLES), [], rewrite=True)
    assert {name for name, _, _ in change.facts} == set(ARENA)
    assert baselines.read(tmp_path, CASE).deployment == gone


def test_agreement_on_another_processor_is_not_kept_as_this_one_s(tmp_path):
    """The file states one processor for all; reference and Micro compute the same everywhere."""
    store_deployed(tmp_path)
    elsewhere = deployed(Deployment(), {}, provenance={"cpu": "another"})
    baselines.update(tmp_path, elsewhere, [], rewrite=True)
    assert baselines.read(tmp_path, CASE).deployment.parity == replace(
        PARITY, differences=(ON_MICRO,)
    )


def test_flips_are_those_of_the_pairs_that_are_kept_too(tmp_path):
    """A run without Micro knows of fewer pairs; the figure goes with what the file holds."""
    apart = Parity(8, (ON_CPU, replace(ON_MICRO, flips=3)))
    store_deployed(tmp_path, Deployment(MICRO, None, apart), {**ARENA, "parity_flips": 3})
    fewer = deployed(Deployment(parity=WITHOUT_MICRO), {"parity_flips": 0})
    assert baselines.update(tmp_path, fewer, [], rewrite=True) is None


@pytest.mark.parametrize("images", [Parity(9, (ON_CPU,)), Parity(9)])
def test_pairs_of_other_images_replace_all(tmp_path, images):
    """Differences on eight images and on nine do not stand in one table."""
    store_deployed(tmp_path)
    baselines.update(tmp_path, deployed(Deployment(parity=images), {}), [], rewrite=True)
    assert baselines.read(tmp_path, CASE).deployment.parity == images


def test_without_rewriting_a_missing_part_is_added(tmp_path):
    """With its facts; what is stored stays, changed or not."""
    stored = Deployment(npu=NPU, parity=WITHOUT_MICRO)
    store_deployed(tmp_path, stored, CYCLES)
    worse = replace(FULL, npu=replace(NPU, on_cpu=("CONV_2D (a)",)))
    change = baselines.update(
        tmp_path, deployed(worse, {**ARENA, **CYCLES, "npu_cycles": 9e9}), [], rewrite=False
    )
    assert {name for name, _, _ in change.facts} == set(ARENA)
    assert baselines.read(tmp_path, CASE).deployment == FULL
    assert baselines.read(tmp_path, CASE).facts == {**FACTS, **DEVICE_FACTS}


def test_without_rewriting_an_arena_does_not_stand_beside_a_model_that_does_not_run(tmp_path):
    """That it runs by now is a change, and no missing figure."""
    path = store_deployed(tmp_path, Deployment(Micro("no kernel for IF", ("IF",))), {})
    now = deployed(Deployment(MICRO), ARENA)
    assert baselines.update(tmp_path, now, [], rewrite=False) is None
    assert path.stat().st_mtime == 1


def test_a_part_of_other_weights_is_not_added(tmp_path):
    """As with figures: the message names the part and the way out."""
    store(tmp_path)
    other = deployed(Deployment(Micro("x")), {}, provenance={"checkpoint_sha256": "f" * 64})
    with pytest.raises(BaselineError, match=r"micro cannot be added.*--baseline-update$"):
        baselines.update(tmp_path, other, [], rewrite=False)


def test_pairs_from_another_processor_are_not_added(tmp_path):
    """Those that compute the same everywhere are."""
    store(tmp_path)
    elsewhere = deployed(Deployment(parity=PARITY), {}, provenance={"cpu": "another"})
    baselines.update(tmp_path, elsewhere, [], rewrite=False)
    stored = baselines.read(tmp_path, CASE).deployment
    assert stored == Deployment(parity=replace(PARITY, differences=(ON_MICRO,)))
    assert baselines.update(tmp_path, elsewhere, [], rewrite=False) is None


@pytest.mark.parametrize("metric", ["micro", "npu", "parity", "budget"])
def test_a_worse_deployment_needs_a_reason(tmp_path, metric):
    """As a worse figure does; the message names the gate."""
    path = store_deployed(tmp_path)
    worse = deployed(replace(FULL, npu=replace(NPU, on_cpu=("CONV_2D (a)",))))
    finding = make_finding(metric, Verdict.REGRESSED, reason="runs -> lacks IF")
    with pytest.raises(BaselineError, match=rf"not updated, {metric} got worse"):
        baselines.update(tmp_path, worse, [finding], rewrite=True)
    assert path.stat().st_mtime == 1
    assert baselines.update(tmp_path, worse, [finding], rewrite=True, reason="wanted")
    assert baselines.read_stored(tmp_path, CASE).history[-1].reason == "wanted"


# -- history --------------------------------------------------------------------------------------

WORSE = [make_finding("accuracy", Verdict.REGRESSED, baseline=0.9, current=0.8)]


def worse(folder, reason="a smaller head", wrong=200, findings=WORSE):
    """Update to a worse accuracy."""
    measured = make_measurement(predictions=make_predictions(wrong=wrong))
    return baselines.update(folder, measured, findings, rewrite=True, reason=reason)


@pytest.mark.parametrize(
    "verdict", [Verdict.REGRESSED, Verdict.INCONCLUSIVE, Verdict.NONDETERMINISTIC]
)
def test_a_worse_value_needs_a_reason(tmp_path, verdict):
    """Without one nothing of the case is written; the message says what got worse, and how."""
    path = store(tmp_path)
    judged = [replace(WORSE[0], verdict=verdict)]
    with pytest.raises(BaselineError, match=r"accuracy \(0\.9000 -> 0\.8000\).*--reason") as error:
        worse(tmp_path, reason="", findings=judged)
    assert str(path) in str(error.value)
    assert path.read_text() == TEXT
    assert worse(tmp_path, findings=judged).flips == 100


def test_worse_structure_needs_a_reason_too(tmp_path):
    """It has no figure, and is a fact all the same."""
    path = store(tmp_path)
    judged = [make_finding("structure", Verdict.REGRESSED)]
    with pytest.raises(BaselineError, match=r"structure got worse.*--reason"):
        baselines.update(tmp_path, make_measurement(), judged, rewrite=True)
    assert path.read_text() == TEXT


def test_a_noisy_figure_without_evidence_is_kept_and_needs_no_reason(tmp_path):
    """It would not be stored anyway."""
    store(tmp_path)
    judged = [make_finding("latency_ratio", Verdict.INCONCLUSIVE)]
    measured = make_measurement(latency_ratio=1.5)
    assert baselines.update(tmp_path, measured, judged, rewrite=True) is None


def test_the_history_keeps_values_reason_date_and_toolchain(tmp_path, monkeypatch):
    """Newest last, over several changes."""
    monkeypatch.setattr(history, "now", lambda: "2026-11-22T12:00:00+00:00")
    monkeypatch.setattr("tinyml_bench.storage.baselines.updates.now", history.now)
    baselines.update(tmp_path, make_measurement(), [], rewrite=False)
    worse(tmp_path)
    created, updated = baselines.read_stored(tmp_path, CASE).history
    assert (created.what, created.reason, created.flips) == ("created", "", 0)
    assert {name: new for name, _, new in created.facts} == FACTS
    assert {old for _, old, _ in created.facts} == {None}
    assert (updated.what, updated.reason, updated.flips) == ("updated", "a smaller head", 100)
    assert ("accuracy", 0.9, 0.8) in updated.facts
    assert updated.date == "2026-11-22T12:00:00+00:00"
    assert updated.toolchain == make_provenance().toolchain


def test_an_improvement_is_noted_without_a_reason(tmp_path):
    """Whoever looks for when it came finds it."""
    store(tmp_path)
    baselines.update(tmp_path, make_measurement(size_bytes=1000), [], rewrite=True)
    (entry,) = baselines.read_stored(tmp_path, CASE).history
    assert (entry.reason, entry.facts) == ("", (("size_bytes", 200_000, 1000),))


def test_what_is_added_later_is_noted(tmp_path):
    """--baseline-update-new changes a file as well."""
    store(tmp_path, baselines.render(make_baseline(without=("gzip_bytes",))))
    baselines.update(tmp_path, make_measurement(), [], rewrite=False)
    (entry,) = baselines.read_stored(tmp_path, CASE).history
    assert entry.facts == (("gzip_bytes", None, 150_000),)


def test_the_history_is_bounded(tmp_path):
    """The newest are kept."""
    store(tmp_path)
    for wrong in range(200, 200 + baselines.KEPT + 3):
        worse(tmp_path, wrong=wrong, reason=f"to {wrong}")
    kept = baselines.read_stored(tmp_path, CASE).history
    assert [entry.reason for entry in kept] == [f"to {n}" for n in range(203, 253)]


def test_the_date_of_a_change_is_now_in_utc():
    """To the second, with its offset."""
    assert re.fullmatch(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", history.now())


def test_a_history_comes_back_as_it_was_one_change_a_line(tmp_path):
    """Also a reason with line breaks, quotes and signs beyond ASCII."""
    store(tmp_path)
    worse(tmp_path, reason='a "smaller"\nhead für Bälle')
    path = baselines.path_of(tmp_path, CASE)
    text = path.read_text(encoding="utf-8")
    stored = baselines.read_stored(tmp_path, CASE)
    assert stored.history[0].reason == 'a "smaller"\nhead für Bälle'
    assert baselines.render(stored.baseline, stored.history) == text
    assert len(text.splitlines()) == len(TEXT.splitlines()) + 3


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda entries: entries[0].pop("reason"), "lacks 'reason'"),
        (lambda entries: entries[0].update(date=5), "'date' is 5, expected str"),
        (lambda entries: entries[0].update(what="blessed"), "'what' is 'blessed', expected "),
        (lambda entries: entries[0].update(facts={"accuracy": [1]}), r"expected \[old, new\]"),
        (lambda entries: entries[0].update(facts={"a": ["1", 2]}), r"expected \[old, new\]"),
        (lambda entries: entries.append("x"), "'history' holds 'x', expected objects"),
    ],
)
def test_a_damaged_history_is_refused(tmp_path, damage, words):
    """It is evidence, so it is read as strictly as the figures."""
    path = store(tmp_path)
    worse(tmp_path)
    document = json.loads(path.read_text())
    damage(document["history"])
    path.write_text(json.dumps(document, indent=1))
    with pytest.raises(BaselineError, match=rf"int8\.json, line \d+: .*{words}"):
        baselines.read(tmp_path, CASE)


# -- the lock -------------------------------------------------------------------------------------


def test_two_writers_wait_for_each_other(tmp_path):
    """The second one reads only what the first has written."""
    waiting = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(tmp_path), "second"], stdout=subprocess.PIPE, text=True
    )
    with baselines.alone(tmp_path):
        assert waiting.stdout.readline() == "begun\n"
        with pytest.raises(subprocess.TimeoutExpired):
            waiting.wait(0.3)
        (tmp_path / "written").write_text("first")
    assert waiting.communicate(timeout=30)[0] == "read first\n"
    assert (tmp_path / "written").read_text() == "second"


WRITER = """
import sys
from pathlib import Path
from tinyml_bench.storage import baselines
folder, text = Path(sys.argv[1]), sys.argv[2]
print("begun", flush=True)
with baselines.alone(folder):
    print("read", (folder / "written").read_text())
    (folder / "written").write_text(text)
"""


def test_the_lock_leaves_nothing_behind(tmp_path):
    """No file that would have to be ignored."""
    with baselines.alone(tmp_path / "new"):
        pass
    assert list((tmp_path / "new").iterdir()) == []


def test_a_file_system_without_locks_is_no_error(tmp_path, monkeypatch):
    """It is as safe as it was before."""

    def refuse(*_):
        raise OSError(errno.ENOTSUP, "not supported")

    monkeypatch.setattr("fcntl.flock", refuse)
    with baselines.alone(tmp_path):
        pass


# -- upkeep ---------------------------------------------------------------------------------------


def test_a_sound_folder_has_no_problems(tmp_path):
    """With history and without."""
    store(tmp_path)
    assert baselines.problems(tmp_path) == []
    worse(tmp_path)
    assert baselines.problems(tmp_path) == []
    assert baselines.problems(tmp_path / "nowhere") == []


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        (TEXT.replace('"size_bytes": 200000', '"size_bytes":  200000'),
         line_of(TEXT, "size_bytes"), "not as tinyml-bench writes it"),
        (TEXT + "\n", TEXT.count("\n"), "not as tinyml-bench writes it"),
        (TEXT.replace("\n", "\r\n"), 1, "not as tinyml-bench writes it"),
        (TEXT.replace('"accuracy": 0.9', '"accuracy": 0.91'),
         line_of(TEXT, '"accuracy"'), "edited by hand"),
        (TEXT.replace("tiny-cnn-int8", "tiny-cnn-tf"), line_of(TEXT, '"case"'), "holds case"),
        ("<<<<<<< HEAD\n" + TEXT, 1, "merge conflict"),
    ],
    ids=["space", "more lines", "line ends", "accuracy", "case", "conflict"],
)  # fmt: skip
def test_an_unsound_file_is_named_with_its_line(tmp_path, text, line, words):
    """Each once; the others are still looked at."""
    path = store(tmp_path)
    path.write_bytes(text.encode())
    (problem,) = baselines.problems(tmp_path)
    assert problem.startswith(f"{path}, line {line}: ")
    assert words in problem


@pytest.mark.parametrize("name", ["top.json", "tiny/int8.json", "a-b/c/int8.json", "a-b/INT8.json"])
def test_a_file_in_the_wrong_place_is_unsound(tmp_path, name):
    """Nothing would ever read it."""
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(TEXT)
    (problem,) = baselines.problems(tmp_path)
    assert problem.startswith(f"{path}, line 1: no place of a baseline")


def test_pruning_deletes_strangers_and_folders_left_empty(tmp_path):
    """The others stay."""
    kept = store(tmp_path)
    for name in ("tiny-cnn/int4.json", "gone-net/int8.json"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(TEXT)
    paths = baselines.strangers(tmp_path, {str(CASE)})
    assert paths == [tmp_path / "gone-net" / "int8.json", tmp_path / "tiny-cnn" / "int4.json"]
    baselines.prune(tmp_path, paths)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [kept]
    assert list(tmp_path.iterdir()) == [kept.parent]


def test_what_cannot_be_pruned_is_a_clear_error(tmp_path, monkeypatch):
    """With file and reason."""
    path = store(tmp_path)

    def fail(*_, **__):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "unlink", fail)
    with pytest.raises(BaselineError, match=r"int8\.json: cannot be deleted: Permission denied"):
        baselines.prune(tmp_path, [path])


STOPPING = Stopping("not worse", 0.03, 0.95, make_predictions().samples, 5000)


def test_an_early_stop_comes_back_as_it_was_stored():
    """With what was decided, or a later run would not know that images were left out."""
    text = baselines.render(replace(make_baseline(), stopping=STOPPING))
    assert baselines.parse(text, CASE, "x").stopping == STOPPING
    assert "stopping" not in TEXT


@pytest.mark.parametrize(
    ("change", "words"),
    [({"decision": "maybe"}, "no way to stop"), ({"samples": 3}, "tells of 3 images, and")],
)
def test_a_damaged_early_stop_is_named_with_its_line(change, words):
    """One of other images than those that are held is another one's."""
    text = edited(lambda d: d.update(stopping={**STOPPING.to_json(), **change}))
    with pytest.raises(BaselineError, match=rf"x, line {line_of(text, 'stopping')}: .*{words}"):
        baselines.parse(text, CASE, "x")
