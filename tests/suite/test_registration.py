"""Registering a model: what is accepted, what is refused, and that nothing is done yet."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tinyml_bench.errors import UsageError
from tinyml_bench.records.case import CaseId
from tinyml_bench.suite.registration import register
from tinyml_bench.workloads.cases import cases_of, left_out, resolve
from tinyml_bench.workloads.datasets import DATASETS
from tinyml_bench.workloads.workload import WORKLOADS

INPUTS = np.arange(20 * 4, dtype=np.uint8).reshape(20, 2, 2, 1)
LABELS = np.arange(20) % 2
TEST = (INPUTS, LABELS)
FILES = {"float32": "net.tflite", "int8": "net_int8.tflite"}


@pytest.fixture(autouse=True)
def clean():
    """Leave no registration behind."""
    undo = WORKLOADS.snapshot(), DATASETS.snapshot()
    yield
    for restore in undo:
        restore()


def network():
    """Stand for a function that builds a network; nobody calls it here."""
    raise AssertionError("no network is built at registration")


def variants_of(name):
    """Return the variants of a registered workload."""
    return [case.variant for case in cases_of(WORKLOADS[name])]


def test_ready_made_files_are_the_cases():
    """Compared with the float file, which stands for what is converted nowhere."""
    register("dots-net", model=FILES, test=TEST)
    workload = WORKLOADS["dots-net"]
    assert variants_of("dots-net") == ["float32", "int8"]
    assert (workload.reference, workload.sibling) == ("float32", "float32")
    assert workload.files["int8"] == Path(__file__).parent / "net_int8.tflite"


def test_without_a_float_file_the_first_one_is_compared_with():
    """Or the one that is named."""
    files = {"mine_v1": "a.tflite", "mine_v2": "b.tflite"}
    register("dots-net", model=files, test=TEST)
    register("dots-other", model=files, test=TEST, reference="mine_v2")
    assert WORKLOADS["dots-net"].reference == "mine_v1"
    assert WORKLOADS["dots-other"].reference == "mine_v2"
    assert resolve(CaseId("dots", "net", "mine_v1")).recipe.claims == ""
    with pytest.raises(UsageError, match=r"reference=: unknown file 'mine_v3'; did you mean"):
        register("dots-third", model=files, test=TEST, reference="mine_v3")


def test_a_ready_made_file_claims_what_its_name_says():
    """A float file under the name int8 is found out."""
    register("dots-net", model=FILES, test=TEST)
    assert resolve(CaseId("dots", "net", "int8")).recipe.claims == "int8"


def test_what_is_made_of_a_float_file_is_judged_beside_it():
    """The quantizer's variants are asked for by name; the converter has nothing to convert."""
    options = {"model": "net.tflite", "test": TEST, "train": TEST}
    register("dots-net", **options)
    register("dots-more", **options, variants=("litert_int8",))
    assert variants_of("dots-net") == ["float32"]
    assert variants_of("dots-more") == ["float32", "litert_int8"]
    with pytest.raises(UsageError, match=r"variants=, 'int8': it is made of a Keras model"):
        register("dots-third", **options, variants=("int8",))


def test_without_training_data_calibrated_variants_are_left_out_with_a_reason():
    """And refused where they are asked for."""
    register("dots-net", model=network, test=TEST)
    assert "int8" not in variants_of("dots-net")
    assert "optimize_for_size" in variants_of("dots-net")
    out = left_out(WORKLOADS["dots-net"])
    assert set(out) == {"int8", "int16x8"}
    assert "give register() train= or calibration=" in out["int8"]
    with pytest.raises(UsageError, match=r"variants=, 'int8': it needs calibration samples"):
        register("dots-more", model=network, test=TEST, variants=("int8",))
    register("dots-third", model=network, test=TEST, train=TEST, replace=True)
    assert "int8" in variants_of("dots-third")


def test_a_quantizers_variant_is_none_of_the_usual_ones():
    """It is there when it is asked for."""
    register("dots-net", model=network, test=TEST, train=TEST)
    assert not [name for name in variants_of("dots-net") if name.startswith("litert")]


