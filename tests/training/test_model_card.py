"""A model card survives JSON, a broken one is refused, and the committed one is true."""

import json
import runpy
from dataclasses import fields
from pathlib import Path

import pytest

from tinyml_bench.errors import CheckpointError
from tinyml_bench.training import checkpoints, compression_steps
from tinyml_bench.training.model_card import ModelCard, card_path
from tinyml_bench.workloads.models import count_macs, make_custom
from tinyml_bench.workloads.variants.compression import Compression
from tinyml_bench.workloads.workload import WORKLOADS, FineTuning, Training

FOLDER = Path(__file__).parents[2] / "benchmarks" / "checkpoints"
COMMITTED = FOLDER / "fashion_mnist-custom.npz"

CARD = ModelCard(
    workload="toy-net",
    command="tinyml-bench train toy-net",
    created="2026-01-31T12:00:00+00:00",
    recipe={"epochs": 2, "mirror": True},
    parameters=10,
    macs=20,
    split_sizes={"train": 3},
    split_sha256={"train": "ab"},
    toolchain={"python": "3.11.7"},
    cpu="x86_64",
    threads=2,
    training_seconds=1.5,
    best_epoch=2,
    validation_accuracy=0.75,
    test_accuracy=0.7,
    checkpoint_sha256="cd",
    checkpoint_bytes=40,
)


def changed(**fields):
    """Return the card's JSON with some fields replaced, or left out where ``None``."""
    content = json.loads(CARD.to_json()) | fields
    return json.dumps({name: value for name, value in content.items() if value is not None})


def test_a_card_survives_json():
    """What is written is read, and the text ends with a line break."""
    text = CARD.to_json()
    assert ModelCard.from_json(text) == CARD
    assert text.endswith("}\n")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{\n"format": 1,\n<<<<<<< ours', r"toy\.json:3 is no JSON"),
        ("[]", "no model card of format 1"),
        (changed(format=2), "no model card of format 1"),
        (changed(macs=None), "lacks, or should not have, macs;"),
        (changed(colour="red"), "lacks, or should not have, colour;"),
        (changed(test_accuracy="high", threads=True), "no fit value in threads, test_accuracy;"),
        (changed(recipe=[]), "no fit value in recipe;"),
    ],
)
def test_a_broken_card_is_refused(text, message):
    """The message names the file and what is wrong with it."""
    with pytest.raises(CheckpointError, match=message):
        ModelCard.from_json(text, "toy.json")


def test_the_card_lies_beside_its_checkpoint():
    """Only the suffix differs."""
    assert card_path(Path("a/b-c.npz")) == Path("a/b-c.json")


@pytest.mark.tensorflow
@pytest.mark.slow
def test_the_committed_card_is_true_of_the_committed_checkpoint():
    """Hash, size, parameters and multiplications are those of the file and the network."""
    card = ModelCard.from_json(card_path(COMMITTED).read_text(encoding="utf-8"))
    model = make_custom((28, 28, 1), 10)
    checkpoints.load_into(model, COMMITTED)
    assert card.checkpoint_sha256 == checkpoints.sha256(COMMITTED)
    assert card.checkpoint_bytes == COMMITTED.stat().st_size <= 2_000_000
    assert (card.parameters, card.macs) == (model.count_params(), count_macs(model))
    assert card.test_accuracy >= 0.925


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.json")), ids=lambda path: path.stem)
def test_the_committed_recipe_is_the_registered_one(monkeypatch, path):
    """Whoever runs the card's command trains with the card's recipe."""
    monkeypatch.setattr(WORKLOADS, "_entries", {})
    runpy.run_path(str(FOLDER.parent / "workloads.py"))
    card = ModelCard.from_json(path.read_text(encoding="utf-8"))
    workload = WORKLOADS[card.workload]
    if card.compression:
        kind = Compression.parse(card.compression)
        steps = compression_steps.steps_of(workload, workload.training, kind)
        expected = json.loads(json.dumps(compression_steps.recipe_of(steps)))  # which has no tuples
        younger = {one.name: one.default for one in (*fields(Training), *fields(FineTuning))}
        assert path.stem == f"{card.workload}-{kind}"
        assert card.recipe.keys() == expected.keys()
        for name, step in expected.items():
            assert {**step, **card.recipe[name]} == step
            assert all(step[key] == younger[key] for key in step.keys() - card.recipe[name].keys())
        return
    assert card.workload == path.stem
    # A field that is younger than the card had its default when the card was written.
    assert Training(**card.recipe) == workload.training


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*-*-*.json")), ids=lambda path: path.stem)
def test_a_compressed_network_was_made_from_the_committed_ones(path):
    """The hashes of what it goes on from are those of the files that are there."""
    card = ModelCard.from_json(path.read_text(encoding="utf-8"))
    assert f"{card.workload}.npz" in card.made_from
    for name, sha256 in card.made_from.items():
        assert checkpoints.sha256(FOLDER / name) == sha256


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.npz")), ids=lambda path: path.stem)
def test_each_committed_checkpoint_is_the_one_of_its_card(path):
    """The file's hash and size are those that the card has."""
    card = ModelCard.from_json(card_path(path).read_text(encoding="utf-8"))
    assert card.checkpoint_sha256 == checkpoints.sha256(path)
    assert card.checkpoint_bytes == path.stat().st_size


def test_the_committed_checkpoints_are_small():
    """All together take at most 40 MB, so that cloning the repository stays quick.

    Those of large networks that somebody has compressed are not committed.
    """
    ignored = (FOLDER.parents[1] / ".gitignore").read_text(encoding="utf-8").splitlines()
    lines = [line for line in ignored if line.startswith("benchmarks/checkpoints/")]
    large = {path for line in lines for path in FOLDER.glob(Path(line).name)}
    assert all(path.stem.count("-") == 2 for path in large)
    assert sum(path.stat().st_size for path in {*FOLDER.glob("*.npz")} - large) <= 40_000_000
