"""The documentation says what is so: its commands, settings, links and programs are tried."""

import argparse
import contextlib
import importlib.util
import io
import itertools
import json
import re
import runpy
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from making import make_finding, make_measurement

import tinyml_bench
from tinyml_bench import cli
from tinyml_bench.judging.policy.project import Project
from tinyml_bench.metrics.registry import FEWEST_SAMPLES, QUALITIES
from tinyml_bench.records.finding import Verdict
from tinyml_bench.records.run import Run
from tinyml_bench.storage import runs
from tinyml_bench.storage.baselines import overlays
from tinyml_bench.workloads.cases import cases_of
from tinyml_bench.workloads.datasets import DATASETS
from tinyml_bench.workloads.datasets.user_dataset import UserDataset
from tinyml_bench.workloads.variants.recipes import VARIANTS
from tinyml_bench.workloads.workload import WORKLOADS

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "tinyml_bench"
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.glob("*.md"))
ALL = [*PAGES, ROOT / "README.md", ROOT / "CONTRIBUTING.md"]
TOX = (ROOT / "tox.ini").read_text()
EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]

BLOCK = re.compile(r"^( *)```(\w+)\n(.*?)^\1```$", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"\]\(([^)\s]+)\)")
SPAN = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")


def blocks(path, language):
    """Return the examples of a page in one language."""
    return [found[3] for found in BLOCK.finditer(path.read_text()) if found[2] == language]


def prose(path):
    """Return a page without its examples."""
    return BLOCK.sub("", path.read_text())


def by_name(path):
    """Return how a page is called in a test's id."""
    return path.name


# -- commands -------------------------------------------------------------------------------------


def commands(text):
    """Return the single commands of a shell example, each as a list of words."""
    for line in text.replace("\\\n", " ").splitlines():
        words = shlex.shlex(line, posix=True, punctuation_chars=";&|<>")
        words.whitespace_split = True
        command = []
        for word in [*words, ";"]:
            if set(word) <= set(";&|<>"):
                if command and not command[0].startswith(">"):
                    yield command
                command = [word] if word.startswith(">") else []
            elif command or not re.fullmatch(r"\w+=.*", word):
                command.append(word)


def commands_of(path):
    """Return all commands that a page shows, in shell examples and in those of workflows."""
    for text in blocks(path, "sh"):
        yield from commands(text)
    for text in blocks(path, "yaml"):
        for line in re.findall(r"(?:run:|-) ((?:pip|pytest|tinyml-bench) .+)$", text, re.MULTILINE):
            yield from commands(line)


@pytest.fixture(scope="module")
def pytest_options():
    """Ask pytest for its long options, the plugin's included."""
    helped = subprocess.run(
        [sys.executable, "-m", "pytest", "--help"],
        capture_output=True, text=True, check=True, cwd=DOCS,
    )  # fmt: skip
    return set(re.findall(r"(--[a-z][a-z-]*)", helped.stdout))


def wrong(command, options):
    """Say what is wrong with a command; an empty text if nothing is."""
    program, *words = command
    if command[:2] == ["python", "-m"]:
        program, *words = words[1:]
    if program == "tinyml-bench":
        return wrong_words(words)
    if program == "pytest":
        given = {word.partition("=")[0] for word in words if word.startswith("--")}
        return f"pytest has no {given - options}" if given - options else ""
    if program == "tox":
        return wrong_environment(words)
    if program == "pip":
        named = {one for word in words for one in re.findall(r"\[(.+)\]", word)}
        extras = {extra for names in named for extra in names.split(",")}
        return f"no extra {extras - set(EXTRAS)}" if extras - set(EXTRAS) else ""
    if program == "python" and words[0].endswith(".py"):
        return "" if (ROOT / words[0]).is_file() else f"no file {words[0]}"
    known = {"cd", "git", "mkdir", ".", "venv", "pytest-benchmark", "export", "tee"}
    return "" if program in known else f"{program} is no program that the pages may call"


def wrong_words(words):
    """Say what the command line would refuse; an empty text if nothing."""
    with contextlib.redirect_stderr(io.StringIO()) as said, contextlib.suppress(SystemExit):
        cli._parser().parse_args(words)
        return ""
    return said.getvalue()


def wrong_environment(words):
    """Say which environment or label tox.ini has not; an empty text if it has all."""
    names = [
        (flag, name)
        for flag, given in itertools.pairwise(words)
        if flag in ("-e", "-m")
        for name in given.split(",")
    ]
    for flag, name in names:
        factors = re.fullmatch(r"py(\d+-\w+)", name)
        if flag == "-m":
            known = re.search(rf"^    {name} = ", TOX, re.MULTILINE)
        else:
            known = f"[testenv:{name}]" in TOX or (factors and factors[1] in TOX)
        if not known:
            return f"tox.ini has no {name}"
    return "" if names else "tox without an environment"


