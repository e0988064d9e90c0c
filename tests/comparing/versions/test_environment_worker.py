"""Whole comparisons and bisections with stand-ins for workers: no TensorFlow, no network."""

import json
from pathlib import Path

import numpy as np
import pytest
import tflite_models
from tflite_models import FLOAT32, INT8, INT32, Operator, Tensor, build, classifier

from tinyml_bench import cli
from tinyml_bench.comparing.versions import bisect as bisecting
from tinyml_bench.comparing.versions import compare as comparing
from tinyml_bench.comparing.versions import document as documenting
from tinyml_bench.comparing.versions import environment_worker as workshops
from tinyml_bench.comparing.versions import environments as matrix
from tinyml_bench.comparing.versions import render, traits
from tinyml_bench.comparing.versions.difference import Accuracy, difference, of_speed
from tinyml_bench.comparing.versions.environment_worker import Workshop
from tinyml_bench.comparing.versions.environments import MATRIX, Environment
from tinyml_bench.comparing.versions.environments_setup import EnvironmentCreationError
from tinyml_bench.comparing.versions.release_notes import notes
from tinyml_bench.comparing.versions.timing import race
from tinyml_bench.errors import UsageError
from tinyml_bench.judging.policy.project import Project
from tinyml_bench.metrics.bootstrap import RatioEstimate
from tinyml_bench.records.case import CaseId
from tinyml_bench.records.predictions import Predictions
from tinyml_bench.system.cache import Cache
from tinyml_bench.system.workers.process import TaskError, WorkerCrashed
from tinyml_bench.workloads.variants.recipes import VARIANTS
from tinyml_bench.workloads.workload import WORKLOADS, workload

CASE = CaseId("fashion_mnist", "standin", "int8")
LABELS = np.arange(100) % 3


def dense(per_channel, bias=0):
    """Return a file with a dense layer of int8 weights, its scale one a tensor or one a channel."""
    scales = (0.1, 0.2, 0.3) if per_channel else (0.3,)
    tensors = [
        Tensor("image", (1, 4), INT8, scales=(1.0,), zero_points=(0,)),
        Tensor("weights", (3, 4), INT8, 1, scales, (0,) * len(scales)),
        Tensor("bias", (3,), INT32, 2),
        Tensor("scores", (1, 3), INT8, scales=(1.0,), zero_points=(0,)),
    ]
    return build(
        classifier(
            tensors=tensors,
            operators=[Operator(tflite_models.FULLY_CONNECTED, (0, 1, 2), (3,))],
            buffers=[b"", bytes(range(12)), np.full(3, bias, np.int32).tobytes(), b"1"],
            outputs=(3,),
            metadata=[("min_runtime_version", 3)],
            description="x" * 40 * bias,
        )
    )


class Standin:
    """A worker that answers as an environment of its TensorFlow would."""

    def __init__(self, interpreter, name):
        self.version = str(interpreter)
        self.alive = True
        self.asked = LOG
        if self.version in DEAD:
            raise WorkerCrashed("it died")

    def ask(self, operation, *blobs, limit_seconds=0, **arguments):
        self.asked.append((self.version, operation))
        return getattr(self, operation)(*blobs, **arguments)

    def kill(self, because):
        self.alive = False

    def close(self):
        self.alive = False

    @property
    def minor(self):
        return int(self.version.split(".")[1])

    def hello(self):
        versions = {"python": "3.11.1", "tensorflow": f"{self.version}.1"}
        return {"missing": MISSING, "versions": versions, "cpu": "cpu"}, ()

    def describe(self, workload):
        return {"network": "n", "calibration": "c", "test": "t", "samples": 100}, ()

    def convert(self, workload, variant):
        if variant == "float16":
            raise TaskError("RuntimeError: no such kernel")
        warnings = ["c.cc: Ignored x."] + ["d.cc: New."] * (self.minor >= 18)
        return {"warnings": warnings}, (dense(self.minor >= 18, bias=int(self.minor >= 16)),)

    def evaluate(self, content, workload, samples, batch):
        if batch is None and self.minor == 17:
            self.alive = False
            raise WorkerCrashed("killed by SIGSEGV")
        wrong = 0 if not content else 2 if self.minor < 18 else 12
        answers = LABELS.copy()
        answers[:wrong] = (answers[:wrong] + 1) % 3
        scores = np.eye(3, dtype=np.float32)[answers][:samples]
        shape = {"shape": list(scores.shape)}
        return shape, (scores.tobytes(), LABELS[:samples].astype(np.int64).tobytes())

    def load(self, content, workload):
        return {}, ()

    def prepare(self):
        return {"clock": "thread", "ns": 1000}, ()

    def run(self, rounds, repeats, clock):
        return {"ns": [1000.0 if self.minor < 16 else 250.0] * rounds}, ()