def test_workloads_of_one_dataset_share_its_samples():
    """The very same arrays are one dataset, other ones are a mistake."""
    register("dots-net", model=network, test=(INPUTS, LABELS))
    register("dots-other", model=FILES, test=(INPUTS, LABELS))
    assert {"dots-net", "dots-other"} <= set(WORKLOADS)
    with pytest.raises(UsageError, match="'dots' is registered already, with other samples"):
        register("dots-third", model=FILES, test=(INPUTS.copy(), LABELS))
    assert "dots-third" not in WORKLOADS


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"name": "dots"}, r"register\('dots'\): expected <dataset>-<model>"),
        ({"test": 3}, r"test=: expected \(inputs, labels\) arrays.*got int 3"),
        ({"test": None}, "test= is None"),
        ({"test": ("a", LABELS)}, "test=: expected .* inputs of type str"),
        ({"test": "samples.pkl"}, r"test='samples.pkl' may hold pickled code"),
        ({"test": "samples.csv"}, r"test=: expected .* the file 'samples.csv'"),
        ({"train": 3}, "train=: expected"),
        ({"calibration": "a.pickle"}, "calibration='a.pickle' may hold pickled code"),
        ({"model": 3}, "model=: expected a Keras model.*got int 3"),
        ({"model": "net.pkl"}, r"model='net.pkl': a pickle may hold any code"),
        ({"model": "net.pt"}, r"model='net.pt': PyTorch's file is a pickle"),
        ({"model": "net.onnx"}, r"model='net.onnx': convert it to .tflite first"),
        ({"model": "net.csv"}, r"model=: expected .*got the file"),
        ({"model": {}}, "model=: expected .*empty mapping"),
        ({"model": {"int8": "net.keras"}}, r"model=: expected \{variant: .tflite file\}"),
        ({"model": {"tf": "net.tflite"}}, "'tf' is the Keras model"),
        ({"model": network, "reference": "float32"}, "reference='float32': a Keras model"),
        ({"metrics": ("acuracy",)}, "metrics=: unknown metric 'acuracy'; did you mean"),
        ({"metrics": "accuracy"}, r"metrics=: metrics: expected names"),
        ({"variants": ()}, "variants= is empty"),
        ({"class_names": ("a", "a")}, "class_names=: expected two or more different names"),
        ({"profile": "slow"}, "unknown profile 'slow'"),
        ({"samples": 0}, "'samples' is 0"),
        ({"budget": {"flush": 3}}, "flush"),
    ],
)
def test_a_wrong_argument_is_named(changes, said):
    """The message says which one, what was expected and what came; nothing is registered."""
    before = list(WORKLOADS), list(DATASETS)
    given = {"name": "dots-net", "model": FILES, "test": TEST, **changes}
    with pytest.raises(UsageError, match=said):
        register(given.pop("name"), **given)
    assert (list(WORKLOADS), list(DATASETS)) == before


def test_what_is_said_of_the_workload_is_kept_for_the_judge():
    """As it stands in pyproject.toml."""
    register("dots-net", model=FILES, test=TEST, samples=15, tolerances={"accuracy": 0.1})
    assert WORKLOADS["dots-net"].policy == {"samples": 15, "tolerances": {"accuracy": 0.1}}


def test_registering_imports_no_tensorflow_and_writes_nothing(tmp_path):
    """A workload costs nothing before it is measured, however large its arrays are."""
    code = (
        "import sys, numpy as np, tinyml_bench\n"
        "big = np.zeros((1000, 64, 64, 3), np.float32)\n"
        "tinyml_bench.register('big-net', model='net.keras', test=(big, np.zeros(1000, int)),\n"
        "    train=(big, np.zeros(1000, int)))\n"
        "print(sorted({'tensorflow', 'keras', 'tf_keras', 'ai_edge_litert'} & {*sys.modules}))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={"PYTHONPATH": str(Path(__file__).parents[2]), "TINYML_BENCH_CACHE": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.stdout, done.stderr) == ("[]\n", "")
    assert list(tmp_path.iterdir()) == []
