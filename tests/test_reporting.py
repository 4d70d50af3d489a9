"""The results contract, tables, pictures, and text that wants to be markup."""

import json
import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from matplotlib.figure import Figure

import seqgraph_jax as sg
from seqgraph_jax.reports import results
from seqgraph_jax.training.metrics import ACCURACY, percent

from .test_seeds import made_run

NAN = float("nan")
CURVES = [[0.5, 1.0, 1.0], [0.5, 0.9, 1.0], [0.5, NAN, NAN]]


@pytest.fixture
def runs():
    slow = made_run([[0.5, 0.6, 0.7]] * 3, updates=30)
    fast = made_run(CURVES, updates=30)
    on_ones = replace(ACCURACY, name="accuracy_on_ones", label="accuracy on ones")
    tested = {on_ones: np.array([1.0, 0.5, NAN])}
    return {"fast": fast.adding(tested), "slow": slow.adding(tested)}


@pytest.mark.smoke
def test_results_have_the_contract_s_keys(runs, tmp_path):
    sg.report(runs, tmp_path, experiment="test", timing={"total_s": 1.0})
    record = json.loads((tmp_path / "results.json").read_text())
    assert record["schema"] == 1
    assert record["experiment"] == "test"
    assert record["seeds"] == [0, 1, 2]
    assert set(record) == {
        *("schema", "experiment", "config", "seeds", "environment", "arms"),
        *("comparisons", "timing"),
    }
    assert set(record["environment"]) == {
        *("python", "jax", "flax", "device", "num_devices", "seed_width", "git_commit")
    }
    arm = record["arms"]["fast"]
    assert arm["num_diverged"] == 1
    assert arm["num_converged"] == 1
    accuracy = arm["metrics"]["accuracy"]
    assert set(accuracy) == {
        "per_seed",
        "n",
        "mean",
        "sd",
        "sd_population",
        "ci95",
        "ci95_method",
    }
    assert accuracy["per_seed"] == [1.0, 1.0, None]
    assert accuracy["n"] == 2
    assert arm["metrics"]["updates_to_converge"]["per_seed"] == [20, None, None]
    assert arm["metrics"]["accuracy_on_ones"]["per_seed"] == [1.0, 0.5, None]
    first = record["comparisons"][0]
    assert (first["metric"], first["a"], first["b"]) == (
        *("updates_to_converge", "fast", "slow"),
    )
    assert {"difference", "ci95", "p_value", "test", "verdict"} <= set(first)
    assert first["difference"] == 0  # all were watched up to 20, as to converging


