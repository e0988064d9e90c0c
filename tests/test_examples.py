"""The examples: small, made by themselves, and run as their READMEs say."""

import ast
import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"
sys.path.insert(0, str(EXAMPLES))

import run  # noqa: E402 - the path above comes first

MOST_BYTES = 200_000
FOLDERS = [EXAMPLES / name for name in run.NAMES]
README = """# A thing

## Judge it

```sh
python -m pytest --tinyml
```

## See it fail

```sh
python plant_fault.py
python -m pytest --tinyml
```

```text
shapes-cnn-int8 accuracy: 0.9690 -> 0.1240, limit 0.9640; look at layer stage1_conv
```

## Train it anew

```sh
python train.py
```
"""
LINE = "shapes-cnn-int8 accuracy: 0.9690 -> 0.1240, limit 0.9640; look at layer stage1_conv"

each = pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)


def load(path, monkeypatch):
    """Import one file of an example, which may import its neighbours."""
    monkeypatch.syspath_prepend(str(path.parent))
    spec = importlib.util.spec_from_file_location(f"example_{path.parent.name}_{path.stem}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def registrations(folder):
    """Return the calls of `register` in a conftest.py."""
    tree = ast.parse((folder / "conftest.py").read_text(encoding="utf-8"))
    calls = (node for node in ast.walk(tree) if isinstance(node, ast.Call))
    return [one for one in calls if ast.unparse(one.func) == "tinyml_bench.register"]


class TestReadme:
    """What the harness makes of a README."""

    def test_commands_are_told_from_failures_and_training_is_left_out(self):
        """A block of commands, and the failure it comes to where one follows."""
        assert run.steps(README) == [
            run.Step(("python -m pytest --tinyml",)),
            run.Step(("python plant_fault.py", "python -m pytest --tinyml"), LINE),
        ]

    @each
    def test_every_example_is_judged_broken_and_mended(self, folder):
        """Green, then red with a first line that names a layer, then green again."""
        steps = run.steps((folder / "README.md").read_text(encoding="utf-8"))
        failures = [bool(step.failure) for step in steps]
        assert failures.count(True) == 1
        assert not failures[0]
        assert not failures[-1]
        red = steps[failures.index(True)]
        assert red.commands == ("python plant_fault.py", "python -m pytest --tinyml")
        assert "; look at layer " in red.failure
        assert steps[-1].commands == red.commands

    def test_a_line_may_differ_in_figures_but_not_in_words(self):
        """Another toolchain gives another accuracy of a broken model, but the same baseline."""
        assert run.agrees(LINE.replace("0.1240", "0.1310"), LINE)
        assert not run.agrees(LINE.replace("stage1", "stage2"), LINE)
        assert not run.agrees(LINE.replace("0.9690", "0.9700"), LINE)
        assert not run.agrees("", LINE)

    def test_the_first_failure_is_found_in_what_pytest_prints(self):
        """The lines around it, and later failures, are not it."""
        printed = f"F.\nE   {LINE}\nE     of 1,000 images ...\nE   {LINE.replace('8', '9')}\n"
        assert run.first_failure(printed, LINE) == LINE
        assert run.first_failure("3 passed", LINE) == ""


class TestHarness:
    """A README that is wrong is found."""

    @pytest.fixture
    def toy(self, tmp_path, monkeypatch):
        """Make an example whose suite is three lines of Python."""
        monkeypatch.setattr(run, "HERE", tmp_path)
        monkeypatch.setattr(run, "_check_installed", lambda *given: None)
        folder = tmp_path / "toy"
        folder.mkdir()
        (folder / "suite.py").write_text(
            "import pathlib, sys\n"
            "if pathlib.Path('broken').exists():\n"
            f"    sys.exit('E   {LINE}')\n"
        )
        (folder / "fault.py").write_text("open('broken', 'w').close()\n")
        return folder

    def test_what_the_readme_says_is_run(self, toy):
        """Green, then red: nothing is raised, and the example itself stays as it is."""
        self.run_with(
            toy,
            "```sh\npython suite.py\n```\n```sh\npython fault.py\npython suite.py\n```\n"
            f"```text\n{LINE}\n```\n",
        )
        assert not (toy / "broken").exists()

    def test_a_failure_that_is_not_promised_is_an_error(self, toy):
        """Exit 1 where the README says nothing of a failure."""
        with pytest.raises(run.MismatchError, match="exited 1, not 0"):
            self.run_with(toy, "```sh\npython fault.py\npython suite.py\n```\n")

    def test_a_fault_that_nothing_catches_is_an_error(self, toy):
        """Exit 0 where the README promises a failure."""
        with pytest.raises(run.MismatchError, match="exited 0, not 1"):
            self.run_with(toy, f"```sh\npython suite.py\n```\n```text\n{LINE}\n```\n")

    def test_another_first_line_is_an_error(self, toy):
        """The README names another layer."""
        other = LINE.replace("stage1", "stage3")
        with pytest.raises(run.MismatchError, match="expected the first line"):
            self.run_with(
                toy, f"```sh\npython fault.py\npython suite.py\n```\n```text\n{other}\n```\n"
            )

    @staticmethod
    def run_with(folder, readme):
        """Run the toy with this README."""
        (folder / "README.md").write_text(readme)
        run.run(folder.name)


class TestRepositories:
    """Each example is a small repository of its own."""

    @each
    def test_one_registration_of_ten_lines_is_all(self, folder):
        """Nothing else of the package is used."""
        (call,) = registrations(folder)
        assert call.end_lineno - call.lineno + 1 <= 10

    @each
    def test_what_is_committed_is_small_and_complete(self, folder):
        """A network, baselines, and no file that is large."""
        networks = [*folder.glob("*.keras"), *folder.glob("*.tflite")]
        assert networks
        assert all(path.stat().st_size <= MOST_BYTES for path in networks)
        assert [*folder.glob("baselines/*/*.json"), *folder.glob("baselines/*.json")]
        for name in ("README.md", "pyproject.toml", "train.py", "plant_fault.py", ".gitignore"):
            assert (folder / name).is_file()

    @each
    def test_a_fault_is_taken_back_by_planting_it_again(self, folder, tmp_path):
        """The files are then what they were, and in between they are not."""
        copy = shutil.copytree(folder, tmp_path / folder.name)
        before = contents(copy)
        for same in (False, True):
            subprocess.run([sys.executable, "plant_fault.py"], cwd=copy, check=True)
            assert (contents(copy) == before) is same


class TestSamples:
    """What the examples are judged on is made from seeds."""

    @pytest.mark.parametrize("name", ["image_classifier/shapes.py", "anomaly_detection/motor.py"])
    def test_splits_are_the_same_each_time_and_share_nothing(self, name, monkeypatch):
        """The same split twice, and no sample of the test split in another."""
        module = load(EXAMPLES / name, monkeypatch)
        test, labels = module.make("test")
        again, labels_again = module.make("test")
        assert np.array_equal(test, again)
        assert np.array_equal(labels, labels_again)
        others = (sample for split in ("train", "validation") for sample in module.make(split)[0])
        seen = {sample.tobytes() for sample in others}
        assert not seen & {sample.tobytes() for sample in test}

    def test_the_stored_sounds_are_what_the_front_end_makes(self, monkeypatch):
        """`make_data.py` would write what is there."""
        folder = EXAMPLES / "keyword_spotting"
        sounds = load(folder / "sounds.py", monkeypatch)
        front_end = load(folder / "front_end.py", monkeypatch)
        waves, labels = sounds.make("test")
        with np.load(folder / "test.npz") as stored:
            assert np.array_equal(stored["y"], labels)
            assert np.array_equal(stored["x"], front_end.features(waves))

    def test_the_front_end_hears_a_tone_where_it_is(self, monkeypatch):
        """A tone of 1 kHz is loudest in the band around 1 kHz, in every frame."""
        front_end = load(EXAMPLES / "keyword_spotting" / "front_end.py", monkeypatch)
        time = np.arange(front_end.RATE) / front_end.RATE
        heard = front_end.features(np.sin(2 * np.pi * 1000 * time)[np.newaxis])
        assert heard.shape == (1, 30, 20, 1)
        lowest, highest = (2595 * np.log10(1 + hertz / 700) for hertz in (100, 3800))
        width = (highest - lowest) / 21  # 20 bands that overlap by halves; 1 kHz is 1000 mel
        assert set(heard[0, :, :, 0].argmax(axis=1)) == {round((1000 - lowest) / width) - 1}


def contents(folder):
    """Return the bytes of every file."""
    return {
        path.relative_to(folder): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts
    }
