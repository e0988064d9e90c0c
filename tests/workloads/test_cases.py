"""The cases of a workload: which variants it has, which it lacks, and why."""

from pathlib import Path

import pytest

from tinyml_bench.errors import UsageError
from tinyml_bench.records.case import CaseId
from tinyml_bench.workloads import cases
from tinyml_bench.workloads.variants.recipes import VARIANTS
from tinyml_bench.workloads.workload import WORKLOADS, Workload

FILES = {"float32": Path("net.tflite"), "mine": Path("mine.tflite")}


@pytest.fixture(autouse=True)
def clean():
    """Leave no registration behind."""
    undo = WORKLOADS.snapshot()
    yield
    undo()


def workload(**changes):
    """Make a workload that is registered as ``toy-net``."""
    made = Workload("toy", "net", lambda: None, **changes)
    WORKLOADS.add("toy-net", made, replace=True)
    return made


def test_a_network_has_all_variants_that_need_no_asking():
    """And those of a quantizer only by name."""
    names = cases.names_of(workload())
    assert names == tuple(name for name in VARIANTS if VARIANTS[name].default)
    assert "int8" in names
    assert "litert_int8" not in names


def test_without_calibration_samples_calibrated_variants_are_left_out_with_the_reason():
    """One line for all of them."""
    made = workload(calibrates=False)
    left = cases.left_out(made)
    assert set(left) == {n for n in VARIANTS if VARIANTS[n].default and VARIANTS[n].calibrated}
    (line,) = cases.without("toy-net")
    assert line.startswith("toy-net is without ")
    assert line.endswith("it needs calibration samples: give register() train= or calibration=")
    assert not set(left) & set(cases.names_of(made))


def test_who_lists_variants_is_told_what_cannot_be_made():
    """Nothing that was asked for is left out in silence."""
    with pytest.raises(UsageError, match=r"'toy-net', variant 'int8': it needs calibration"):
        cases.names_of(workload(variants=("tf", "int8"), calibrates=False))
    with pytest.raises(UsageError, match="did you mean 'int8'"):
        cases.names_of(workload(variants=("int88",)))


def test_files_are_judged_as_they_are():
    """Nothing is converted: what needs a network is refused."""
    made = workload(files=FILES)
    assert cases.names_of(made) == ("float32", "mine")
    assert cases.left_out(made) == {}
    assert "made of a Keras model" in cases.lacking(made, "int8")
    assert "there is no file of that name" in cases.lacking(made, "litert_int8")


def test_what_is_made_of_one_file_is_judged_beside_it():
    """Listed or not, the file is a case."""
    made = workload(files={"float32": FILES["float32"]}, variants=("litert_dynamic_int8",))
    assert cases.names_of(made) == ("float32", "litert_dynamic_int8")


def test_a_file_claims_what_its_name_says_if_it_is_a_variant():
    """Of another name nothing is claimed."""
    workload(files={**FILES, "int8": Path("net8.tflite")})
    claims = {
        name: cases.resolve(CaseId("toy", "net", name)).recipe.claims for name in ("int8", "mine")
    }
    assert claims == {"int8": VARIANTS["int8"].claims, "mine": ""}


def test_reference_and_sibling_are_the_workloads_own():
    """Of a workload that is not registered here, as of a saved run, the usual ones."""
    workload(files=FILES, reference="mine", sibling="mine")
    case = CaseId("toy", "net", "float32")
    assert cases.reference_of(case) == cases.sibling_of(case) == CaseId("toy", "net", "mine")
    other = CaseId("other", "net", "int8")
    assert cases.reference_of(other).variant == "tf"
    assert cases.sibling_of(other).variant == "float32"


def test_only_the_network_itself_has_no_file():
    """A file that bears any name is one."""
    workload(files=FILES)
    assert cases.has_file(CaseId("toy", "net", "mine"))
    assert cases.has_file(CaseId("other", "net", "int8"))
    assert not cases.has_file(CaseId("other", "net", "tf"))


def test_a_case_is_resolved_with_all_that_its_id_stands_for():
    """What it is made of, how, and what it is compared with."""
    made = workload()
    case = cases.resolve(CaseId("toy", "net", "int8"))
    assert (case.workload, case.recipe, case.ready_made) == (made, VARIANTS["int8"], None)
    assert (case.reference.variant, case.sibling.variant) == ("tf", "float32")
    assert (case.has_file, case.is_reference) == (True, False)
    assert cases.resolve(case.reference).is_reference
    assert not cases.resolve(case.reference).has_file


def test_a_ready_made_file_is_known_as_one():
    """It is not to be converted."""
    workload(files=FILES, reference="mine", sibling="mine")
    case = cases.resolve(CaseId("toy", "net", "mine"))
    assert (case.ready_made, case.has_file, case.is_reference) == (FILES["mine"], True, True)


@pytest.mark.parametrize("name", ["toy-other-int8", "toy-net-int88"])
def test_an_unknown_workload_or_variant_is_an_error(name):
    """It lists what is known."""
    workload()
    with pytest.raises(UsageError, match="unknown"):
        cases.resolve(CaseId.parse(name))