@pytest.mark.parametrize("path", ALL, ids=by_name)
def test_every_command_can_be_given(path, pytest_options):
    """Programs, sub-commands, options, environments and extras are there."""
    assert [said for one in commands_of(path) if (said := wrong(one, pytest_options))] == []


@pytest.mark.parametrize(
    "line",
    [
        "tinyml-bench lists",
        "tinyml-bench list --nothing",
        "tinyml-bench inspect",
        "pytest --tinyml-nothing",
        "python -m pytest benchmarks/ --baseline-updates",
        "python -m tox run -e nothing",
        "pip install 'tinyml-bench[nothing]'",
        "python benchmarks/nothing.py",
        "X=1 apt install x && tinyml-bench list",
    ],
)
def test_a_command_that_cannot_be_given_is_seen(line, pytest_options):
    """The test above can fail."""
    assert any(wrong(one, pytest_options) for one in commands(line))


def parts_of(parser=None):
    """Return the command lines that the command has, and all of its options."""
    names, options = set(), set()
    for action in (parser or cli._parser())._actions:
        options |= set(action.option_strings)
        if isinstance(action, argparse._SubParsersAction):
            for name, child in action.choices.items():
                below, more = parts_of(child)
                names |= {name} | {f"{name} {one}" for one in below}
                options |= more
    return names, options


def sub_command(words, names):
    """Tell whether words begin with a sub-command, and with an action where it has some."""
    first, second = [*words, ""][:2]
    acts = any(name.startswith(f"{first} ") for name in names)
    if acts and re.fullmatch("[a-z]+", second):
        return f"{first} {second}" in names
    return first in names or not first.islower()


def test_a_sub_command_that_is_not_there_is_seen():
    """The test below can fail."""
    names, _ = parts_of()
    assert sub_command(["baseline", "verify"], names)
    assert sub_command(["versions", "diff", "OLD"], names)
    assert not sub_command(["baseline", "check"], names)
    assert not sub_command(["lists"], names)


@pytest.mark.parametrize("path", ALL, ids=by_name)
def test_what_is_named_in_a_sentence_exists(path, pytest_options):
    """Sub-commands and options are spelled as they are."""
    names, options = parts_of()
    odd = []
    for span in SPAN.findall(prose(path)):
        words = span.split()
        if words[0] == "tinyml-bench" and len(words) > 1:
            odd += [span] if not sub_command(words[1:], names) else []
        if words[0] in ("tinyml-bench", "pytest") or words[0].startswith("--"):
            given = {word.split("=")[0] for word in words if re.match("--[a-z]", word)}
            odd += [span] if given - options - pytest_options else []
    assert odd == []


# -- settings, data and programs ------------------------------------------------------------------


def documents(language):
    """Return every example in one language with the name of its page."""
    return [
        pytest.param(text, id=f"{path.name}-{number}")
        for path in ALL
        for number, text in enumerate(blocks(path, language), 1)
    ]


def overlay_examples(found):
    """Return those of the examples that are overlays, or all others."""
    return [one for one in documents("toml") if ("[[overlay]]" in one.values[0]) is found]


@pytest.mark.parametrize("text", overlay_examples(True))
def test_every_overlay_that_is_shown_is_one(text, tmp_path):
    """The pages show no key, metric or specifier that the reader of overlays would refuse."""
    path = overlays.path_of(tmp_path, "digits-net")
    path.parent.mkdir()
    path.write_text(text, encoding="utf-8")
    assert overlays.read(tmp_path, "digits-net", VARIANTS)


@pytest.mark.parametrize("text", overlay_examples(False))
def test_every_table_of_settings_is_accepted(text, tmp_path):
    """The pages show no key and no value that a project may not have."""
    (tmp_path / "pyproject.toml").write_text(text, encoding="utf-8")
    project = Project.find(tmp_path)
    project.check()
    assert project.root == tmp_path
    assert tomllib.loads(text)["tool"]["tinyml_bench"]


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """Give a folder with what the examples read, from which nothing stays registered."""
    monkeypatch.chdir(tmp_path)
    samples = np.zeros((40, 8, 8, 1), np.float32), np.arange(40) % 2
    for name in ("test", "train", "landmarks"):
        np.savez(f"{name}.npz", x=samples[0], y=samples[1])
    recipe = {"regex": ".*", "operation": "*", "algorithm_key": "min_max_uniform_quantize"}
    Path("recipe.json").write_text(json.dumps([recipe]), encoding="utf-8")
    finding = make_finding("accuracy", Verdict.REGRESSED, baseline=0.9, current=0.8, fails=True)
    run = Run("last", "2026-11-22T00:00:00+00:00", (make_measurement(),), (finding,))
    runs.write(run, tmp_path / ".tinyml_bench" / "runs")
    restores = [one.snapshot() for one in (WORKLOADS, DATASETS, VARIANTS, QUALITIES)]
    yield tmp_path
    for restore in restores:
        restore()


