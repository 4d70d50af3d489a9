"""Training on text, sampling and the study of temperature, as a user runs them."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

from experiments import export, sample, temperature, train_text
from seqgraph_jax.text.evaluation import ENTROPY, HELD_OUT, TRAINED_ON
from seqgraph_jax.text.models import load_text_model
from seqgraph_jax.training import checkpoints

from .sentences import assert_one_sentence
from .test_seeds import made_run
from .test_text import small_text_model

NAN = float("nan")

#: Programs are compiled once.
pytestmark = pytest.mark.xdist_group("text")

SMOKE = ["--smoke", "--no-compilation-cache"]
TRAP = "<script>alert('x')</script> & <b>bold</b>\n"


def run(module, *argv):
    """Exit code of an experiment in this process."""
    return module.main([str(word) for word in argv])


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Two seeds trained on a text with HTML in it."""
    folder = tmp_path_factory.mktemp("trained")
    (folder / "trap.txt").write_text(TRAP * 30)
    argv = ["--corpus", folder / "trap.txt", "--num-seeds", 2, "--out", folder / "run"]
    argv += ["--checkpoint-every", 0]
    assert run(train_text, *SMOKE, *argv) == 0
    return folder / "run"


def sampled(capsys, *argv):
    """What sampling prints on stdout, as lines."""
    assert run(sample, "--no-compilation-cache", *argv) == 0
    return capsys.readouterr().out.splitlines()


@pytest.mark.smoke
def test_training_writes_what_it_promises(trained):
    assert {path.name for path in trained.iterdir()} == {
        *("config.json", "vocabulary.json", "metrics.jsonl", "results.json"),
        *("report.html", "curves.png", "curves.svg", "state"),
    }
    record = json.loads((trained / "results.json").read_text())
    metrics = record["arms"]["lstm"]["metrics"]
    assert metrics["train_accuracy"]["n"] == 2
    bits, loss = metrics["bits_per_char"]["per_seed"], metrics["loss"]["per_seed"]
    np.testing.assert_allclose(np.log(2) * np.array(bits), loss, rtol=1e-5)
    assert checkpoints.steps(trained / "state" / "lstm") == [10, 20]


def test_tokens_on_the_host_give_the_same_run(trained, tmp_path, monkeypatch, capsys):
    # Windows that differ; a run that does not say where its tokens were.
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    argv = ["--corpus", trained.parent / "trap.txt", "--num-seeds", 2]
    argv += ["--tokens", "host", "--out", tmp_path / "run"]
    assert run(train_text, *SMOKE, *argv) == 0
    there, here = (d / "metrics.jsonl" for d in (trained, tmp_path / "run"))
    assert here.read_bytes() == there.read_bytes()
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert config["tokens"] == "host"
    assert json.loads((trained / "config.json").read_text())["tokens"] == "device"
    [kept] = (tmp_path / "cache" / "seqgraph_jax" / "tokens").iterdir()
    assert kept.stem == config["corpus_sha256"]
    kept.unlink()
    kept.parent.rmdir()
    kept.parent.write_text("no folder")
    capsys.readouterr()
    assert run(train_text, *SMOKE, *argv[:-1], tmp_path / "other") == 2
    assert_one_sentence(capsys, "0 MB, cannot be kept in")


def test_a_text_that_must_be_held_as_a_whole_says_so(trained, monkeypatch, capsys):
    monkeypatch.setattr("seqgraph_jax.training.memory.free_in_machine", lambda: 999)
    argv = ["--checkpoint", trained, "--corpus", trained.parent / "trap.txt"]
    assert run(temperature, *SMOKE, *argv) == 2
    assert_one_sentence(capsys, "is too large to be held as a whole")


def test_html_of_a_corpus_is_escaped(trained):
    """Catches a report that runs in the reader's browser what the corpus says."""
    html = (trained / "report.html").read_text()
    assert "<script" not in html
    assert "<b>" not in html


def test_resumed_run_only_reports(trained, tmp_path):
    run_again = tmp_path / "run"
    shutil.copytree(trained, run_again)
    before = (run_again / "metrics.jsonl").read_bytes()
    (run_again / "results.json").unlink()
    corpus = trained.parent / "trap.txt"
    argv = ["--corpus", corpus, "--num-seeds", 2, "--out", run_again, "--resume"]
    assert run(train_text, *SMOKE, *argv) == 0
    assert (run_again / "metrics.jsonl").read_bytes() == before
    assert (run_again / "results.json").exists()


