"""What samples contribute survives files, to the bit, and is refused where damaged."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from making import (
    make_case,
    make_errors,
    make_finding,
    make_measurement,
    make_regression,
    make_stored,
)

from tinyml_bench.errors import BaselineError, UsageError
from tinyml_bench.metrics.registry import QUALITIES, metric
from tinyml_bench.records.finding import Verdict
from tinyml_bench.records.predictions import pack_rows, unpack_rows
from tinyml_bench.records.run import Run
from tinyml_bench.storage import baselines, runs
from tinyml_bench.suite.new_failures import newly_flipped

pytestmark = pytest.mark.usefixtures("restored_registries")

CASE = make_case()
STORED = make_stored(make_regression(gap=0.1))
TEXT = baselines.render(STORED)


def edited(change):
    """Return the text of the baseline after `change` was applied to its JSON document."""
    document = json.loads(TEXT)
    change(document)
    return json.dumps(document, indent=1) + "\n"


def refused(text):
    """Return why the text is refused."""
    with pytest.raises(BaselineError) as caught:
        baselines.parse(text, CASE, "int8.json")
    return str(caught.value)


class TestPacking:
    """The packed form is exact and small."""

    @pytest.mark.parametrize("shape", [(1, 1), (7, 3), (0, 2)])
    def test_rows_come_back_to_the_bit(self, shape):
        """Subnormal numbers, both zeros and the largest float included."""
        values = np.random.default_rng(1).normal(size=shape).astype(np.float32)
        values.flat[:4] = [1e-45, -0.0, 3.4e38, -1.5][: values.size]
        back = unpack_rows(pack_rows(values), *shape)
        assert (back.dtype, back.shape) == (np.float32, shape)
        assert back.tobytes() == values.tobytes()

    def test_labels_beside_scores_cost_little(self):
        """A column of class indices of 10,000 samples takes less than a byte each."""
        labels = np.random.default_rng(2).integers(0, 2, (10_000, 1)).astype(np.float32)
        assert len(pack_rows(labels)) < 10_000

    def test_text_of_another_size_is_refused(self):
        """However little it takes to hold a lot of zeros."""
        text = pack_rows(np.zeros((10**6, 1), np.float32))
        with pytest.raises(ValueError, match="holds more than 40 bytes"):
            unpack_rows(text, 10, 1)
        with pytest.raises(ValueError, match="is damaged"):
            unpack_rows("?", 10, 1)

    def test_what_is_not_finite_is_refused(self):
        """No measurement holds such a number."""
        broken = pack_rows(np.array([[1], [np.nan]], np.float32))
        with pytest.raises(ValueError, match="a number that is not finite"):
            unpack_rows(broken, 2, 1)


class TestBaseline:
    """A baseline file holds them beside its facts."""

    def test_it_comes_back_as_it_was(self):
        """Without predictions, where the workload has no classes."""
        back = baselines.parse(TEXT, CASE, "")
        assert back.predictions is None
        assert back.facts == STORED.facts
        assert back.samples == 400
        assert np.array_equal(back.outcomes["mse"], STORED.outcomes["mse"])
        assert baselines.render(back) == TEXT

    def test_without_such_metrics_there_is_no_word_of_them(self):
        """So that files of before are as they were."""
        measured = make_measurement()
        plain = replace(make_stored(measured), predictions=measured.predictions)
        assert "outcomes" not in baselines.render(plain)

    def test_a_figure_that_its_samples_do_not_make_was_edited(self):
        """The line is that of the fact."""
        text = edited(lambda document: document["facts"].update(mse=0.5))
        line = next(n for n, line in enumerate(text.splitlines(), 1) if '"mse"' in line)
        assert f"line {line}: states mse 0.5 and holds contributions that make it" in refused(text)

    @pytest.mark.parametrize(
        ("change", "said"),
        [
            (lambda d: d.pop("outcomes"), "'predictions' is None, expected dict, or 'outcomes'"),
            (lambda d: d.update(outcomes=[]), "'outcomes' is [], expected dict"),
            (lambda d: d.update(outcomes={"mse": 1}), "'mse' is 1, expected dict"),
            (lambda d: d["outcomes"]["mse"].pop("values"), "lacks 'values'"),
            (lambda d: d["outcomes"]["mse"].update(values="?"), "'mse' is damaged"),
            (lambda d: d["outcomes"]["mse"].update(samples=0), "states 0 images"),
            (lambda d: d["outcomes"]["mse"].update(columns=-1), "states -1 columns"),
            (lambda d: d["outcomes"]["mse"].update(columns=2), "'mse' holds 1600 bytes"),
            (
                lambda d: d["outcomes"].update(
                    mae={"samples": 1, "columns": 1, "values": pack_rows(make_errors(1))}
                ),
                "holds 1 and 400 samples, expected one number of them",
            ),
        ],
    )
    def test_what_is_damaged_is_named(self, change, said):
        """As in the rest of the file."""
        assert said in refused(edited(change))

    def test_a_metric_that_is_not_registered_is_read_all_the_same(self):
        """The command line knows nothing of a conftest."""
        metric("dice")(lambda *_: 0.0)
        mine = replace(
            STORED, facts={"dice": 0.9, "dice_gap": 0.1}, outcomes={"dice": make_errors()}
        )
        mine.outcomes["dice"][:] = 0.9
        text = baselines.render(mine)
        QUALITIES._entries.pop("dice")
        assert baselines.parse(text, CASE, "").facts == mine.facts
        assert baselines.render(baselines.parse(text, CASE, "")) == text
        nowhere = edited(lambda document: document["facts"].update(dice=0.9))
        assert "has an unknown fact 'dice'" in refused(nowhere)


class TestUpdate:
    """An update writes what changed, and nothing where nothing did."""

    def stored(self, folder, measured):
        """Create the baseline."""
        change = baselines.update(folder, measured, [], rewrite=False)
        assert change is not None
        assert change.created

    def test_the_same_again_changes_no_file(self, tmp_path):
        """Neither way."""
        measured = make_regression(gap=0.1)
        self.stored(tmp_path, measured)
        for rewrite in (False, True):
            assert baselines.update(tmp_path, measured, [], rewrite=rewrite) is None

    def test_other_contributions_are_stored_though_the_figure_is_the_same(self, tmp_path):
        """The next run is paired with them."""
        self.stored(tmp_path, make_regression())
        swapped = make_regression(errors=make_errors()[::-1].copy())
        change = baselines.update(tmp_path, swapped, [], rewrite=True)
        assert (change.facts, change.flips) == ((), 0)
        back = baselines.read(tmp_path, CASE)
        assert np.array_equal(back.outcomes["mse"], swapped.outcomes["mse"])

    def test_a_worse_figure_needs_a_reason(self, tmp_path):
        """As any does."""
        self.stored(tmp_path, make_regression())
        worse = make_regression(errors=make_errors(worse=0.2))
        findings = [make_finding("mse", Verdict.REGRESSED, baseline=1.0, current=1.2)]
        with pytest.raises(BaselineError, match=r"mse \(1 -> 1.2\) got worse"):
            baselines.update(tmp_path, worse, findings, rewrite=True)
        assert baselines.update(tmp_path, worse, findings, rewrite=True, reason="a new sensor")

    def test_a_new_metric_is_added_with_what_it_is_made_of(self, tmp_path):
        """And the others are left alone."""
        self.stored(tmp_path, make_regression())
        more = make_regression(mae=float(make_errors().astype(float).mean()))
        more = replace(more, outcomes={**more.outcomes, "mae": make_errors()})
        change = baselines.update(tmp_path, more, [], rewrite=False)
        assert [name for name, *_ in change.facts] == ["mae"]
        assert sorted(baselines.read(tmp_path, CASE).outcomes) == ["mae", "mse"]

    def test_a_new_metric_of_other_samples_is_not_added(self, tmp_path):
        """They could not be paired."""
        self.stored(tmp_path, make_regression())
        few = make_errors(100)
        more = replace(
            make_regression(errors=few, mae=float(few.astype(float).mean())),
            outcomes={"mse": few, "mae": few},
        )
        with pytest.raises(BaselineError, match="mae cannot be added"):
            baselines.update(tmp_path, more, [], rewrite=False)

    def test_a_metric_that_is_gone_goes_from_the_file(self, tmp_path):
        """Where the baseline is rewritten, whether or not it is still registered."""
        metric("dice")(lambda *_: 0.0)
        both = make_regression(dice=0.5)
        both = replace(both, outcomes={**both.outcomes, "dice": np.full((400, 1), 0.5, np.float32)})
        self.stored(tmp_path, both)
        QUALITIES._entries.pop("dice")
        change = baselines.update(tmp_path, make_regression(), [], rewrite=True, reason="gone")
        assert change.facts == (("dice", 0.5, None),)
        assert list(baselines.read(tmp_path, CASE).outcomes) == ["mse"]

    def test_fewer_samples_replace_nothing(self, tmp_path):
        """As with images."""
        self.stored(tmp_path, make_regression())
        with pytest.raises(BaselineError, match="holds 400 images, this run evaluated 100"):
            baselines.update(tmp_path, make_regression(errors=make_errors(100)), [], rewrite=True)

    def test_nothing_evaluated_is_nothing_to_store(self, tmp_path):
        """No file is made of it."""
        nothing = replace(make_regression(), outcomes={})
        assert baselines.update(tmp_path, nothing, [], rewrite=True) is None
        with pytest.raises(BaselineError, match="nothing was measured"):
            baselines.from_measurement(nothing)


class TestRun:
    """A saved run holds them, and what has to be known of a user's metric."""

    def saved(self, *measured):
        """Return the run as its file has it."""
        return json.loads(json.dumps(runs.to_json(Run("last", "now", measured, ()))))

    def test_it_comes_back_as_it_was(self):
        """Predictions and outcomes side by side."""
        both = replace(make_measurement(), outcomes={"mse": make_errors(1000)})
        table = self.saved(both, make_regression())
        first, second = runs.from_json(table).measurements
        assert first.samples == 1000
        assert first.predictions is not None
        assert second.predictions is None
        assert np.array_equal(second.outcomes["mse"], make_errors())
        assert "metrics" not in table
        assert "outcomes" not in runs.measurement_to_json(make_measurement())

    def test_a_user_s_metric_is_known_from_the_file(self):
        """With its direction, unit and form; one that is registered stays what it is."""
        metric("dice", unit="mm", better="lower", form=".2f")(lambda *_: 0.0)
        measured = replace(make_regression(), outcomes={"dice": make_errors()})
        table = self.saved(measured)
        assert table["metrics"]["dice"]["better"] == "lower"
        mine = QUALITIES["dice"]
        runs.from_json(table)
        assert QUALITIES["dice"] is mine
        QUALITIES._entries.pop("dice")
        runs.from_json(table)
        assert (QUALITIES["dice"].unit, QUALITIES["dice"].form) == ("mm", ".2f")

    @pytest.mark.parametrize(
        ("change", "said"),
        [
            (lambda t: t.update(metrics=[]), "metrics is [], expected an object"),
            (lambda t: t.update(metrics={"d": {}}), "metrics.d.meaning is missing"),
            (
                lambda t: t["measurements"][0]["outcomes"].update(mse=3),
                "measurements[0].outcomes.mse is 3, expected an object",
            ),
            (
                lambda t: t["measurements"][0]["outcomes"]["mse"].update(samples=0),
                "measurements[0].outcomes.mse holds 0 samples",
            ),
            (
                lambda t: t["measurements"][0]["outcomes"]["mse"].update(values="?"),
                "measurements[0].outcomes.mse is damaged",
            ),
        ],
    )
    def test_what_is_damaged_is_named_by_its_place(self, change, said):
        """As in the rest of the file."""
        table = self.saved(make_regression())
        change(table)
        with pytest.raises(UsageError) as caught:
            runs.from_json(table)
        assert said in str(caught.value)


class TestAgainst:
    """What is new against a saved run is told of a workload's own metrics too."""

    def flipped(self, then, now, name="mse"):
        """Return which of the samples that tell against `now` did not against `then`."""
        worst = tuple(np.argsort(-(now - make_errors())[:, 0])[:2].tolist())
        found = make_finding(name, Verdict.REGRESSED, flipped=worst)
        saved = Run("last", "now", (make_regression(errors=then),), ())
        return newly_flipped(found, make_regression(errors=now), STORED, None, saved)

    def test_a_sample_that_was_among_the_worst_is_not_new(self):
        """And one that was not is."""
        then, now = make_errors().copy(), make_errors().copy()
        then[7] += 5
        now[[7, 8]] += 5
        assert self.flipped(then, now) == (8,)

    def test_a_gap_needs_the_reference(self):
        """Which the saved run lacks here."""
        with pytest.raises(UsageError, match="no predictions of tiny-cnn-tf"):
            self.flipped(make_errors(), make_errors() + 1, "mse_gap")
