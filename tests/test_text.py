"""Vocabulary, reading, windows; measures of text; data; training on text."""

import hashlib
import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import seqgraph_jax as sg
from seqgraph_jax import text
from seqgraph_jax.data import datasets, origins
from seqgraph_jax.text import measures as text_measures
from seqgraph_jax.text.corpus import TextError, Vocabulary
from seqgraph_jax.text.networks import CharLM
from seqgraph_jax.text.windows import text_metrics
from seqgraph_jax.training import checkpoints
from seqgraph_jax.training import loop as training

SHIPPED = Path(__file__).parents[1] / "checkpoints" / "grimm"

needs_data = pytest.mark.skipif(
    not os.environ.get("SEQGRAPH_DATA"), reason="SEQGRAPH_DATA is not set"
)


@given(st.text(min_size=1))
def test_encoding_and_back(written):
    vocabulary = Vocabulary.of(written)
    tokens = vocabulary.encode(written)
    assert vocabulary.decode(tokens) == written
    assert sorted(set(tokens.tolist())) == list(range(len(vocabulary)))


def test_vocabulary_names_unknown_characters_and_survives_a_file(tmp_path):
    vocabulary = Vocabulary.of("ab \ufeff’\u2028\n")
    vocabulary.save(tmp_path / "v.json")
    assert Vocabulary.load(tmp_path / "v.json") == vocabulary
    with pytest.raises(TextError, match="'zq' is not in the vocabulary of 7"):
        vocabulary.encode("azbqz")
    letters = "".join(map(chr, range(0x4E00, 0x5E00)))
    with pytest.raises(TextError, match="vocabulary of 4096 characters") as error:
        Vocabulary.of(letters).encode(
            "q" + letters + "".join(map(chr, range(400, 900)))
        )
    assert len(str(error.value)) < 400
    for content in ("", "[]", '{"characters": 3}', '{"characters": "aa"}'):
        (tmp_path / "bad.json").write_text(content)
        with pytest.raises(TextError, match="is not a vocabulary"):
            Vocabulary.load(tmp_path / "bad.json")


def small_text_model(characters="abc"):
    model = CharLM("lstm", features=2, num_symbols=3, embedding_features=2)
    params = model.init(jax.random.key(0), jnp.zeros((1, 1), jnp.int32))["params"]
    settings = {"cell": "lstm", "hidden": 2, "embedding": 2, "layers": 2, "seeds": [0]}
    settings |= {"dropout": 0.0, "tie_weights": False, "forget_bias": 1.0}
    params = jax.tree.map(lambda leaf: leaf[None], params)
    vocabulary = Vocabulary.of(characters)
    return text.TextModel(model, params, vocabulary, (0,), 5, settings)


@pytest.mark.parametrize("dtype", [jnp.bfloat16, np.float16, np.float64])
def test_models_are_read_in_the_precision_that_jax_computes_in(tmp_path, dtype):
    saved = small_text_model()
    text.save_text_model(saved, tmp_path, dtype=dtype)
    loaded = text.load_text_model(tmp_path)
    chex.assert_trees_all_equal_dtypes(loaded.params, saved.params)
    chex.assert_trees_all_close(loaded.params, saved.params, atol=0.02)


def test_a_model_is_the_one_that_its_checkpoint_says(tmp_path):
    # The width of the flags, where another was chosen for the arm.
    saved = small_text_model()
    text.save_text_model(saved, tmp_path)
    path = tmp_path / "config.json"
    config = json.loads(path.read_text())
    path.write_text(json.dumps({**config, "hidden": config["hidden"] + 1}))
    assert text.load_text_model(tmp_path).model.features == saved.model.features


def test_models_write_in_double_precision(tmp_path):
    # A shipped model that is called another one, or a carry in single precision.
    text.save_text_model(small_text_model(), tmp_path)
    with jax.enable_x64(True):
        loaded = text.load_text_model(tmp_path)
        nothing = np.zeros(0, np.int32)
        [[written]] = text.writing.texts(loaded, nothing, 3, 1, 0, 1.0, chunk=3)
    assert loaded.params["embedding"].dtype == np.float64
    assert len(written) == 3


