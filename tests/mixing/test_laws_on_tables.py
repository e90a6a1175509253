"""Laws reached from the command line, budgets divided by them, and projections to a scale that was not trained."""

import csv
import itertools
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gristmill.corpus.store.errors import RequestError
from gristmill.mixing.laws import robust
from gristmill.mixing.laws.joint import spend, tokens_of
from gristmill.mixing.laws.projection import fit_projection
from gristmill.mixing.laws.repetition import Bucket, filtered_loss
from gristmill.mixing.search.simplex import Limits
from gristmill.mixing.standalone import LAWS, law_of_table
from gristmill.pipelines.cli import main


def write(path, header, rows):
    with open(path, "w", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    return str(path)


def ended(arguments):
    with pytest.raises(SystemExit) as end:
        main(arguments)
    return end.value.code


@pytest.fixture
def quick(monkeypatch):
    """Fits whose best end alone is finished by the simplex: enough for noiseless data."""
    monkeypatch.setattr(robust, "POLISHED", 1)


RUNS = [
    (n, d, 1.8 + 480 / n**0.35 + 2100 / d**0.37)
    for n, d in itertools.product(np.geomspace(1e7, 1e10, 4), np.geomspace(1e9, 3e11, 4))
]


def test_the_command_fits_a_law_whose_tokens_are_given_as_compute(tmp_path, capsys, quick):
    table = write(tmp_path / "runs.csv", ["N", "C", "L"], [(n, 6 * n * d, loss) for n, d, loss in RUNS])
    asked = ["mix", "law", table, "--columns", "N,C,L", "--flops", "--at", "1e9,1e11", "--compute", "1e21", "--json"]
    assert ended(asked) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["constants"]["alpha"] == pytest.approx(0.35, abs=0.005)
    assert told["constants"]["E"] == pytest.approx(1.8, abs=0.01)
    assert told["predicted"][0]["loss"] == pytest.approx(1.8 + 480 / 1e9**0.35 + 2100 / 1e11**0.37, abs=1e-3)
    assert 6 * told["optimal"]["parameters"] * told["optimal"]["tokens"] == pytest.approx(1e21)


@pytest.mark.parametrize("law", sorted({*LAWS} - {"chinchilla", "dcpt"}))  # those two have tests of their own
def test_every_law_is_reached_by_its_name_and_its_own_columns(tmp_path, law, quick):
    draw = np.random.default_rng(0)
    ranges = {"share": (0.05, 0.9), "tokens_per_parameter": (10, 600), "compute": (1e17, 1e20)}
    names = LAWS[law][:-1]
    rows = [[float(np.exp(draw.uniform(*np.log(ranges.get(name, (1e8, 1e10)))))) for name in names] for _ in range(20)]
    losses = [2 + sum(value**-0.1 for value in row) for row in rows]
    path = write(tmp_path / "t.csv", LAWS[law], [[*row, loss] for row, loss in zip(rows, losses, strict=True)])
    told = law_of_table(path, law, at=[rows[0]])
    assert told["predicted"][0]["loss"] == pytest.approx(losses[0], rel=0.1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (["--law", "chinchila"], "did you mean chinchilla"),
        (["--columns", "N,L"], "needs 3 columns"),
        (["--columns", "N,C,M"], "no column 'M'"),
        (["--columns", "N,C,L", "--law", "dcpt"], "needs 4 columns"),
        (["--columns", "N,C,L", "--at", "1e9"], "needs 2 numbers"),
        (["--columns", "N,C,L", "--at", "x"], "expected numbers"),
        (["--law", "power", "--columns", "N,L", "--at", "1e15"], "times beyond"),
    ],
)
def test_what_a_law_cannot_do_ends_with_two(tmp_path, capsys, change, message):
    table = write(tmp_path / "runs.csv", ["N", "C", "L"], RUNS)
    assert ended(["mix", "law", table, *change]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.filterwarnings("ignore::gristmill.mixing.laws.robust.Extrapolation")
def test_a_reader_is_told_the_constants_and_the_prediction(tmp_path, capsys):
    table = write(tmp_path / "t.csv", LAWS["power"], [(x, 2 + x**-0.3) for x in np.geomspace(1e2, 1e5, 8)])
    assert ended(["mix", "law", table, "--law", "power", "--at", "2e5", "--bootstrap", "5"]) == 0
    told = capsys.readouterr().out
    assert "alpha 0.3 ±" in told
    assert "at 200000: loss 2.02" in told


def test_a_cell_that_is_no_number_is_named(tmp_path):
    table = write(tmp_path / "runs.csv", ["parameters", "tokens", "loss"], [(1, 2, 3), (1, "many", 3)])
    with pytest.raises(RequestError, match="line 3: tokens is 'many'"):
        law_of_table(table, "chinchilla")


def buckets():
    return {
        "web": [Bucket("top", 1e8, -0.30, 2.0), Bucket("rest", 4e8, -0.15, 4.0)],
        "code": [Bucket("top", 5e7, -0.25, 3.0), Bucket("rest", 2e8, -0.12, 4.0)],
    }


def test_little_compute_takes_the_best_buckets_and_much_compute_takes_more():
    little = {row.domain: row for row in spend(buckets(), 5e7, unit=1e3)}
    much = {row.domain: row for row in spend(buckets(), 3e9, unit=1e3)}
    assert little["web"].buckets == ("top",)
    assert much["web"].buckets == ("top", "rest")
    assert little["web"].epochs < much["web"].epochs


@settings(max_examples=15)
@given(st.floats(1e7, 3e9), st.floats(0.1, 0.9))
def test_no_other_division_of_the_budget_is_better(budget, weight):
    target = {"web": weight, "code": 1 - weight}
    found = {row.domain: row for row in spend(buckets(), budget, target=target, unit=1e3)}
    assert sum(row.tokens for row in found.values()) == pytest.approx(budget)
    best = sum(target[name] * row.loss for name, row in found.items())
    for name, row in found.items():
        kept = [bucket for bucket in buckets()[name] if bucket.name in row.buckets]
        assert row.loss == pytest.approx(filtered_loss(kept, row.tokens, unit=1e3))
        assert row.epochs == pytest.approx(row.tokens / sum(bucket.tokens for bucket in kept))
        assert row.epochs <= 16 * (1 + 1e-6)
    for part in (0.2, 0.5, 0.8):
        for web, code in itertools.product((1, 2), repeat=2):
            sizes = {"web": web, "code": code}
            given = {"web": part * budget, "code": (1 - part) * budget}
            sets = {name: buckets()[name][: sizes[name]] for name in sizes}
            if any(given[name] > 16 * sum(bucket.tokens for bucket in row) for name, row in sets.items()):
                continue
            other = sum(target[name] * filtered_loss(row, given[name], unit=1e3) for name, row in sets.items())
            assert best <= other + 1e-9


def test_the_command_divides_a_budget_of_compute(tmp_path, capsys):
    rows = [(d, b.name, b.tokens, b.utility, b.half_life) for d, part in buckets().items() for b in part]
    table = write(tmp_path / "b.csv", ["domain", "bucket", "tokens", "utility", "half_life"], rows)
    asked = ["mix", "spend", table, "--compute", str(6 * 1e8 * 5e7), "--parameters", "1e8", "--unit", "1e3"]
    assert ended([*asked, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["tokens"] == pytest.approx(tokens_of(6 * 1e8 * 5e7, 1e8)) == pytest.approx(5e7)
    assert [row["domain"] for row in told["domains"]] == ["code", "web"]
    assert ended(asked[:3]) == 2
    assert "--tokens, or --compute" in capsys.readouterr().err
    assert ended([*asked[:3], "--tokens", "1e12"]) == 2
    assert "more than 16 epochs" in capsys.readouterr().err


def test_a_projection_finds_the_mixture_that_is_best_at_a_scale_that_was_not_trained():
    draw = np.random.default_rng(0)
    mixtures = draw.dirichlet(np.ones(3), 60)

    def loss(rows, tokens):  # b saturates: it is best at first, a in the end
        far = np.log(tokens / 1e8)
        return 3 - 0.1 * far - 0.2 * (1 - far / 4) * np.sqrt(rows[:, 1]) - 0.08 * far * np.sqrt(rows[:, 0])

    measured = np.column_stack([loss(mixtures, 1e8), loss(mixtures, 1e9)])
    projection = fit_projection(mixtures, (1e8, 1e9), measured)
    unseen = draw.dirichlet(np.ones(3), 20)
    assert projection.predict(unseen, 1e10) == pytest.approx(loss(unseen, 1e10), abs=0.02)
    limits = Limits.free(("a", "b", "c"))
    small = projection.best(1e8, np.full(3, 1 / 3), limits)
    large = projection.best(1e10, np.full(3, 1 / 3), limits)
    assert small[1] > 0.9
    assert large[0] > 0.8
    with pytest.raises(RequestError, match="measure a larger one"):
        projection.predict(unseen, 1e11)
    with pytest.raises(RequestError, match="two scales"):
        fit_projection(mixtures, (1e9, 1e8), measured)