@pytest.mark.parametrize("text", documents("python"))
def test_every_program_runs(text, repository):
    """What it registers can be judged: it has cases and test samples."""
    before = set(WORKLOADS)
    (repository / "conftest.py").write_text(text, encoding="utf-8")
    runpy.run_path(str(repository / "conftest.py"))
    for name in set(WORKLOADS) - before:
        workload = WORKLOADS[name]
        assert list(cases_of(workload))
        given = DATASETS[workload.dataset].load
        if not (isinstance(given, UserDataset) and callable(given.test.given)):
            assert len(given("test")) >= FEWEST_SAMPLES


def test_the_programs_register_all_ways():
    """The test above has something to look at."""
    names = re.findall(r'register\(\s*"([\w-]+)"', (DOCS / "your-model.md").read_text())
    assert len(names) > 3


# -- pages ----------------------------------------------------------------------------------------


def anchors(path):
    """Return the names that a page's headings have in links."""
    text = re.sub(r"^```.*?^```", "", path.read_text(), flags=re.DOTALL | re.MULTILINE)
    titles = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    plain = (re.sub(r"[^\w\- ]", "", title).strip().lower() for title in titles)
    return {title.replace(" ", "-") for title in plain}


@pytest.mark.parametrize("path", ALL, ids=by_name)
def test_every_link_leads_somewhere(path):
    """Files are there, and headings in them."""
    broken = []
    for link in LINK.findall(prose(path)):
        file, _, anchor = link.partition("#")
        if re.match(r"[a-z]+:", link):
            continue
        target = (path.parent / file) if file else path
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)
    assert broken == []


def test_every_page_is_in_the_table_of_contents():
    """A page that nobody can reach is none."""
    page = (DOCS / "index.md").read_text()
    tables = re.findall(r"```{toctree}(.*?)```", page, re.DOTALL)
    listed = re.findall(r"^[\w-]+$", "".join(tables), re.MULTILINE)
    assert sorted(listed) == sorted({path.stem for path in PAGES} - {"index"})


def test_the_first_page_leads_to_every_other():
    """By its table of what one wants to do; what follows from them is only in the contents."""
    text = prose(DOCS / "index.md")
    linked = {Path(link).stem for link in LINK.findall(text)}
    assert {path.stem for path in PAGES} - linked == {"index", "changes", "decisions"}


SCHEMA = json.loads((ROOT / "tinyml_bench" / "run.schema.json").read_text())


@pytest.mark.parametrize("part", ["", "measurement", "finding"])
def test_every_key_of_a_saved_run_is_on_the_page_for_programs(part):
    """As the schema has it: a key has a row of its own in the table of its record."""
    page = (DOCS / "interface.md").read_text()
    after = page.partition(f"\nA {part}:\n")[2] if part else page
    keys = (SCHEMA["$defs"][part] if part else SCHEMA)["properties"]
    table = re.search(r"^\| key \|.*?(?=\n\n)", after, re.DOTALL | re.MULTILINE)[0]
    rows = {name for cell in re.findall(r"^\| (`.*?) \|", table, re.MULTILINE)
            for name in re.findall(r"`(\w+)`", cell)}  # fmt: skip
    assert rows == set(keys)


@pytest.mark.parametrize("path", PAGES, ids=by_name)
def test_a_page_begins_with_what_it_is_for(path):
    """After the title comes a paragraph, not a list, a table or another title."""
    title, empty, first, *_ = path.read_text().splitlines()
    assert title.startswith("# ")
    assert empty == ""
    assert re.match(r"[A-Z*`]", first)


def test_the_python_page_has_every_public_name():
    """What can be imported from the package is documented, and nothing else as its own."""
    page = (DOCS / "api.md").read_text()
    names = set(re.findall(r"^\.\. (?:auto|py:)\w+:: tinyml_bench\.(\w+)$", page, re.MULTILINE))
    assert names == set(tinyml_bench.__all__) - {"__version__"}