@pytest.mark.parametrize(
    "argv",
    [
        ["--cell", "gru", "--stateful", "--dropout", "0.3", "--layers", "3"],
        ["--cell", "peephole", "--tie-weights", "--holdout", "0"],
        ["--cell", "rnn", "--schedule", "cosine", "--warmup", "4", "--layers", "1"],
    ],
)
def test_options(tmp_path, argv):
    assert run(train_text, *SMOKE, *argv, "--out", tmp_path / "run") == 0


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--cell", "bilstm"], "reads in both directions"),
        (["--cell", "lstn"], "unknown cell 'lstn'"),
        (["--dropout", "1"], "--dropout must be 0 to below 1"),
        (["--tie-weights", "--hidden", "9"], "--tie-weights needs"),
        (["--corpus", "{missing}"], "cannot be read"),
        (["--corpus", "{empty}"], "is empty"),
        (["--corpus", "{short}"], "take a longer text"),
        (["--corpus", "{binary}"], "is not utf-8 text"),
        (["--schedule", "step"], "('constant', 'linear', 'cosine')"),
        (["--hidden", "0"], "--hidden must be 1 or more"),
    ],
)
def test_training_refuses(tmp_path, capsys, argv, message):
    (tmp_path / "empty").write_bytes(b"")
    (tmp_path / "short").write_text("abc")
    (tmp_path / "binary").write_bytes(b"\x89PNG\xff")
    files = {name: tmp_path / name for name in ("empty", "short", "binary", "missing")}
    argv = [word.format(**files) for word in argv]
    assert run(train_text, *SMOKE, *argv, "--out", tmp_path / "run") == 2
    error = capsys.readouterr().err.strip()
    assert message in error
    assert len(error.splitlines()) == 1
    assert not (tmp_path / "run").exists()