LOG: list = []
DEAD: set = set()
MISSING: list = []


@pytest.fixture(autouse=True)
def standins(tmp_path, monkeypatch):
    """Put stand-ins for workers, environments and a workload in place."""
    monkeypatch.setenv("TINYML_BENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(workshops, "RemoteWorker", Standin)
    made = lambda one, root, say: environment(one.tensorflow)  # noqa: E731 - a stand-in
    for module in (bisecting, comparing, documenting):
        monkeypatch.setattr(module, "ready", made)
    restore = WORKLOADS.snapshot()
    workload("fashion_mnist-standin", variants=("tf", "float16", "int8"))(lambda: None)
    yield
    restore()
    LOG.clear()
    DEAD.clear()
    MISSING.clear()


def environment(version):
    """Return an environment whose interpreter is its version."""
    return Environment(f"tf{version}", "3.11", version, Path(version))


def shop(version, samples=None):
    """Open a workshop."""
    return Workshop(environment(version), Cache(), samples)


def compare(*cases, old="2.15", new="2.18", **plan):
    """Compare two versions in the stand-in project."""
    sides = (environment(old), environment(new))
    return comparing.compare(*sides, cases, comparing.Plan(**plan), Project(Path.cwd()))


# -- one environment at work ----------------------------------------------------------------------


def test_nothing_is_converted_or_evaluated_twice(capsys):
    """Not in one process, nor in the next one: what another toolchain made is not taken for it."""
    first = shop("2.15")
    assert first.converted(CASE).content == first.converted(CASE).content
    first.answered(CASE)
    again = shop("2.15")
    assert again.converted(CASE).warnings == ("c.cc: Ignored x.",)
    assert again.answered(CASE).accuracy == 0.98
    assert (first.conversions, again.conversions) == (1, 0)
    assert shop("2.16").converted(CASE).content != first.converted(CASE).content
    assert [one for one in LOG if one[1] == "evaluate"] == [("2.15", "evaluate")]


def test_a_users_own_converter_is_asked_anew(monkeypatch):
    """What a function gives cannot be told from its name."""
    restore = VARIANTS.snapshot()
    VARIANTS.add("own", type(VARIANTS["int8"])("own", converter=lambda model, images: b""))
    case = CaseId("fashion_mnist", "standin", "own")
    try:
        for _ in range(2):
            made = shop("2.15")
            made.converted(case)
            made.converted(case)
            assert made.conversions == 1
    finally:
        restore()


def test_a_version_that_dies_of_many_images_gets_single_ones():
    """What was noticed is kept with the answers."""
    for _ in range(2):
        made = shop("2.17")
        assert made.answered(CASE).accuracy == 0.98
        assert made.one_by_one == {CASE}


def test_what_an_environment_lacks_is_named():
    """With the command that installs it there."""
    MISSING.extend(["tensorflow", "scipy"])
    with pytest.raises(UsageError, match=r"lacks tensorflow, scipy; run: 2\.15 -m pip install"):
        _ = shop("2.15").toolchain


def test_what_is_no_python_is_told():
    """And what was expected."""
    DEAD.add("2.15")
    with pytest.raises(UsageError, match="no interpreter that cases can be run in"):
        _ = shop("2.15").toolchain


def test_after_an_interruption_no_worker_is_started_anew():
    """Else the other cases would still be converted, each after the other."""
    made = shop("2.15")
    made.kill()
    with pytest.raises(WorkerCrashed, match="stopped"):
        made.converted(CASE)
    assert LOG == []


# -- two of them ----------------------------------------------------------------------------------


def test_a_comparison_says_all_that_changed():
    """Bytes, granularity, flips, paired test, warnings, and the speed measured in turns."""
    found = compare(CASE)
    (one,) = found.differences
    assert [str(change) for change in one.changes] == [
        "FULLY_CONNECTED weights per-tensor -> per-channel (1)"
    ]
    assert one.new_bytes > one.old_bytes
    assert (one.accuracy.lost, one.accuracy.won, one.accuracy.flipped) == (10, 0, 10)
    assert one.accuracy.p == pytest.approx(2 / 2**10)
    assert one.speed.ratio == 0.25
    assert one.new_warnings == ("d.cc: New.",)
    assert one.sentence() == (
        f"The file is {_larger(one)} % larger: dense weights are quantized per channel, no longer "
        "per tensor (1 layer); 10 of 100 images are answered differently, the accuracy is worse by "
        "10.00 points; runs 4.0 times as fast."
    )


def _larger(one):
    return f"{100 * (one.new_bytes / one.old_bytes - 1):.1f}"


def test_the_same_environment_twice_shows_no_difference():
    """Not even a word that could be taken for one."""
    (one,) = compare(CASE, old="2.16", new="2.16").differences
    assert one.same_file
    assert one.sentence() == (
        "The file is the same to the byte; all 100 images are answered alike; "
        "no difference in speed to speak of."
    )


def test_one_case_that_fails_stops_no_other():
    """It is told, with the side that failed."""
    found = compare(CaseId("fashion_mnist", "standin", "float16"), CASE, seconds=0)
    assert [one.case for one in found.differences] == [CASE]
    (why,) = found.failed.values()
    assert "no such kernel" in why


def test_the_network_itself_is_compared_without_a_file():
    """Its answers and its speed."""
    (one,) = compare(CaseId("fashion_mnist", "standin", "tf"), seconds=0).differences
    assert one.sentence() == "All 100 images are answered alike."


def test_timing_goes_in_turns():
    """Neither side is always first, and both are timed as often."""
    old, new = shop("2.15"), shop("2.18")
    speed = race(old, new, CASE, seconds=0)
    runs = [version for version, operation in LOG if operation == "run"]
    assert runs.count("2.15") == runs.count("2.18") == 16
    assert runs[:4] == ["2.15", "2.18", "2.18", "2.15"]
    assert runs[16:20] in (["2.15", "2.18", "2.18", "2.15"], ["2.18", "2.15", "2.15", "2.18"])
    assert runs[4 * 2 : 4 * 2 + 2] == ["2.18", "2.15"]  # the second pair begins with the other
    assert (speed.low, speed.ratio, speed.high) == (0.25, 0.25, 0.25)


@pytest.mark.parametrize(
    ("interval", "words"),
    [
        ((0.5, 0.4, 0.6), "runs 2.0 times as fast"),
        ((2.0, 1.9, 2.1), "takes 2.0 times as long"),
        ((1.0, 0.95, 1.05), "no difference in speed to speak of"),
        ((1.0, 0.5, 2.0), "its speed cannot be told apart with certainty"),
    ],
)
def test_a_speed_is_told_only_where_its_interval_allows(interval, words):
    """The interval decides, not the ratio."""
    assert of_speed(RatioEstimate(*interval, 0.95, 8, 0)) == words


def test_few_flips_are_no_worse_accuracy():
    """Three images of ten thousand may be chance."""
    old = Predictions.from_labels(LABELS, LABELS)
    flipped = LABELS.copy()
    flipped[:3] = (flipped[:3] + 1) % 3
    found = Accuracy.of(old, Predictions.from_labels(flipped, LABELS))
    assert found.p == 0.25
    made = shop("2.15").converted(CASE)
    words = difference(CASE, (made, made), (old, Predictions.from_labels(flipped, LABELS)))
    assert "no other than chance may make it" in words.sentence()


@pytest.mark.parametrize("width", [40, 60, 100])
def test_the_text_fits_the_terminal(width):
    """Narrow ones too."""
    text = render.rendered(compare(CASE), "text", width)
    assert max(map(len, text.splitlines())) <= width
    assert "new warning: d.cc: New." in " ".join(text.split())


def test_json_and_markdown_say_the_same():
    """For programs, and for a comment on a pull request."""
    found = compare(CASE)
    document = json.loads(render.rendered(found, "json", 80))
    assert document["cases"][0]["changes"][0]["new"] == "per-channel"
    assert document["old"]["versions"]["tensorflow"] == "2.15.1"
    markdown = render.rendered(found, "markdown", 80)
    assert "| fashion_mnist-standin-int8 |" in markdown
    assert document["cases"][0]["sentence"] in markdown


# -- bisection ------------------------------------------------------------------------------------


def bisect(metric, among=None, **options):
    """Bisect the stand-in case."""
    question = bisecting.Question(CASE, traits.trait(metric, CASE), **options)
    environments = [environment(one.tensorflow) for one in MATRIX]
    if among:
        environments = [one for one in environments if one.tensorflow in among]
    return bisecting.bisect(question, environments, Project(Path.cwd()))


@pytest.mark.parametrize(
    ("metric", "first"),
    [("size", "2.18"), ("operators", "2.18"), ("accuracy", "2.18"), ("agreement", "2.18")],
)
def test_the_first_version_that_changed_it_is_named(metric, first):
    """With at most four conversions; another packing alone, as in 2.16, is no other size."""
    found = bisect(metric, limit=0.2 if metric == "size" else None)
    assert (found.before, found.first) == ("2.17", first)
    assert found.conversions == len(found.tried) <= 4
    assert found.graph == ("FULLY_CONNECTED weights per-tensor -> per-channel (1)",)
    text = found.text(200)
    meaning = "dense weights are quantized per channel, no longer per tensor (1 layer)"
    assert f"{metric} changed in TensorFlow {first}: {meaning}" in text
    assert "releases/tag/v2.18.0" in text


def test_a_larger_file_counts_whatever_made_it_so():
    """Beyond the limit, packing is size as well."""
    assert bisect("size", limit=0.0).first == "2.16"


def test_speed_has_its_own_first_version():
    """Timed against the oldest one, in turns."""
    found = bisect("latency")
    assert (found.before, found.first) == ("2.15", "2.16")
    assert "runs 4.0 times as fast" in found.words


def test_no_change_is_said():
    """After the newest was looked at."""
    found = bisect("operators", among=("2.18", "2.19", "2.20", "2.21"))
    assert found.first == ""
    assert "operators has not changed from 2.18 to 2.21" in found.text(200)
    assert "2.21" in found.tried


def test_the_second_time_nothing_is_converted():
    """The cache serves."""
    bisect("operators")
    assert bisect("operators").conversions == 0


def test_a_version_that_cannot_be_had_is_named_and_left_out():
    """The answer says what it leaves open."""
    DEAD.add("2.17")
    found = bisect("operators")
    assert (found.before, found.first) == ("2.16", "2.18")
    text = found.text(300)
    assert "changed in TensorFlow 2.18, or in 2.17, which could not be tried: dense" in text
    assert "TensorFlow 2.17 could not be tried: 2.17 is no interpreter" in text


def test_where_only_one_version_is_there_nothing_is_said_of_a_change():
    """Every reason is told."""
    DEAD.update(one.tensorflow for one in MATRIX[1:])
    with pytest.raises(UsageError, match=r"(?s)fewer than two versions.*2\.21"):
        bisect("size")


@pytest.mark.parametrize("count", range(2, 20))
def test_any_first_change_is_found_in_few_looks(count):
    """For every place of it, in no more looks than halving takes."""
    for first in range(1, count + 1):
        looked = []

        def changed(position, first=first, looked=looked):
            looked.append(position)
            return position >= first

        found = bisecting.search(count, changed)
        expected = (first - 1, first if first < count else None)
        assert (found.last_same, found.first_changed) == expected
        assert len(set(looked)) == len(looked) <= (count - 1).bit_length()


def test_unknown_metrics_and_numbers_are_refused():
    """Before anything is started."""
    with pytest.raises(UsageError, match="unknown metric 'sise'; did you mean 'size'"):
        traits.trait("sise", CASE)
    with pytest.raises(UsageError, match=r"no \.tflite file"):
        traits.trait("size", CaseId("fashion_mnist", "standin", "tf"))
    for wrong in ({"limit": -0.1}, {"samples": 0}):
        with pytest.raises(UsageError, match="expected"):
            bisecting.Question(CASE, traits.TRAITS["size"], **wrong)
    for wrong in ({"samples": 0}, {"seconds": -1.0}):
        with pytest.raises(UsageError, match="expected"):
            comparing.Plan(**wrong)


# -- the page, and the command line ---------------------------------------------------------------


def test_the_page_goes_from_version_to_version(tmp_path):
    """One table of bytes, a section a version, and what was left out."""
    DEAD.add("2.17")
    environments = [environment(f"2.{minor}") for minor in (15, 16, 17, 18)]
    plan = comparing.Plan(seconds=0)
    page = documenting.page(environments, [CASE], plan, Project(tmp_path))
    said = documenting.write(page, tmp_path / "docs" / "versions.md")
    text = (tmp_path / "docs" / "versions.md").read_text()
    assert "## TensorFlow 2.18.1, after 2.16.1" in text
    assert "releases/tag/v2.16.1)" in text
    assert "- TensorFlow 2.17: 2.17 is no interpreter" in text
    assert "left out TensorFlow 2.17" in said
    assert text.index("2.16.1, after 2.15.1") < text.index("2.18.1, after 2.16.1")
    assert "- TensorFlow 2.15.1: python 3.11.1" in text
    assert "- Processor: cpu." in text


def test_the_page_begins_with_what_matters(tmp_path):
    """A line a version: what changed in the graphs, in how many cases, and how answers stand."""
    environments = [environment(f"2.{minor}") for minor in (16, 17, 18)]
    page = documenting.page(environments, [CASE], comparing.Plan(seconds=0), Project(tmp_path))
    lines = page.text().splitlines()
    assert "- **2.17.1**: every image is answered as before." in lines
    assert (
        "- **2.18.1**: dense weights are quantized per channel, no longer per tensor (1 layer) in "
        "1 case; 1 case answers differently, on 10 of 100 images at most."
    ) in lines


def test_the_page_wastes_no_words_on_what_is_the_same(tmp_path):
    """Cases without a change share a line; one that changed has its own."""
    environments = [environment("2.16"), environment("2.18"), environment("2.19")]
    network = CaseId("fashion_mnist", "standin", "tf")
    plan, project = comparing.Plan(seconds=0.001), Project(tmp_path)
    text = documenting.page(environments, [network, CASE], plan, project).text()
    changed, same = text.split("## TensorFlow ")[1:3]
    assert "- `fashion_mnist-standin-int8`: The file is" in changed
    assert "- The others: the same operators and answers" in changed
    assert "- All of them: the same operators and answers" in same
    assert "`fashion_mnist-standin-tf`: " not in text


def test_the_page_names_upstream_where_something_was_found(tmp_path):
    """Release notes in any case."""
    environments = [environment(f"2.{minor}") for minor in (16, 17, 18)]
    text = documenting.page(
        environments, [CASE], comparing.Plan(seconds=0), Project(tmp_path)
    ).text()
    told, untold = text.partition("## TensorFlow 2.18.1")[::2]
    assert all(note.link in told for note in notes("2.17"))
    assert "upstream" not in untold
    assert "releases/tag/v2.18.0" in untold


@pytest.mark.parametrize(
    ("error", "why"),
    [
        (EnvironmentCreationError("the network could not be reached\n  | more"), "the network"),
        (UsageError("no Python 3.12 on this machine"), "no Python 3.12 on this machine"),
    ],
)
def test_a_version_that_cannot_be_made_stops_no_other(tmp_path, monkeypatch, error, why):
    """Neither a missing network nor a missing Python keeps the rest from the page."""

    def made(one, root, say):
        if one.tensorflow == "2.17":
            raise error
        return environment(one.tensorflow)

    monkeypatch.setattr(documenting, "ready", made)
    environments = [environment(f"2.{minor}") for minor in (16, 17, 18)]
    page = documenting.page(environments, [CASE], comparing.Plan(seconds=0), Project(tmp_path))
    assert [step.new.tensorflow for step in page.steps] == ["2.18.1"]
    assert f"- TensorFlow 2.17: {why}" in page.text()


def test_a_version_that_loses_its_network_stops_no_bisection(monkeypatch):
    """What it leaves open is told."""

    def made(one, root, say):
        if one.tensorflow == "2.17":
            raise EnvironmentCreationError("the network could not be reached")
        return environment(one.tensorflow)

    monkeypatch.setattr(bisecting, "ready", made)
    text = bisect("operators").text(300)
    assert "changed in TensorFlow 2.18, or in 2.17" in text
    assert "TensorFlow 2.17 could not be tried: the network could not be reached" in text


def test_the_command_compares_and_exits(capsys, monkeypatch, tmp_path):
    """0 where all could be compared, 1 where a case could not, and standard output is pure."""
    monkeypatch.chdir(tmp_path)
    case, failing = "fashion_mnist-standin-int8", "fashion_mnist-standin-float16"
    fixed = ["--time-limit", "0", "--json"]
    assert cli.main(["versions", "diff", "2.15", "2.18", case, *fixed]) == 0
    assert json.loads(capsys.readouterr().out)["cases"][0]["case"] == case
    assert cli.main(["versions", "diff", "2.15", "2.18", failing, *fixed]) == 1
    assert list(json.loads(capsys.readouterr().out)["failed"]) == [failing]


def test_the_command_bisects(capsys, monkeypatch, tmp_path):
    """As JSON, the limit in percent."""
    monkeypatch.chdir(tmp_path)
    case = "fashion_mnist-standin-int8"
    arguments = ["versions", "bisect", case, "--metric", "size", "--limit", "20", "--json"]
    assert cli.main(arguments) == 0
    assert json.loads(capsys.readouterr().out)["first"] == "2.18"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["diff", "2.15", "2.99"], "nearest is 2.21"),
        (["diff", "2.15", "2.18", "fashion_mnist-standin-int9"], "unknown case"),
        (["bisect", "fashion_mnist-standin"], "unknown case"),
        (["bisect", "fashion_mnist-standin-int8", "--metric", "x"], "unknown metric"),
        (["bisect", "fashion_mnist-standin-int8", "--among", "2.15"], "at least two versions"),
        (["diff", "2.15", "2.18", "--python", "2.18"], "expected VERSION=INTERPRETER"),
    ],
)
def test_wrong_words_are_refused_before_anything_starts(
    arguments, message, capsys, monkeypatch, tmp_path
):
    """Each with what was expected."""
    monkeypatch.chdir(tmp_path)
    assert cli.main(["versions", *arguments]) == 1
    assert message in capsys.readouterr().err
    assert LOG == []


def test_names_of_workloads_stand_for_their_cases():
    """And none for all that is quick."""
    named = comparing.chosen_cases(["fashion_mnist-standin", str(CASE)])
    assert [case.variant for case in named] == ["tf", "float16", "int8"]
    assert set(named) <= set(comparing.chosen_cases([]))
    assert FLOAT32 == 0
    assert matrix.NIGHTLY.requirements[0] == "tf-nightly"