def test_metrics_have_a_row_per_arm_evaluation_and_seed(runs, tmp_path):
    results.write_metrics(tmp_path / "metrics.jsonl", runs)
    lines = (tmp_path / "metrics.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    assert len(rows) == 2 * 3 * 3
    where = {"arm": "fast", "seed": 1, "update": 20}
    assert rows[4] == {**where, "accuracy": pytest.approx(0.9), "loss": 1}
    assert rows[5]["accuracy"] is None
    assert "NaN" not in "".join(lines)
    late = list(results.metric_rows("fast", runs["fast"], since=2))
    assert [row["update"] for row in late] == [30, 30, 30]


def test_report_is_one_file_with_everything_in_it(runs, tmp_path):
    sg.report(runs, tmp_path, title="A title", command="python -m x --flag")
    html = (tmp_path / "report.html").read_text()
    assert "<svg" in html
    assert "src=" not in html
    assert "href=" not in html.replace("xlink:href=", "").replace('href="#', "")
    for text in ("A title", "python -m x --flag", "1 of 3 seeds diverged (2)"):
        assert text in html
    assert (tmp_path / "curves.png").read_bytes()[:4] == b"\x89PNG"
    assert (tmp_path / "curves.svg").read_text().startswith("<?xml")


def test_text_in_the_report_is_escaped(runs, tmp_path):
    evil = "<script>alert(1)</script>"
    named = {evil: runs["fast"], "--><b>": runs["slow"]}
    sg.report(
        named, tmp_path, title=evil, question=evil, command=evil, config={"x": evil}
    )
    html = (tmp_path / "report.html").read_text()
    assert "<script" not in html
    assert "<b>" not in html


def test_the_same_runs_give_the_same_files(runs, tmp_path):
    for name in ("one", "two"):
        sg.report(runs, tmp_path / name)
    for file in ("curves.svg", "results.json", "metrics.jsonl", "report.html"):
        assert (tmp_path / "one" / file).read_bytes() == (
            tmp_path / "two" / file
        ).read_bytes()


def test_percent_says_100_for_nothing_less():
    assert percent(1.0) == "100 %"
    assert percent(1 - 1e-9) == "99.99 %"
    assert percent(116_717 / 116_718) == "99.99 %"
    assert percent(0.0) == "0 %"
    assert percent(1e-9) == "0.01 %"
    assert percent(0.29) == "29.00 %"
    assert percent(0.899999) == "90.00 %"
    assert percent(NAN) == "none"


def test_warnings_name_the_seeds(runs):
    assert sg.reports.warnings(runs) == [
        "fast: 1 of 3 seeds diverged (2).",
        "fast: 1 of 3 seeds did not converge (1).",
        "slow: 3 of 3 seeds did not converge (0, 1, 2).",
    ]


def test_summary_says_of_how_many_seeds_a_mean_is(runs):
    table = sg.reports.summary_table(runs)
    cells = {row[0]: row[1] for row in table.rows}
    assert cells["accuracy"] == "100 % (2 seeds)"
    assert cells["accuracy on ones"] == "75.00 % (2 seeds)"
    assert cells["seeds converged"] == "1 of 3"


def test_a_plot_shows_every_seed(runs):
    from seqgraph_jax.reports.plots import curves as plots

    figure = plots.plot_runs(runs, baseline=0.5)
    loss, accuracy, convergence = figure.axes
    thin = [line for line in accuracy.lines if line.get_linewidth() == 0.5]
    assert len(thin) == 6
    np.testing.assert_allclose(thin[1].get_ydata(), [50, 90, 100], rtol=1e-6)
    mean = next(line for line in accuracy.lines if line.get_label().startswith("fast"))
    assert mean.get_label() == "fast (1 diverged)"
    np.testing.assert_allclose(mean.get_ydata(), [50, 95, 100], rtol=1e-6)
    for axes in (loss, accuracy, convergence):
        assert axes.get_xlabel()
        assert axes.get_ylabel()
    assert [t.get_text() for t in convergence.texts] == [
        "2 not converged",
        "3 not converged",
    ]


NAMES = ["$", "$$", "$x_$", "_base", r"\$\frac{", "$a$ 5$"]


def test_names_in_pictures_are_no_formulas_and_none_is_missing():
    # A traceback of the parser, or an arm that the legend has not.
    from seqgraph_jax.reports.plots import classes
    from seqgraph_jax.reports.plots import curves as plots

    run = made_run([[0.5, 0.6, 0.7]] * 2, updates=30)
    figure = plots.plot_runs(dict.fromkeys(NAMES, run))
    drawn = figure.axes[1].get_legend().get_texts()
    assert [text.get_text().strip() for text in drawn] == NAMES
    assert not any(text.get_parse_math() for text in drawn)
    ticks = [label.get_text() for label in figure.axes[2].get_xticklabels()]
    assert [name.strip() for name in ticks] == NAMES
    matrix = np.eye(len(NAMES))
    plots.svg(classes.plot_confusion({"$a_$": matrix}, NAMES))


def test_log_scales_have_plain_labels():
    from seqgraph_jax.reports.plots import curves as plots

    axes = Figure().subplots()
    axes.set_ylim(2e-3, 30)
    plots.log_scale(axes)
    found = [axes.yaxis.get_major_formatter()(x) for x in (1e-3, 1.0, 10.0)]
    assert found == ["10⁻³", "10⁰", "10¹"]


def test_pictures_of_many_classes_and_arms_have_a_bound(tmp_path):
    # A picture that grows with its classes until there is no memory for it.
    from seqgraph_jax.reports.plots import classes
    from seqgraph_jax.reports.plots import curves as plots

    names = [f"class {c} of a list that is far too long to draw" for c in range(300)]
    figure = classes.plot_confusion({"gcn": np.eye(300), "gat": np.eye(300)}, names)
    assert max(figure.get_size_inches()) < 30
    assert len(figure.axes[0].get_xticks()) <= 24
    plots.write_png(Figure(figsize=(200, 2)), tmp_path / "wide.png")
    width = (tmp_path / "wide.png").read_bytes()[16:20]
    assert int.from_bytes(width, "big") == 10_000


def test_pictures_do_not_ask_how_matplotlib_is_set(runs):
    # LaTeX that is not there, a dark background of the reader's.
    import matplotlib

    from seqgraph_jax.reports.plots import classes
    from seqgraph_jax.reports.plots import curves as plots

    plain = plots.svg(classes.plot_results(runs, "accuracy"))
    with matplotlib.rc_context({"text.usetex": True, "axes.facecolor": "black"}):
        assert plots.svg(classes.plot_results(runs, "accuracy")) == plain
        assert matplotlib.rcParams["text.usetex"]


@pytest.mark.parametrize("backend", ["module://nothing.there", "svg"])
def test_pictures_need_no_backend(backend):
    program = (
        "from seqgraph_jax.reports.plots import style\n"
        "import matplotlib, os; print(os.environ['MPLBACKEND'])\n"
        "print(matplotlib.rcParams['backend'] == 'svg')"
    )
    answer = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "MPLBACKEND": backend},
        capture_output=True,
        text=True,
        check=True,
    )
    assert answer.stdout.split() == [backend, str(backend == "svg")]


def test_a_geometric_mean_ends_where_a_seed_is_0():
    # A mean of the other seeds, which would rise there; a missing seed taken for 0.
    from seqgraph_jax.reports.plots import curves as plots

    axes = Figure().subplots()
    curves = np.array([[1.0, 0.01, 0.0], [4.0, 1.0, 1.0], [np.nan] * 3])
    plots.plot_log_seeds(axes, np.arange(3), curves, "black", "arm")
    mean = axes.lines[-1].get_ydata()
    np.testing.assert_allclose(mean, [2, 0.1, np.nan], rtol=1e-6)


def test_compare_prints_a_table_and_the_verdict(runs):
    text = str(sg.compare(runs, "accuracy"))
    assert text.splitlines()[0] == "accuracy (%)"
    assert "fast  2  100 %" in text
    assert "Left out: seeds without a value in both (1 of fast)." in text


def test_runs_of_other_seeds_are_not_compared(runs):
    other = replace(runs["slow"], seeds=(7, 8, 9))
    with pytest.raises(ValueError, match="same seeds"):
        sg.compare({"fast": runs["fast"], "slow": other})