def test_no_network_and_no_cache(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("SEQGRAPH_DATA", raising=False)
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    monkeypatch.chdir(tmp_path)
    assert run(train_text, *SMOKE, "--corpus", "grimm") == 2
    assert "or take the corpus pydoc" in capsys.readouterr().err


def test_batches_are_parted_over_the_devices_that_are_left(tmp_path, capsys):
    # A mesh that is not written down, or not gone on with.
    argv = ("--corpus", "pydoc", *SMOKE, "--seeds", "0", "--out", tmp_path / "run")
    assert run(train_text, *argv, "--mesh", "auto") == 0
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    record = json.loads((tmp_path / "run" / "results.json").read_text())
    assert (config["seed_width"], config["batch_parts"]) == (1, 4)  # batches of 4
    assert record["environment"]["num_devices"] == 4
    assert run(train_text, *argv, "--mesh", "auto", "--resume") == 0
    capsys.readouterr()
    assert run(train_text, *argv, "--resume") == 2
    assert "was made with batch_parts = 4, not None" in capsys.readouterr().err
    assert run(train_text, *SMOKE, "--mesh", "batch=two", "--out", tmp_path / "x") == 2
    assert "--mesh must be auto or such as seeds=1,batch=2" in capsys.readouterr().err
    assert not (tmp_path / "x").exists()


@pytest.mark.smoke
def test_shipped_model_writes(capsys):
    """With no data, no training, no arguments but the temperature."""
    lines = sampled(capsys, "--temp", "2.0")
    assert "multiplied by tau = 2, which is the same as divided by T = 0.5" in lines[0]
    assert len(lines) == 6
    assert all(len(line) == 30 for line in lines[1:])


@pytest.mark.parametrize(
    ("argv", "line"),
    [
        (["--divide-by", "0.5"], "divided by T = 0.5, which is the same as multiplied"),
        (["--temp", "0"], "tau = 0, which is the same as divided by T = inf (uniform"),
        (["--greedy"], "tau = inf, which is the same as divided by T = 0 (greedy"),
        (["--divide-by", "0"], "multiplied by tau = inf (greedy"),
        (["--temp", "1e30"], "tau = 1e+30"),
        (["--beam", "5"], "beam search with 5 beams"),
    ],
)
def test_first_line_names_the_convention(trained, capsys, argv, line):
    lines = sampled(capsys, "--checkpoint", trained, "--length", "4", *argv)
    assert line in lines[0]
    assert len(lines) == 1 + 2 * (5 + 1)


def test_fewer_texts_than_asked_for_are_said(trained, capsys):
    argv = ["--beam", "200", "--num", "200", "--length", "2"]  # the first is given
    assert run(sample, "--checkpoint", trained, *argv) == 0
    printed = capsys.readouterr()
    texts = printed.out.splitlines()[2:]  # of the first seed, then of the second
    size = len(load_text_model(trained).vocabulary)
    assert len(texts) == 2 * size + 1
    assert f"there are {size} different texts of so many characters" in printed.err


def test_same_number_in_both_conventions_gives_the_same_texts(trained, capsys):
    argv = ["--checkpoint", trained, "--length", "40", "--seed", "3"]
    multiplied = sampled(capsys, *argv, "--temp", "4")
    divided = sampled(capsys, *argv, "--divide-by", "0.25")
    assert multiplied[1:] == divided[1:]
    assert multiplied[1:] != sampled(capsys, *argv, "--temp", "0.25")[1:]


def test_json_is_for_programs(trained, capsys):
    argv = ["--checkpoint", trained, "--json", "--prompt", "<b>", "--num", "3"]
    rows = [json.loads(line) for line in sampled(capsys, *argv, "--greedy")]
    assert len(rows) == 2 * 3
    assert {row["model_seed"] for row in rows} == {0, 500}
    for row in rows:
        assert row["text"].startswith("<b>")
        assert len(row["text"]) == 33
        assert (row["multiply_by"], row["divide_by"]) == (None, 0)
        assert row["checkpoint"] == str(trained)
    rows = [json.loads(line) for line in sampled(capsys, *argv, "--temp", "4")]
    assert {(row["multiply_by"], row["divide_by"]) for row in rows} == {(4.0, 0.25)}


def test_a_step_that_was_kept(trained, capsys):
    argv = ["--checkpoint", trained, "--json", "--num", "1"]
    (row, _) = (json.loads(line) for line in sampled(capsys, *argv, "--step", "10"))
    assert row["step"] == 10


def test_exported_model_is_the_first_seed_in_half_precision(trained, tmp_path, capsys):
    out = tmp_path / "model"
    argv = ["--run", trained, "--out", out, "--steps", "10"]
    assert run(export, "--no-compilation-cache", *argv) == 0
    for step in (10, 20):
        full, stored = (load_text_model(path, step) for path in (trained, out))
        assert stored.seeds == (0,)
        assert stored.model == full.model
        for name, leaf in full.params["layer_0"]["input"].items():
            copied = stored.params["layer_0"]["input"][name]
            np.testing.assert_array_equal(copied, leaf[:1].astype(np.float16))
    rows = (out / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(row)["seed"] for row in rows] == [0, 0]
    bits = json.loads(rows[-1])["bits_per_char"]
    assert f"{bits:.4f} bits per character" in (out / "README.md").read_text()
    assert len(sampled(capsys, "--checkpoint", out)) == 1 + 1 + 5
    assert run(export, *argv) == 2
    assert "exists already" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--temp", "1", "--divide-by", "1"], "--temp and --divide-by cannot be"),
        (["--greedy", "--temp", "2"], "--temp and --greedy cannot be"),
        (["--temp", "-1"], "--temp must be 0 or more"),
        (["--temp", "nan"], "--temp must be 0 or more"),
        (["--divide-by", "-1"], "--divide-by must be 0 or more"),
        (["--num", "0"], "--num must be 1 or more"),
        (["--length", "0"], "--length must be 1 or more"),
        (["--top-k", "0"], "--top-k must be 1 or more"),
        (["--top-p", "0"], "--top-p must be above 0"),
        (["--beam", "2"], "need --beam 5 or more"),
        (["--prompt", "Zebra ß"], "'Zß' is not in the vocabulary"),
        (["--step", "11"], "there are steps 10, 20"),
        (["--checkpoint", "nowhere"], "holds no trained model"),
    ],
)
def test_sampling_refuses(trained, capsys, argv, message):
    assert run(sample, "--checkpoint", trained, *argv) == 2
    assert message in capsys.readouterr().err


