"""Numbers of somebody else's: the same table, test and verdict, or one sentence."""

import json

import numpy as np
import pytest

import seqgraph_jax as sg
from experiments import compare, reproduce
from seqgraph_jax.reports import paired, read_results

from .sentences import assert_one_sentence

ROWS = """arm,seed,error,seconds
old,s1,3.0,1
new,s1,1.0,2
old,s2,4.5,1
new,s2,,2
"""


def write(tmp_path, text, name="results.csv"):
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return path


def test_a_table_is_read_by_arm_and_seed(tmp_path):
    # Rows paired by their order and not by their seed.
    text = "seed,value,arm\n2,20,a\n1,10,a\n1,11,b\n2,21,b\n3,31,b\n"
    seeds, arms = read_results([write(tmp_path, "\ufeff" + text)])
    assert seeds == (2, 1, 3)
    np.testing.assert_array_equal(arms["a"].values("value"), [20, 10, np.nan])
    np.testing.assert_array_equal(arms["b"].values("value"), [21, 11, 31])


def test_a_comparison_of_a_table_is_that_of_its_numbers(tmp_path, capsys):
    rng = np.random.default_rng(0)
    values = {"a": rng.normal(0, 1, 9), "b": rng.normal(3, 1, 9)}
    rows = [f"{k},{s},{v}" for k, of in values.items() for s, v in enumerate(of)]
    path, out = write(tmp_path, "arm,seed,m\n" + "\n".join(rows)), tmp_path / "run"
    argv = [str(path), "--equivalent-within", "9", "--out", str(out)]
    assert compare.main(argv) == 0
    [pair] = paired.compare(values, sg.Metric("m"), equivalent_within=9.0)
    assert pair.equivalent
    assert f"Verdict: {pair.verdict}" in capsys.readouterr().out
    record = json.loads((out / "results.json").read_text())
    assert record["comparisons"][0]["p_value"] == pair.p_value
    assert record["arms"]["a"]["metrics"]["m"]["per_seed"] == values["a"].tolist()
    assert (out / "results_0.png").exists()
    # What it wrote is read again: alone, and beside the table it came from.
    _, again = read_results([out])
    np.testing.assert_array_equal(again["b"].values("m"), values["b"])
    _, both = read_results([path, out])
    assert list(both) == ["a", "b", "a (run)", "b (run)"]


def test_a_missing_pair_is_left_out_aloud(tmp_path, capsys):
    argv = [str(write(tmp_path, ROWS)), "--metric", "error"]
    assert compare.main([*argv, "--out", str(tmp_path / "run")]) == 0
    assert "Left out: seeds without a value in both (1 of new)" in (
        capsys.readouterr().out
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (ROWS.replace("old", "new"), "arm 'new' has seed s1 twice"),
        ("arm,seed,x\na,1,2\na,2,3\n", "two arms or more: there is 'a'"),
        (ROWS.replace("4.5", "four"), "line 4: error is 'four', not a number"),
        (ROWS.replace("seed", "run"), "needs one column 'seed'"),
        (ROWS.replace("new,s2,,2", "new,s2,2"), "line 5: 4 cells are needed"),
        (ROWS.replace("old,s2", "old,"), "line 4: there is no seed"),
        ("arm,seed\na,1\nb,1\n", "there are no values"),
        ("", "needs one column 'arm'"),
    ],
)
def test_tables_that_cannot_be_compared(text, message, tmp_path, capsys):
    out = tmp_path / "run"
    argv = [str(write(tmp_path, text)), "--out", str(out)]
    assert compare.main(argv) == 2
    assert_one_sentence(capsys, message)
    assert not out.exists()


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ([], "give a CSV file"),
        (["nothing.csv"], "nothing.csv cannot be read"),
        (["{csv}", "--metric", "mae"], "no metric 'mae', only error, seconds"),
        (["{json}"], "is not a results.json"),
    ],
)
def test_what_is_no_table_is_one_sentence(argv, message, tmp_path, capsys):
    files = {"csv": write(tmp_path, ROWS), "json": write(tmp_path, "[1]", "r.json")}
    assert compare.main([word.format(**files) for word in argv]) == 2
    assert_one_sentence(capsys, message)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A run that takes no time: nine seeds of two arms that differ."""
    folder = tmp_path_factory.mktemp("finished")
    rng = np.random.default_rng(1)
    rows = [
        f"{k},{s},{m + rng.normal():.3f}"
        for k, m in (("a", 0), ("b", 3))
        for s in range(9)
    ]
    path = write(folder, "arm,seed,m\n" + "\n".join(rows))
    assert compare.main([str(path), "--out", str(folder / "run")]) == 0
    return folder / "run"


def test_a_run_that_is_made_again_is_equal_to_the_bit(finished, capsys):
    assert reproduce.main([str(finished)]) == 0
    printed = capsys.readouterr().out
    assert printed.count("equal to the bit") == 2
    assert "Every verdict makes the same claim." in printed
    assert "surroundings" not in printed
    assert (finished.with_name("run-again") / "results.json").exists()


def test_what_differs_is_said_and_another_claim_is_exit_code_1(
    finished, tmp_path, capsys
):
    record = json.loads((finished / "results.json").read_text())
    metrics = {arm: of["metrics"]["m"] for arm, of in record["arms"].items()}
    metrics["a"]["per_seed"][0] *= 1 + 1e-8
    metrics["b"] |= {"per_seed": [9.0] * 9, "mean": 9.0, "ci95": [8.0, 10.0]}
    record["environment"]["jax"] = "0.1"
    record["comparisons"][0]["claim"] *= -1
    changed = tmp_path / "run"
    changed.mkdir()
    (changed / "results.json").write_text(json.dumps(record))
    assert reproduce.main([str(changed), "--out", str(tmp_path / "again")]) == 1
    lines = capsys.readouterr().out.splitlines()
    rows = [line.split() for line in lines]
    assert ["a", "m", "equal", "but", "for", "rounding"] in rows
    assert ["b", "m", "different"] in rows
    assert any(row[:2] == ["jax", "0.1"] for row in rows)
    assert lines[-1] == "Another verdict on a and b, m."


@pytest.mark.parametrize(
    ("record", "message"),
    [
        (None, "is not a finished run"),
        ("{", "does not say which command made it"),
        ("{}", "does not say which command made it"),
        ('{"experiment": "os", "argv": []}', "names no experiment of this package"),
        ('{"experiment": "compare", "argv": [1]}', "names no experiment"),
        ('{"experiment": "compare", "argv": []}', "what its verdicts claim"),
        (
            '{"experiment": "compare", "argv": [], '
            '"comparisons": [{"metric": "m", "a": "x", "b": "y"}]}',
            "what its verdicts claim",
        ),
    ],
)
def test_what_cannot_be_made_again_is_one_sentence(record, message, tmp_path, capsys):
    if record is not None:
        (tmp_path / "results.json").write_text(record)
    assert reproduce.main([str(tmp_path)]) == 2
    assert_one_sentence(capsys, message)