def test_a_vocabulary_that_was_changed_is_noticed(tmp_path):
    # Texts in other letters, from a model that is whole.
    text.save_text_model(small_text_model(), tmp_path)
    Vocabulary("acb").save(tmp_path / "vocabulary.json")
    with pytest.raises(checkpoints.CheckpointError, match="is not the vocabulary that"):
        text.load_text_model(tmp_path)


@pytest.mark.parametrize(
    ("content", "encoding", "message"),
    [
        (b"", "utf-8", "is empty"),
        (b"a\x00b", "utf-8", "is a binary file"),
        ("é".encode("latin-1"), "utf-8", r"not utf-8 text \(byte 0\)"),
        (b"a", "utf-99", "encoding 'utf-99' is unknown"),
        ("ab".encode("utf-16-be"), "utf-16", r"text.txt is not utf-16 text \(UTF-16 "),
        (b"a", "hex", "encoding 'hex' is unknown"),
        (None, "utf-8", "cannot be read"),
    ],
)
def test_texts_that_cannot_be_read(tmp_path, content, encoding, message):
    path = tmp_path / "text.txt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(TextError, match=message):
        text.read_text(path, encoding)


def test_a_long_text_is_encoded_in_pieces(monkeypatch):
    # A piece lost or out of its place; a character beyond 16 bits; a token cut short.
    characters = [chr(code) for code in (*range(32, 320), 0x4E00, 0xFFFF, 0x1F600)]
    written = "".join(np.random.default_rng(0).permutation(characters * 3))
    vocabulary = Vocabulary.of(written)
    assert (vocabulary.dtype, Vocabulary("ab").dtype) == (np.uint16, np.uint8)
    assert Vocabulary("".join(map(chr, range(256)))).dtype is np.uint8
    expected = [vocabulary.characters.index(character) for character in written]
    whole = text.sha256_of(written)
    monkeypatch.setattr("seqgraph_jax.text.corpus.PIECE", 50)
    for dtype in (np.int32, vocabulary.dtype):
        tokens = vocabulary.encode(written, dtype)
        assert tokens.dtype == dtype
        assert tokens.tolist() == expected
    assert text.sha256_of(written) == whole
    assert whole == hashlib.sha256(written.encode()).hexdigest()
    with pytest.raises(TextError, match="'éü😁' is not in the vocabulary"):
        Vocabulary("abc").encode("a" * 70 + "éüb😁é")


def test_tokens_of_a_byte_give_the_same_batches(key):
    # Targets of -1 that become 255; positions counted in bytes.
    task = text.text_task(Vocabulary.of("abcdef"), "abcdef" * 60, 7, holdout=0.5)
    assert task.tokens.dtype == jnp.uint8
    wide = replace(
        task, tokens=task.tokens.astype(int), held_out=task.held_out.astype(int)
    )
    chex.assert_trees_all_equal(task.sample(key, 9), wide.sample(key, 9))
    chex.assert_trees_all_equal(task.evaluation(key, 7), wide.evaluation(key, 7))
    assert task.sample(key, 9).inputs.dtype == jnp.int32


def test_byte_order_mark_and_gutenberg(tmp_path):
    path = tmp_path / "book.txt"
    path.write_bytes(
        "\ufeffhead\n*** START OF X ***\nA tale.\nEnd of Project Gutenberg".encode()
    )
    assert text.read_text(path)[0] == "\ufeff"
    assert text.read_text(path, strip_bom=True)[0] == "h"
    assert text.read_text(path, strip_gutenberg=True) == "A tale.\n"


def test_windows_are_pieces_of_the_text(key):
    written = "".join(chr(97 + i % 23) + chr(65 + i % 19) for i in range(200))
    vocabulary = Vocabulary.of(written)
    task = text.text_task(vocabulary, written, window=7, holdout=0.25)
    batch = task.sample(key, 64)
    chex.assert_shape((batch.inputs, batch.targets), (64, 7))
    for inputs, targets in zip(batch.inputs, batch.targets, strict=True):
        piece = vocabulary.decode(inputs) + vocabulary.decode(targets[-1:])
        assert piece in written[:300]
        assert vocabulary.decode(targets) == piece[1:]