def test_checkpoints_of_another_kind(trained, tmp_path, capsys):
    other = tmp_path / "other"
    shutil.copytree(trained, other)
    (other / "vocabulary.json").unlink()
    assert run(sample, "--checkpoint", other) == 2
    assert "is not a text model" in capsys.readouterr().err
    damaged = tmp_path / "damaged"
    shutil.copytree(trained, damaged)
    for path in (damaged / "state" / "lstm" / "20").rglob("*"):
        if path.is_file():
            path.write_bytes(b"x")
    assert run(sample, "--checkpoint", damaged) == 2
    assert "is damaged" in capsys.readouterr().err


def test_temperature_measures_every_seed(trained, tmp_path, capsys):
    out = tmp_path / "out"
    argv = [*SMOKE, "--corpus", "", "--checkpoint", trained, "--out", out]
    assert run(temperature, *argv) == 0
    record = json.loads((out / "results.json").read_text())
    arms = record["arms"]
    assert list(arms) == ["tau 0.5", "tau 1", "tau 2", "updates 20"]
    entropies = [
        arms[f"tau {tau}"]["metrics"][ENTROPY.name]["per_seed"]
        for tau in ("0.5", "1", "2")
    ]
    assert np.shape(entropies) == (3, 2)
    assert (np.diff(entropies, axis=0) < 0).all()
    assert "Greedy text repeats" in capsys.readouterr().out
    assert "<script" not in (out / "report.html").read_text()


def test_temperature_refuses_another_text(trained, tmp_path, capsys):
    corpus = trained.parent / "trap.txt"
    before = corpus.read_text()
    try:
        corpus.write_text(before + "more")
        argv = ["--corpus", "", "--checkpoint", trained, "--out", tmp_path / "out"]
        assert run(temperature, *SMOKE, *argv) == 2
    finally:
        corpus.write_text(before)
    assert "is not the one that the model was trained on" in capsys.readouterr().err
    assert run(temperature, "--taus", "1", "1") == 2
    assert "two or more different" in capsys.readouterr().err


def test_sentences_are_of_seeds_that_have_trained():
    # A mean that one diverged or stopped seed makes NaN, which argmin takes for lowest.
    bits = np.array([[3.0, 2.0, 2.5, 2.6], [NAN] * 4, [3.0, 2.4, 2.6, NAN]])
    stopped = replace(
        made_run(bits, updates=40, patience=2, metric="loss", threshold=None),
        metrics={"bits_per_char": bits, "train_loss": bits, "train_accuracy": bits / 4},
        last_update=np.array([40, 40, 30]),
        best_update=np.array([20, 0, 20]),
        train_s=1.0,
    )
    first, second = train_text.sentences(stopped, "held-out text")
    assert "takes 2.600 bits per character, on average over 2 seeds." in first
    assert "Training accuracy is 65.0%" in first
    assert "was predicted best after 20 updates (2.200 bits" in second
    assert "loss 2.600, accuracy 65.0%, 2.600 bits/char" in train_text.status(
        1, stopped
    )
    lost = replace(stopped, metrics={k: v * NAN for k, v in stopped.metrics.items()})
    assert train_text.sentences(lost, "text") == [
        "No seed trained to its end: all of them diverged."
    ]
    assert "loss nan" in train_text.status(1, lost)


@pytest.mark.parametrize(
    ("holdout", "corpus", "name", "size"),
    [
        (0.0, "", TRAINED_ON, 50),
        (0.0, "other.txt", HELD_OUT, 50),
        (0.02, "", HELD_OUT, 20),
    ],
)
def test_text_that_was_trained_on_is_not_called_held_out(holdout, corpus, name, size):
    # 5 % at least, of which most was trained on.
    model = small_text_model()
    settings = {**model.config, "holdout": holdout, "window": 4}
    config = temperature.Config(corpus=corpus)
    trained = replace(model, config=settings)
    batch, found = temperature.text_to_predict(config, trained, "abca" * 250)
    assert found == name
    assert (batch.targets >= 0).sum() == size - 1


def test_a_terminal_is_given_no_commands(monkeypatch):
    # A text that clears the screen of whoever reads it; a file gets it as it is.
    written = "a\x1b[2J\u0085b\nc"
    assert sample._one_line(written) == written.replace("\n", " ")
    monkeypatch.setattr(sample.sys.stdout, "isatty", lambda: True)
    assert sample._one_line(written) == r"a\x1b[2J\x85b c"
