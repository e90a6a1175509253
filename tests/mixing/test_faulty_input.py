"""Tables, options and recipes with faults: refused by the name of the place, or read right."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from gristmill.corpus.store.errors import RequestError
from gristmill.mixing.laws.joint import spend
from gristmill.mixing.laws.repetition import Bucket
from gristmill.mixing.recipe import load_recipe, make_recipe, rounded, sum_tolerance
from gristmill.mixing.standalone import facts_of_domains, fit_tables, law_of_table, spend_table
from gristmill.mixing.swarm import Swarm, match_names, match_target, read_swarm
from gristmill.mixing.synthetic import with_synthetic
from gristmill.mixing.tables import as_json, checked, named_numbers, read_csv
from gristmill.pipelines.commands.mix_fit import refuse_place
from gristmill.pipelines.commands.parsing import compared, groups

NO_NUMBERS = ["nan", "inf", "-inf", "Infinity", "1e999", "", "x", "1_000", "1,5", "0x10"]


def csv(path, header, rows):
    path.write_text("\n".join(",".join(map(str, row)) for row in [header, *rows]) + "\n", encoding="utf-8")
    return str(path)


@pytest.fixture
def pair(tmp_path):
    draw = np.random.default_rng(0)
    x = draw.dirichlet([1, 1, 1], 24)
    y = np.column_stack([2 + np.exp(-1 - 3 * x[:, 0]), 2.5 + np.exp(-0.5 - 2 * x[:, 1])])
    mixtures = csv(tmp_path / "m.csv", ["index", "a", "b", "c"], [[i, *row] for i, row in enumerate(x)])
    losses = csv(tmp_path / "l.csv", ["index", "a", "b"], [[i, *row] for i, row in enumerate(y)])
    return mixtures, losses


@given(
    names=st.lists(st.sampled_from(["a", "b", "c", "d"]), min_size=2, max_size=4),
    pads=st.lists(st.sampled_from(["", " "]), min_size=4, max_size=4),
)
@settings(max_examples=40, deadline=None)
def test_a_table_has_each_column_once_whatever_white_space_stands_around_its_name(tmp_path_factory, names, pads):
    header = [name + pad for name, pad in zip(names, pads, strict=False)]
    path = csv(tmp_path_factory.mktemp("t") / "t.csv", ["index", *header], [[0, *range(len(names))]])
    if len(set(names)) < len(names):
        with pytest.raises(RequestError, match="there twice"):
            read_csv(path)
    else:
        assert read_csv(path).header == ("index", *names)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("index,a,a\n0,1,2\n", "column named 'a' is there twice"),
        ("index,index,a\n0,0,1\n", "column named 'index' is there twice"),
        ("index,a\n0,1,2\n", "line 2: 3 cells under 2"),
        ("index,a,b\n0,1\n", "line 2: 2 cells under 3"),
        ("index,a,\n0,1,2\n", "column 3 has no name"),
        ("index,a\n", "no rows"),
        ("index;a\n0;1,5\n", "parts its columns by semicolons"),
        ("index\ta\n0\t1\n", "parts its columns by tabs"),
        ("index|a\n0|1\n", "parts its columns by bars"),
        ('index,a\n0,"1\n', "is not CSV"),
    ],
)
def test_a_table_that_is_none_is_refused_by_its_place(tmp_path, text, message):
    path = tmp_path / "t.csv"
    path.write_text(text)
    with pytest.raises(RequestError, match=message):
        read_csv(str(path)).numbers("a")


def test_a_quoted_line_break_is_part_of_a_cell(tmp_path):
    path = tmp_path / "t.csv"
    path.write_bytes('\ufeffindex,"a",name\r\n0,1,"two\r\nlines"\r\n1,2,x\r\n'.encode())
    assert read_csv(str(path)).numbers("a") == [1.0, 2.0]


@pytest.mark.parametrize("cell", [*NO_NUMBERS, "0", "-1.5"])
def test_a_loss_is_a_finite_number_above_zero(pair, tmp_path, cell):
    lines = Path(pair[1]).read_text().splitlines()
    lines[5] = f"4,{cell},2.5"
    (tmp_path / "bad.csv").write_text("\n".join(lines))
    with pytest.raises(RequestError, match="line 6"):
        read_swarm(pair[0], str(tmp_path / "bad.csv"))


@pytest.mark.parametrize("cell", [*NO_NUMBERS, "0", "-1"])
@pytest.mark.parametrize("column", [0, 1, 2])
def test_a_law_is_fitted_to_numbers_above_zero_only(tmp_path, column, cell):
    rows = [["1e8", "1e9", "3.0"] for _ in range(8)]
    rows[3][column] = cell
    path = csv(tmp_path / "c.csv", ["parameters", "tokens", "loss"], rows)
    with pytest.raises(RequestError, match="line 5"):
        law_of_table(path, "chinchilla")


@pytest.mark.parametrize(
    "asked", [{"compute": -1.0}, {"compute": 0.0}, {"compute": math.nan}, {"at": [[math.nan, 1e9]]},
              {"at": [[1e8, -1.0]]}, {"leave_out": -1}, {"columns": ("loss", "tokens", "loss")}],
)  # fmt: skip
def test_a_law_is_asked_in_numbers(tmp_path, asked):
    path = csv(tmp_path / "c.csv", ["parameters", "tokens", "loss"], [[10**8 + i, 10**9, 3.0] for i in range(8)])
    with pytest.raises(RequestError, match=r"--compute|--at|--leave-out|twice"):
        law_of_table(path, "chinchilla", **asked)


@pytest.mark.parametrize(
    "asked",
    [{option: {"a": value}} for option in ("target", "cost", "at_most", "ceilings", "floors", "prior")
     for value in (math.nan, math.inf)]
    + [{"kl": math.nan}, {"kl": -1.0}, {"kl": math.inf}, {"floors": {"a": -0.1}}, {"ceilings": {"a": -0.1}},
       {"target": {"a": -1.0}}, {"prior": {"a": -1.0, "b": 2.0}}],
)  # fmt: skip
def test_options_of_a_fit_are_finite_and_not_below_what_they_can_be(pair, asked):
    with pytest.raises(RequestError, match=r"finite|0 at least|>= 0"):
        fit_tables(*pair, **{"target": {}, "regressors": ["linear"], **asked})


@pytest.mark.parametrize("label", ["Unnamed: 0", "Unnamed: 12", "Index", "ID", "RUN_NAME", "Name"])
def test_a_column_that_numbers_or_names_rows_is_no_target(pair, tmp_path, label):
    header, *rows = [line.split(",") for line in Path(pair[1]).read_text().splitlines()]
    key = "run" if label == "Index" else "index"
    labelled = [[label, key, *header[1:]], *([number, *row] for number, row in enumerate(rows, 1))]
    losses = csv(tmp_path / "labelled.csv", labelled[0], labelled[1:])
    assert read_swarm(pair[0], losses).targets == ("a", "b")
    renamed = [["Index" if name == "index" else name for name in header], *rows]
    assert read_swarm(pair[0], csv(tmp_path / "case.csv", renamed[0], renamed[1:])).targets == ("a", "b")


def table_of(path, rows, names):
    return csv(path, ["index", *names], [[number, *row] for number, row in enumerate(rows)])


def test_tables_that_nothing_can_be_learnt_from_are_refused(pair, tmp_path):
    draw = np.random.default_rng(1)
    few = table_of(tmp_path / "few.csv", np.repeat(draw.dirichlet([1, 1], 3), 8, 0), ["a", "b"])
    with pytest.raises(RequestError, match=r"few\.csv has 3 different mixtures in 24 runs"):
        fit_tables(few, pair[1], target={}, regressors=["linear"])
    one = table_of(tmp_path / "one.csv", np.ones((24, 1)), ["a"])
    with pytest.raises(RequestError, match="1 different mixtures"):
        fit_tables(one, pair[1], target={}, regressors=["linear"])
    flat = table_of(tmp_path / "flat.csv", np.column_stack([draw.uniform(2, 3, 24), np.full(24, 2.5)]), ["a", "seed"])
    with pytest.raises(RequestError, match=r"flat\.csv: seed is the same for every mixture"):
        fit_tables(pair[0], flat, target={}, regressors=["linear"])
    told = fit_tables(pair[0], flat, target={"a": 1.0}, regressors=["linear"])
    assert list(told["fit"]["targets"]) == ["a"]


@pytest.mark.parametrize("asked", [{"regressors": ["linear"]}, {"regressors": ["exponential"]}, {"search": "exact"}])
def test_a_domain_of_which_no_mixture_has_any_is_proposed_none(pair, tmp_path, asked):
    if "search" in asked:
        pytest.importorskip("cvxpy")
    rows = [line.split(",")[1:] for line in Path(pair[0]).read_text().splitlines()[1:]]
    wider = table_of(tmp_path / "wider.csv", [[*row, 0] for row in rows], ["a", "b", "c", "d"])
    told = fit_tables(wider, pair[1], target={}, **{"regressors": ["linear"], **asked})
    assert told["proposal"]["shares"]["d"] == 0
    assert told["proposal"]["never_measured"] == ["d"]
    with pytest.raises(RequestError, match="--floor d: no mixture has any"):
        fit_tables(wider, pair[1], target={}, floors={"d": 0.1}, regressors=["linear"])


def test_mixtures_to_evaluate_on_that_were_fitted_on_are_counted(pair, tmp_path):
    rows = [line.split(",")[1:] for line in Path(pair[0]).read_text().splitlines()[1:]]
    other = np.random.default_rng(5).dirichlet([1, 1, 1], 24)
    unseen = table_of(tmp_path / "unseen.csv", [*rows[:5], *other[5:]], ["a", "b", "c"])
    for path, seen in ((unseen, 5), (pair[0], 24)):
        told = fit_tables(*pair, target={}, evaluate=(path, pair[1]), regressors=["linear"])
        assert told["evaluation"]["fitted_on"] == seen


@pytest.mark.parametrize("option", ["ceilings", "floors"])
def test_a_share_in_percent_is_refused(pair, option):
    with pytest.raises(RequestError, match="of a is 30; a share lies between 0 and 1"):
        fit_tables(*pair, target={}, regressors=["linear"], **{option: {"a": 30.0}})


FEW = [1e9, 1e10]
MANY = [1e7, 1e8, 1e9, 1e10]


@pytest.mark.parametrize(
    ("law", "columns", "rows", "named"),
    [
        ("chinchilla", "parameters,tokens", [(1e8, n) for n in (*MANY, 1e11)], "alpha"),
        ("chinchilla", "parameters,tokens", [(n, 1e9) for n in (*MANY, 1e11)], "beta"),
        ("chinchilla", "parameters,tokens", [(n, 20 * n) for n in MANY] * 2, "log_A"),
        ("power", "tokens", [(n,) for n in FEW] * 4, "log_c"),
        ("data_constrained", "unique_tokens,tokens", [(n, n) for n in MANY], "log_R"),
        ("data_constrained", "unique_tokens,tokens", [(1e12, n) for n in MANY], "log_R"),
        ("overtrained", "compute,tokens_per_parameter", [(1e12 * n, 20) for n in MANY], "log_a"),
        ("dcpt", "parameters,tokens,share", [(n, d, 0.5) for n in MANY for d in MANY], "gamma"),
    ],
)
def test_rows_that_cannot_determine_a_law_are_refused_by_what_they_leave_open(tmp_path, law, columns, rows, named):
    losses = 2 + np.random.default_rng(0).uniform(0, 1, len(rows))
    path = csv(
        tmp_path / "c.csv", [*columns.split(","), "loss"], [[*row, y] for row, y in zip(rows, losses, strict=True)]
    )
    with pytest.raises(RequestError, match=f"do not determine .*{named}"):
        law_of_table(path, law)


def test_a_law_says_how_far_it_misses_its_rows_and_refuses_losses_that_are_alike(tmp_path):
    tokens = [1e7, 3e7, 1e8, 3e8, 1e9, 3e9]
    told = {}
    for name, losses in {"falls": [2 + 50 * n**-0.2 for n in tokens], "rises": [2 + n / 1e9 for n in tokens]}.items():
        path = csv(tmp_path / f"{name}.csv", ["tokens", "loss"], zip(tokens, losses, strict=True))
        told[name] = law_of_table(path, "power", bootstrap=1)
    assert told["falls"]["relative_error"] < 1e-4 < 0.05 < told["rises"]["relative_error"]
    assert all(math.isnan(error) for error in told["falls"]["standard_errors"].values())
    path = csv(tmp_path / "flat.csv", ["tokens", "loss"], [(n, 2.5) for n in tokens])
    with pytest.raises(RequestError, match="loss is the same in every row"):
        law_of_table(path, "power")


@pytest.mark.parametrize("asked", [{"tokens": 1e-300}, {"max_epochs": 1e300}, {"size": 1e308}])
def test_a_budget_of_any_size_is_divided(tmp_path, asked):
    path = csv(tmp_path / "s.csv", ["domain", "bucket", "tokens", "utility", "half_life"],
               [["web", "a", asked.pop("size", 1e9), -0.2, 4], ["wiki", "a", 1e9, -0.25, 4]])  # fmt: skip
    told = spend_table(path, target={}, **{"tokens": 1e8, "max_epochs": 4.0, "unit": 1.0, **asked})
    assert sum(row["share"] for row in told["domains"]) == pytest.approx(1.0)


def test_facts_of_domains_are_a_row_for_each(pair, tmp_path):
    head = ["domain", "tokens", "mean_tokens_per_document", "bytes_per_token"]
    whole = csv(tmp_path / "d.csv", head, [[name, 10**9, 500, 4] for name in "abcd"])
    assert list(facts_of_domains(whole, pair[0])) == ["a", "b", "c"]
    with pytest.raises(RequestError, match="no domain 'c'"):
        facts_of_domains(csv(tmp_path / "e.csv", head, [[name, 10**9, 500, 4] for name in "ab"]), pair[0])
    both = table_of(tmp_path / "both.csv", [[0.5, 0.5]], ["a", "train_a"])
    with pytest.raises(RequestError, match="a would be both a and train_a"):
        facts_of_domains(csv(tmp_path / "f.csv", head, [["a", 10**9, 500, 4]]), both)


def test_a_fit_without_a_recipe_does_not_lie_beside_the_recipe_of_another(tmp_path):
    (tmp_path / "out").mkdir()
    refuse_place(str(tmp_path / "out"), False)
    (tmp_path / "out" / "recipe.yaml").write_text("version: 1\n")
    refuse_place(str(tmp_path / "out"), True)
    with pytest.raises(RequestError, match=r"recipe\.yaml of another fit"):
        refuse_place(str(tmp_path / "out"), False)
    with pytest.raises(RequestError, match="is a file"):
        refuse_place(str(tmp_path / "out" / "recipe.yaml"), True)


@pytest.mark.parametrize(("read", "entries"), [(groups, ["a=x,y", "a =z"]), (compared, ["m:a=1", "m:b=1"])])
def test_a_name_of_a_group_or_a_mixture_is_given_once(read, entries):
    with pytest.raises(RequestError, match="given before"):
        read("--option", entries)


@pytest.mark.parametrize("entry", ["a", "=1", "a=", *(f"a={cell}" for cell in NO_NUMBERS)])
def test_an_option_of_a_name_and_a_number_has_both(entry):
    with pytest.raises(RequestError, match="expected NAME=NUMBER"):
        named_numbers([entry], "--cost")


def test_an_option_that_names_a_domain_twice_is_refused():
    with pytest.raises(RequestError, match="given before"):
        named_numbers(["a=1", " a =2"], "--floor")


def test_a_name_means_itself_before_a_near_one_and_one_domain_once():
    names = ("x", "train_x", "train_y")
    assert match_names({"x": 0.1, "train_x": 0.2, "y": 0.3}, names, "domain", "--floor") == {
        "x": 0.1, "train_x": 0.2, "train_y": 0.3,
    }  # fmt: skip
    with pytest.raises(RequestError, match="both mean train_y"):
        match_names({"y": 0.1, "train_y": 0.2}, names, "domain", "--floor")
    with pytest.raises(RequestError, match="may mean"):
        match_target("eval_x", names)
    both = Swarm(("x", "train_x"), ("x", "train_x", "valid_x"), np.eye(2), np.ones((2, 3)))
    assert both.own() == [0, 1, None]


@given(
    st.recursive(
        st.floats() | st.integers() | st.text() | st.none(), lambda x: st.lists(x) | st.dictionaries(st.text(), x)
    )
)
@settings(max_examples=25, deadline=None)
def test_every_report_is_json(told):
    def refuse(constant):
        raise AssertionError(constant)

    again = json.loads(as_json(told), parse_constant=refuse)
    assert as_json(again) == as_json(told)


def test_a_report_says_null_where_nothing_could_be_measured(pair, tmp_path):
    losses = csv(tmp_path / "t.csv", ["index", "task"], [[i, 2.0 + i / 24] for i in range(24)])
    told = json.loads(as_json(fit_tables(pair[0], losses, target={}, regressors=["linear"])))
    assert told["fit"]["targets"]["task"]["baselines"]["own_weight"] is None
    path = csv(tmp_path / "s.csv", ["domain", "bucket", "tokens", "utility", "half_life"],
               [["web", "all", 4e9, -0.2, 4], ["wiki", "all", 1e9, -0.25, 4]])  # fmt: skip
    spent = json.loads(as_json(spend_table(path, 1e8, target={"wiki": 1.0}, max_epochs=4.0, unit=1.0)))
    assert [row["loss"] is None for row in spent["domains"]] == [True, False]


@given(
    sizes=st.lists(st.floats(1e5, 1e12), min_size=1, max_size=5),
    part=st.floats(0.001, 1.0),
    epochs=st.sampled_from([0.5, 1.0, 4.0, 16.0]),
)
@settings(max_examples=25, deadline=None)
def test_a_budget_that_the_caps_hold_is_spent_whole_within_them(sizes, part, epochs):
    domains = {f"d{i}": [Bucket("all", size, -0.2 - 0.01 * i, 4.0)] for i, size in enumerate(sizes)}
    budget = part * epochs * sum(sizes)
    found = spend(domains, budget, max_epochs=epochs)
    assert math.isclose(sum(one.tokens for one in found), budget, rel_tol=1e-9)
    for one, size in zip(found, sizes, strict=True):
        assert 0 < one.tokens <= epochs * size * (1 + 1e-9)
        assert one.epochs <= epochs * (1 + 1e-9)
    with pytest.raises(RequestError, match="more than"):
        spend(domains, epochs * sum(sizes) * 1.01, max_epochs=epochs)


@pytest.mark.parametrize(
    ("row", "message"),
    [("web,all,nan,-0.2,4", "tokens"), ("web,all,0,-0.2,4", "tokens"), ("web,all,1e9,0,4", "utility"),
     ("web,all,1e9,nan,4", "utility"), ("web,all,1e9,-0.2,inf", "half_life"), ("wiki,all,1e9,-0.2,4", "there twice"),
     (",all,1e9,-0.2,4", "no domain")],
)  # fmt: skip
def test_a_bucket_that_is_none_is_refused_by_its_line(tmp_path, row, message):
    path = tmp_path / "s.csv"
    path.write_text(f"domain,bucket,tokens,utility,half_life\nwiki,all,1e9,-0.25,4\n{row}\n")
    with pytest.raises(RequestError, match=f"line 3.*{message}"):
        spend_table(str(path), 1e8, target={}, max_epochs=4.0, unit=1.0)


@pytest.mark.parametrize("bad", [math.nan, math.inf, 0.0, -1.0])
def test_a_budget_is_a_number_above_zero(tmp_path, bad):
    path = tmp_path / "s.csv"
    path.write_text("domain,bucket,tokens,utility,half_life\nwiki,all,1e9,-0.25,4\n")
    for asked in ({"tokens": bad}, {"tokens": 1e8, "max_epochs": bad}, {"tokens": 1e8, "unit": bad}):
        with pytest.raises(RequestError, match=r"above 0|finite"):
            spend_table(str(path), target={}, **{"max_epochs": 4.0, "unit": 1.0, **asked})


def recipe_file(path, shares, more=""):
    facts = {"tokens_available": 10**9, "mean_tokens_per_document": 500.0, "bytes_per_token": 4.0}
    content = {"version": 1, "total_tokens": 10**9, "domains": dict.fromkeys(shares, facts),
               "phases": [{"until": 1.0, "seq_len": 128, "shares": shares}]}  # fmt: skip
    path.write_text(yaml.safe_dump(content, sort_keys=False) + more)
    return str(path)


@given(
    raw=st.lists(st.floats(0.01, 1.0), min_size=2, max_size=30),
    decimals=st.integers(3, 8),
)
@settings(max_examples=60, deadline=None)
def test_shares_rounded_to_three_decimals_or_more_are_a_mixture_and_a_share_left_out_is_not(
    tmp_path_factory, raw, decimals
):
    total = sum(raw)
    shares = {f"d{i:02d}": round(value / total, decimals) for i, value in enumerate(raw)}
    path = tmp_path_factory.mktemp("r") / "r.yaml"
    found = load_recipe(recipe_file(path, shares))
    assert math.isclose(sum(found.run_shares().values()), 1.0, abs_tol=1e-9) or decimals > 6
    biggest = max(shares, key=lambda name: shares[name])
    if shares[biggest] > 2 * sum_tolerance(shares.values()):
        with pytest.raises(RequestError, match="not to 1"):
            load_recipe(recipe_file(path, {**shares, biggest: 0.0}))


@pytest.mark.parametrize("shares", [{"a": 0.7, "b": 0.2}, {"a": 0.33, "b": 0.33, "c": 0.33}, {"a": 0.5, "b": 0.499}])
def test_shares_that_miss_one_by_more_than_rounding_are_refused(tmp_path, shares):
    if sum_tolerance(shares.values()) < abs(sum(shares.values()) - 1):
        with pytest.raises(RequestError, match="not to 1"):
            load_recipe(recipe_file(tmp_path / "r.yaml", shares))
    else:
        assert sum(load_recipe(recipe_file(tmp_path / "r.yaml", shares)).phases[0].shares.values()) == pytest.approx(1)


@pytest.mark.parametrize(
    "text",
    [
        "phases: [{until: 1.0, seq_len: 8, shares: {a: 0.5, a: 0.5}}]",
        "domains: {a: {}, a: {}}",
        "total_tokens: 1\ntotal_tokens: 2",
    ],
)
def test_a_key_that_is_there_twice_is_refused(tmp_path, text):
    (tmp_path / "r.yaml").write_text(text)
    with pytest.raises(RequestError, match="there twice"):
        load_recipe(str(tmp_path / "r.yaml"))


@pytest.mark.parametrize("place", ["total_tokens", "tokens_available", "max_epochs", "share", "until"])
def test_a_recipe_holds_numbers(tmp_path, place):
    path = tmp_path / "r.yaml"
    recipe_file(path, {"a": 1.0})
    content = yaml.safe_load(path.read_text())
    where = {"total_tokens": content, "until": content["phases"][0]}.get(place, content["domains"]["a"])
    where[place] = math.nan
    path.write_text(yaml.safe_dump(content))
    with pytest.raises(RequestError, match=place):
        load_recipe(str(path))


@pytest.mark.parametrize("place", ["total_tokens", "tokens_available", "loss_weight", "until", "seq_len", "shares.a"])
def test_true_is_no_number_in_a_recipe(tmp_path, place):
    path = tmp_path / "r.yaml"
    recipe_file(path, {"a": 1.0})
    content = yaml.safe_load(path.read_text())
    phase = content["phases"][0]
    where = {"total_tokens": content, "until": phase, "seq_len": phase, "shares.a": phase["shares"]}
    where.get(place, content["domains"]["a"])[place.removeprefix("shares.")] = True
    path.write_text(yaml.safe_dump(content))
    with pytest.raises(RequestError, match=f"true or false is no number.*{place}"):
        load_recipe(str(path))


def test_a_fault_in_a_phase_is_one_line(tmp_path):
    path = recipe_file(tmp_path / "r.yaml", {"a": 1.0})
    Path(path).write_text(Path(path).read_text().replace("seq_len: 128", "seq_len: 1"))
    with pytest.raises(RequestError) as refused:
        load_recipe(path)
    assert str(refused.value).splitlines()[1:] == ["  phases.0.seq_len: Input should be greater than 1"]


@pytest.mark.parametrize("ratio", [1.0, 3.0])
def test_a_ratio_that_a_cap_forbids_is_refused_in_words(tmp_path, ratio):
    facts = {"tokens_available": 10**9, "mean_tokens_per_document": 500.0, "bytes_per_token": 4.0}
    domains = {"web": facts, "web.easy": {**facts, "tokens_available": 10**8, "max_epochs": 1.0}, "books": facts}
    recipe = load_recipe(recipe_file(tmp_path / "r.yaml", {"web": 0.7, "web.easy": 0.1, "books": 0.2}))
    phases = list(recipe.phases)
    capped = make_recipe(total_tokens=10**9, domains=domains, phases=phases)
    with pytest.raises(RequestError, match=r"web\.easy: .* epochs exceed its cap of 1"):
        with_synthetic(capped, ("easy",), ratio)


@given(st.integers(1, 40))
def test_equal_shares_written_with_six_decimals_are_a_mixture(count):
    share = round(1 / count, 6)
    assert abs(share * count - 1) <= sum_tolerance([share] * count)
    assert math.isclose(sum(rounded({f"d{i}": share for i in range(count)}).values()), 1.0)


@given(st.floats(allow_nan=True, allow_infinity=True) | st.text(max_size=5))
def test_what_passes_for_a_number_is_finite(cell):
    try:
        value = float(cell)
    except ValueError:
        value = math.nan
    if math.isfinite(value) and "_" not in str(cell):
        assert checked(cell, "x") == value
    else:
        with pytest.raises(RequestError, match=r"^x is"):
            checked(cell, "x")