def test_held_out_is_the_end_of_the_book_and_all_else_is_trained_on():
    # The licence that ends the file held out: nothing before it is like it.
    tales, licence = "once upon a time " * 4, "*** END OF IT ***\nno warranty\n"
    written = f"*** START OF IT ***\n{tales}\n{licence}"
    vocabulary = Vocabulary.of(written)
    task = text.text_task(vocabulary, written, window=3, holdout=0.25)
    held_out = (tales + "\n")[-17:]
    assert vocabulary.decode(task.held_out) == held_out
    assert vocabulary.decode(task.tokens) == written.replace(
        held_out + licence, licence
    )
    whole = text.text_task(vocabulary, written, 3, 0.25, holdout_of="file")
    assert vocabulary.decode(whole.held_out) == written[-len(whole.held_out) :]
    assert len(whole.tokens) + len(whole.held_out) == len(written)


def test_every_window_can_be_drawn(key):
    task = text.text_task(Vocabulary.of("abcdefgh"), "abcdefgh", window=5, holdout=0)
    first = np.asarray(task.sample(key, 500).inputs[:, 0])
    assert sorted(set(first.tolist())) == [0, 1, 2]


def test_followed_windows_go_on_and_wrap_around():
    written = "abcdefghijkl"
    task = text.text_task(Vocabulary.of(written), written, 4, 0, stateful=True)
    rows = [np.asarray(task.follow(step, 2).inputs) for step in range(4)]
    streams = np.concatenate(rows, axis=1)
    expected = (np.array([0, 6])[:, None] + np.arange(16)) % 12
    np.testing.assert_array_equal(streams, expected)


def test_evaluation_covers_the_held_out_text_once(key):
    written = "abcdefghijklmnopqrstuvwxyz" * 4
    task = text.text_task(Vocabulary.of(written), written, window=3, holdout=0.5)
    batch = task.evaluation(key, 7)
    counted = np.asarray(batch.targets) >= 0
    assert counted.sum() == 51
    np.testing.assert_array_equal(
        np.asarray(batch.targets)[counted], np.asarray(task.held_out[1:])
    )


def test_targets_below_zero_are_not_counted(key):
    logits = jax.random.normal(key, (2, 5, 4))
    targets = jnp.array([[0, 1, 2, 3, 0], [1, 2, -1, -1, -1]])
    metrics = text_metrics((None, logits), targets)
    log_p = np.log(np.exp(logits) / np.exp(logits).sum(-1, keepdims=True))
    kept = [(b, t) for b in range(2) for t in range(5) if targets[b, t] >= 0]
    losses = [-log_p[b, t, targets[b, t]] for b, t in kept]
    right = [logits[b, t].argmax() == targets[b, t] for b, t in kept]
    chex.assert_trees_all_close(
        metrics,
        {
            "loss": np.mean(losses),
            "bits_per_char": np.mean(losses) / np.log(2),
            "accuracy": np.mean(right),
        },
        rtol=1e-5,
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"window": 30}, "trained on has 20"),
        ({"window": 5, "holdout": 0.2}, "held out has 4"),
        ({"holdout": 1.0}, "below 1, not 1.0"),
        ({"window": 0}, "not 0"),
    ],
)
def test_tasks_that_cannot_be(options, message):
    with pytest.raises(TextError, match=message):
        text.text_task(Vocabulary.of("ab"), "ab" * 10, **{"holdout": 0, **options})


def test_network_is_causal_and_carries_its_state(key):
    model = CharLM("gru", features=6, num_symbols=9, embedding_features=5)
    tokens = jax.random.randint(key, (3, 8), 0, 9)
    params = {"params": model.init(key, tokens)["params"]}
    carry, logits = model.apply(params, tokens)
    changed = model.apply(params, tokens.at[:, 5].add(1) % 9)[1]
    chex.assert_trees_all_close(logits[:, :5], changed[:, :5])
    assert not np.allclose(logits[:, 5:], changed[:, 5:])
    middle, first = model.apply(params, tokens[:, :3], model.initial_carry(3))
    last, second = model.apply(params, tokens[:, 3:], middle)
    chex.assert_trees_all_close(jnp.concatenate([first, second], 1), logits, atol=1e-6)
    chex.assert_trees_all_close(last, carry, atol=1e-6)