# A dotted name of the package, but for tables of settings, and what is imported from it.
DOTTED = re.compile(r"(?<!tool\.)\btinyml_bench\.(\w+)")
IMPORTED = re.compile(r"^\s*from tinyml_bench import (\([^)]*\)|.*)$", re.MULTILINE)

# The package's own tests, and the command line for `python -m`, have a home that stays.
MODULES = {"checks", "cli"}

USERS_FILES = [
    *PAGES,
    ROOT / "README.md",
    ROOT / "benchmarks" / "workloads.py",
    *sorted((ROOT / "benchmarks").glob("test_*.py")),
    *sorted((ROOT / "examples").rglob("*.py")),
    ROOT / "tinyml_bench" / "cli" / "commands" / "init.py",
]


def names_used(text):
    """Return the names that a page or program reaches for in the package."""
    imported = (re.findall(r"\w+", names.partition("#")[0]) for names in IMPORTED.findall(text))
    return {*DOTTED.findall(text), *(name for names in imported for name in names)}


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("from tinyml_bench.judging import Policy", {"judging"}),
        ("import tinyml_bench.judging", {"judging"}),
        ("    from tinyml_bench import judging, register", {"judging", "register"}),
        ("from tinyml_bench import (\n    judging,\n)", {"judging"}),
        ("see `tinyml_bench.judging.policy`", {"judging"}),
        ("[tool.tinyml_bench.policy]", set()),
    ],
)
def test_a_name_is_seen_however_it_is_reached(text, names):
    """The next test would notice each of these."""
    assert names_used(text) == names


@pytest.mark.parametrize("path", USERS_FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_users_reach_for_public_names_only(path):
    """What a page, an example or a template of `init` imports survives any move of a module."""
    text = path.read_text()
    if path.name == "init.py":  # the template's own imports are the package's
        text = "\n".join(re.findall(r'"""(?:.|\n)*?"""', text))
    assert names_used(text) - MODULES <= {*tinyml_bench.__all__, "__file__"}


def test_every_path_of_contributing_exists():
    """A move that forgets the guide fails here: a file of the package, or of the repository."""
    text = (ROOT / "CONTRIBUTING.md").read_text()
    paths = set(re.findall(r"`([\w./]+(?:/|\.(?:py|toml|json|md)))`", text))
    assert len(paths) > 40
    # A bare name is that of a module named in full before it in its row.
    full = {path for path in paths if "/" in path}
    gone = [path for path in full if not any((at / path).exists() for at in (ROOT, PACKAGE))]
    assert gone == []


def written():
    """Return the module that writes parts of the pages."""
    spec = importlib.util.spec_from_file_location("written_pages", DOCS / "written.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_mark_has_its_part():
    """No page waits for a text that nobody writes, and no text is written for no page."""
    marks = {
        mark
        for path in PAGES
        for mark in re.findall(r"^<!-- written: (\w+) -->$", path.read_text(), re.MULTILINE)
    }
    assert marks == set(written().PARTS)


def test_every_variant_is_on_its_page():
    """With what it does, for what it is, and when not to use it."""
    text = written().variants()
    for recipe in VARIANTS.values():
        assert f"### `{recipe.name}`" in text
        assert recipe.avoid.replace("_", r"\_") in text


def test_every_note_is_in_the_changes():
    """The latest work comes first."""
    text = written().changes()
    notes = [path for path in (ROOT / "changelog.d").glob("*.md") if path.name != "README.md"]
    assert notes
    for note in notes:
        first = note.read_text().split()[0:6]
        assert " ".join(first).removeprefix("- ") in text


@pytest.mark.slow
def test_the_ready_made_files_are_judged_as_the_page_says(pytester, monkeypatch):
    """Two files and an .npz: the page's program and its two commands, and baselines are there."""
    example = ROOT / "examples" / "keyword_spotting"
    for name, file in (("net_float", "keywords_float32"), ("net_int8", "keywords_int8")):
        shutil.copy(example / f"{file}.tflite", pytester.path / f"{name}.tflite")
    shutil.copy(example / "test.npz", pytester.path)
    text = next(one for one in blocks(DOCS / "your-model.md", "python") if "digits-vendor" in one)
    pytester.makeconftest(text)
    monkeypatch.setenv("TINYML_BENCH_CACHE", str(pytester.path / "cache"))
    quick = ("--tinyml", "--benchmark-disable", "--tinyml-device", "off", "--tinyml-workers", "1")
    assert pytester.runpytest_subprocess(*quick, "--baseline-update-new").ret == 0
    stored = {path.name for path in (pytester.path / "baselines" / "digits-vendor").glob("*.json")}
    assert stored == {"float32.json", "int8.json"}
    assert pytester.runpytest_subprocess(*quick).ret == 0