def test_tied_weights_and_refusals(key):
    tokens = jnp.zeros((2, 3), jnp.int32)
    model = CharLM("lstm", 8, 5, embedding_features=8, tie_weights=True)
    params = model.init(key, tokens)["params"]
    assert "head" not in params
    carry, logits = model.apply({"params": params}, tokens)
    expected = carry.hidden @ params["embedding"].T + params["bias"][None]
    chex.assert_trees_all_close(logits[:, -1], expected, atol=1e-6)
    with pytest.raises(ValueError, match="tied weights need"):
        CharLM("lstm", 8, 5, tie_weights=True).init(key, tokens)
    with pytest.raises(ValueError, match="reads in both directions"):
        CharLM("bilstm", 8, 5).init(key, tokens)


CONFIG = sg.TrainConfig(
    updates=6, eval_every=3, batch_size=2, eval_size=3, early_stop=False
)


def _setting(stateful):
    written = "the cat sat on the mat and the dog sat on the log. " * 4
    vocabulary = Vocabulary.of(written)
    task = text.text_task(vocabulary, written, 4, 0.2, stateful)
    return CharLM("lstm", 6, len(vocabulary), embedding_features=4), task


def test_stateful_training_equals_a_plain_loop(key):
    """Catches a carry that is dropped, reset, or differentiated through."""
    model, task = _setting(stateful=True)
    state = training.init(model, task, CONFIG, key)
    params, tx = state.params, training.optimizer(CONFIG)
    opt_state, carry = tx.init(params), model.initial_carry(2)
    for n in range(4):
        batch = task.follow(n, 2)

        def loss_fn(params, batch=batch, carry=carry):
            carry, logits = model.apply({"params": params}, batch.inputs, carry)
            log_p = jax.nn.log_softmax(logits)
            chosen = jnp.take_along_axis(log_p, batch.targets[..., None], axis=-1)
            return -chosen.mean(), carry

        grads, carry = jax.grad(loss_fn, has_aux=True)(params)
        updates, opt_state = tx.update(grads, opt_state, params)
        params = jax.tree.map(jnp.add, params, updates)
        state, _ = training.update(model, task, CONFIG, key, state)
    chex.assert_trees_all_close(state.params, params, atol=1e-5)
    chex.assert_trees_all_close(state.carry, carry, atol=1e-5)


def test_one_seed_of_many_equals_a_single_run():
    model, task = _setting(stateful=True)
    run = sg.train_seeds(model, task, CONFIG, seeds=[3, 8])
    state, metrics = sg.train(model, task, CONFIG, jax.random.key(8))
    alone = jax.tree.map(lambda leaf: leaf[1], run.state.params)
    chex.assert_trees_all_close(alone, state.params, atol=1e-5)
    np.testing.assert_allclose(run.metrics["loss"][1], metrics["loss"], rtol=1e-4)


def test_schedules():
    """Warm-up from zero to the rate, then down to zero at the last update."""
    for name, middle in (("linear", 0.5), ("cosine", 0.5), ("constant", 1.0)):
        config = sg.TrainConfig(
            updates=30, learning_rate=1.0, schedule=name, warmup=10, max_norm=1e9
        )
        tx = training.optimizer(config)
        params = {"w": jnp.zeros(1)}
        opt_state, steps = tx.init(params), []
        for _ in range(30):
            updates, opt_state = tx.update({"w": jnp.ones(1)}, opt_state, params)
            steps.append(-float(updates["w"][0]))
        np.testing.assert_allclose(steps[:11], np.arange(11) / 10, atol=1e-3)
        assert steps[20] == pytest.approx(middle, abs=1e-3)
    with pytest.raises(ValueError, match="constant, linear or cosine"):
        sg.TrainConfig(schedule="step")
    with pytest.raises(ValueError, match="warmup"):
        sg.TrainConfig(updates=10, warmup=10)


def test_steps_to_keep_stay(tmp_path):
    for step in (1, 2, 3, 4, 5):
        checkpoints.save(tmp_path, step, {"x": np.ones(2)}, {}, keep_steps=(2, 9))
    assert checkpoints.steps(tmp_path) == [2, 4, 5]


def test_measures_by_hand():
    corpus = "once upon a time there was a king"
    assert text_measures.longest_copy("xx a time th yy", corpus) == 10
    assert text_measures.longest_copy("QQ", corpus) == 0
    assert text_measures.loop_length("so he said he said he said") == 8
    assert text_measures.loop_length("aaaa") == 1
    assert text_measures.loop_length("abab") == 0
    assert text_measures.distinct_ngrams("aaaaa") == 0.5
    assert np.isnan(text_measures.distinct_ngrams("abc"))
    assert np.isnan(text_measures.share_of_words("only two", {"two"}))


@given(st.text("ab", max_size=12), st.text("ab", max_size=12))
def test_longest_copy_equals_all_pieces(written, corpus):
    pieces = {
        written[i:j]
        for i in range(len(written))
        for j in range(i + 1, len(written) + 1)
        if written[i:j] in corpus
    }
    longest = max(map(len, pieces), default=0)
    assert text_measures.longest_copy(written, corpus) == longest


def test_data_is_checked_and_errors_say_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("SEQGRAPH_DATA", str(tmp_path / "data"))
    monkeypatch.setattr(
        datasets,
        "ORIGINS",
        {"grimm": origins.Origin("book.txt", "0" * 64, ("http://localhost:9/b",))},
    )
    with pytest.raises(datasets.DataError, match="cannot be downloaded from http"):
        datasets.find("grimm")
    with pytest.raises(datasets.DataError, match="choose grimm"):
        datasets.find("grim")
    (tmp_path / "data" / "grimm").mkdir(parents=True)
    (tmp_path / "data" / "grimm" / "book.txt").write_text("another text")
    with pytest.raises(datasets.DataError, match="SHA-256 differs"):
        datasets.find("grimm")


def test_data_is_downloaded_once(tmp_path, monkeypatch):
    """From a server here: the first address has another edition, the second is gone."""
    import functools
    import hashlib
    import http.server
    import threading

    served = tmp_path / "served"
    served.mkdir()
    (served / "new.txt").write_text("another edition")
    (served / "old.txt").write_text("the known edition")
    handler = functools.partial(
        http.server.SimpleHTTPRequestHandler, directory=str(served)
    )
    handler.log_message = lambda *_: None
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}"
        origin = origins.Origin(
            "book.txt",
            hashlib.sha256(b"the known edition").hexdigest(),
            (f"{address}/new.txt", f"{address}/old.txt"),
        )
        monkeypatch.setattr(datasets, "ORIGINS", {"grimm": origin})
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
        monkeypatch.delenv("SEQGRAPH_DATA", raising=False)
        path = datasets.find("grimm")
        assert path.read_text() == "the known edition"
        server.shutdown()
    shutil.rmtree(served)
    assert datasets.find("grimm") == path


@needs_data
def test_grimm_has_the_characters_that_the_reference_counts():
    path = datasets.find("grimm")
    whole = text.read_text(path)
    assert (len(whole), len(Vocabulary.of(whole))) == (540_241, 87)
    assert len(Vocabulary.of(text.read_text(path, strip_bom=True))) == 86
    tales = text.read_text(path, strip_gutenberg=True)
    assert (len(tales), len(Vocabulary.of(tales))) == (520_802, 80)


def test_the_shipped_model_has_the_numbers_that_training_gave():
    # Those of the export, array by array; a file rewritten by another Orbax has them.
    arrays = checkpoints.load(SHIPPED / "state" / "lstm", 9000).arrays
    digest = hashlib.sha256()
    for name in sorted(arrays):
        digest.update(arrays[name].tobytes())
    assert digest.hexdigest().startswith("bb3bf303b30a8cd1193ee2fb6136bafce6ecc74d")
    layers = {name.split(".")[2] for name in arrays}
    assert layers == {"embedding", "head", "layer_0", "layer_1"}
