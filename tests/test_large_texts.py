"""Texts in pieces, and tokens on the host: the same text, windows and networks."""

import errno
import re
from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import seqgraph_jax as sg
from seqgraph_jax import text
from seqgraph_jax.text import pieces as reading
from seqgraph_jax.text import tokens as keeping
from seqgraph_jax.training.arms import same_tasks

from .test_training import assert_same_bits

TALE = "Once upon\r\na time — ’tis\rsaid\n\n😀 é\r\n"
START, END = "*** START OF X ***\n", "*** END OF X ***\n"
BOOKS = [
    TALE,
    f"head\n{START}{TALE}{END}licence",
    f"{START}{TALE}***END OF\n{END}",
    f"head\n***START OF a long line {'=' * 60}\n{TALE}End of the Project Gutenberg",
    f"{END}{TALE}{START}{TALE}",  # an end before the start is none
    f"{TALE}End of Project Gutenberg\n{END}{TALE}",  # no start at all
    f"x{START}{TALE} {END}",  # not where a line starts
    f"{TALE}*** START OF X without a line's end",
]


@pytest.fixture(params=[1, 3, 7, 64])
def size(request, monkeypatch):
    """A file is read, and a text cut, in pieces of so many bytes or characters."""
    monkeypatch.setattr(reading, "PIECE", request.param)
    return request.param


def book_by_lines(written):
    """The same as `find_book`, of a text as a whole."""
    start = re.search(r"^\*\*\* ?START OF.*$\n?", written, re.M)
    begin = start.end() if start else 0
    mark = r"^(\*\*\* ?END OF|End of (the )?Project Gutenberg)"
    end = re.compile(mark, re.M).search(written, begin)
    return slice(begin, end.start() if end else len(written))


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "gb18030"])
def test_a_file_in_pieces_is_what_open_reads(tmp_path, size, encoding):
    # A letter, or the two bytes of a line's end, cut in half; a mark taken for text.
    path = tmp_path / "text.txt"
    for content in ("\ufeff" + TALE, TALE * 3):
        path.write_bytes(content.encode(encoding))
        whole = path.read_text(encoding)
        assert text.read_text(path, encoding) == whole
        bare = "".join(text.file_pieces(path, encoding, strip_bom=True))
        assert bare == whole.removeprefix("\ufeff")


@pytest.mark.parametrize("book", BOOKS)
def test_a_book_is_found_in_pieces(tmp_path, size, book):
    path = tmp_path / "book.txt"
    path.write_bytes(book.encode())
    whole = path.read_text("utf-8")
    part = book_by_lines(whole)
    assert text.book_of(whole) == part
    assert text.scan(text.file_pieces(path)).book == part
    if whole[part]:
        assert text.read_text(path, strip_gutenberg=True) == whole[part]


def test_one_pass_finds_what_the_whole_text_has(size):
    written = BOOKS[1] * 2
    found = text.scan(text.pieces_of(written))
    assert found.vocabulary == text.Vocabulary.of(written)
    assert (found.length, found.sha256) == (len(written), text.sha256_of(written))
    assert found.num_bytes == len(written)


@pytest.mark.parametrize(
    ("content", "encoding", "message"),
    [
        ("aé".encode() * 5 + b"\xff" + b"b" * 9, "utf-8", r"\(byte 15\)"),
        ("aé".encode()[:-1], "utf-8", r"\(byte 1\)"),  # cut at the end
        ("abc".encode("utf-16-le")[:-1], "utf-16-le", r"\(byte 4\)"),
        (b"a" * 20 + b"\0", "utf-8", "is a binary file"),
        (b"", "utf-8", "is empty"),
        (b"\xef\xbb\xbf", "utf-8-sig", "is empty"),
    ],
)
def test_what_is_wrong_in_a_later_piece_is_said(
    tmp_path, size, content, encoding, message
):
    (tmp_path / "text.txt").write_bytes(content)
    with pytest.raises(text.TextError, match=message):
        list(text.file_pieces(tmp_path / "text.txt", encoding))


WRITTEN = f"head {START}{'abdcab, ' * 40}\n{END}{'no warranty ' * 9}"
PIECES = partial(text.pieces_of, WRITTEN)
SCANNED = text.scan(PIECES())


def task_on(place, folder, window=5, stateful=False, **options):
    return text.corpus_task(
        SCANNED, PIECES, window, 0.3, stateful, place=place, folder=folder, **options
    )


def test_tokens_are_written_once_and_found_again(tmp_path, size):
    tokens = keeping.tokens_on_disk(SCANNED, PIECES, tmp_path)
    expected = SCANNED.vocabulary.encode(WRITTEN)
    np.testing.assert_array_equal(tokens, expected)
    assert tokens.dtype == np.uint8
    assert [path.name for path in tmp_path.iterdir()] == [f"{SCANNED.sha256}.npy"]
    again = keeping.tokens_on_disk(SCANNED, lambda: pytest.fail("read"), tmp_path)
    np.testing.assert_array_equal(again, expected)


def test_a_file_that_holds_something_else_is_written_anew(tmp_path):
    path = tmp_path / f"{SCANNED.sha256}.npy"
    for content in (b"", np.zeros(3, np.uint8)):
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            np.save(path, content)
        tokens = keeping.tokens_on_disk(SCANNED, PIECES, tmp_path)
        np.testing.assert_array_equal(tokens, SCANNED.vocabulary.encode(WRITTEN))


def test_nothing_half_written_stays(tmp_path, monkeypatch):
    # The beginning of a text, taken for all of it by the next run.
    def broken():
        yield WRITTEN[:50]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        keeping.tokens_on_disk(SCANNED, broken, tmp_path)
    for pieces in (lambda: ["ab"], lambda: [WRITTEN, "a"]):
        with pytest.raises(text.TextError, match="changed while it was read"):
            keeping.tokens_on_disk(SCANNED, pieces, tmp_path)
    assert not list(tmp_path.iterdir())
    (tmp_path / "killed.part").touch()
    keeping.tokens_on_disk(SCANNED, PIECES, tmp_path)
    assert (tmp_path / "killed.part").exists()  # it may be that of another process
    monkeypatch.setattr(keeping, "DAY", -1)
    keeping._forget_unfinished(tmp_path)
    assert not (tmp_path / "killed.part").exists()


def test_a_full_disk_is_one_sentence(tmp_path, monkeypatch):
    def full(number):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(keeping.os, "fsync", full)
    message = "0 MB, cannot be kept in .*: No space left on device; XDG_CACHE_HOME"
    with pytest.raises(text.TextError, match=message):
        keeping.tokens_on_disk(SCANNED, PIECES, tmp_path)
    assert not list(tmp_path.iterdir())


def test_the_host_takes_the_same_windows(tmp_path, monkeypatch, key):
    # The held-out text among them; the end; a call that is too large for JAX.
    device, host = (task_on(place, tmp_path) for place in ("device", "host"))
    assert 0 < host.tokens.without[0] < len(host.tokens)
    np.testing.assert_array_equal(host.held_out, device.held_out)
    assert len(host.tokens) == len(device.tokens)
    starts = jnp.arange(3 * len(device.tokens)).reshape(3, -1)
    expected = jax.vmap(device.windows)(starts)
    calls = []
    monkeypatch.setattr(keeping, "AT_ONCE", 100)
    take = keeping.HostTokens._take
    monkeypatch.setattr(
        keeping.HostTokens,
        "_take",
        lambda self, length, starts: (
            calls.append(starts.shape) or take(self, length, starts)
        ),
    )
    found = jax.jit(jax.vmap(host.windows))(starts)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)
    assert calls == [(100,)] * -(-starts.size // 100)
    (tmp_path / f"{SCANNED.sha256}.npy").unlink()  # it is still mapped
    one, other = host.sample(key, 7), device.sample(key, 7)
    np.testing.assert_array_equal(one.inputs, other.inputs)


def test_tokens_on_the_host_are_known_by_their_text(tmp_path):
    # A gigabyte hashed or compared value by value, or not told from another text.
    one, same = (task_on("host", tmp_path) for _ in range(2))
    assert len(jax.tree.leaves(one)) == 1  # the held-out text
    assert same_tasks([one, same])
    assert "memmap" not in repr(jax.tree.structure(one))
    other = replace(one, tokens=replace(one.tokens, sha256="0"))
    shifted = replace(one, tokens=replace(one.tokens, without=(3, 9)))
    assert not same_tasks([one, other])
    assert not same_tasks([one, shifted])


@pytest.mark.parametrize(("stateful", "width"), [(False, 2), (True, 1)])
def test_networks_learn_the_same_from_the_host(tmp_path, stateful, width):
    model = text.CharLM("rnn", 4, len(SCANNED.vocabulary), 3, num_layers=1)
    config = sg.TrainConfig(
        updates=6, eval_every=3, batch_size=4, eval_size=4, early_stop=False
    )
    one, other = (
        sg.train_seeds(
            model, task_on(place, tmp_path, stateful=stateful), config, [3, 4, 5], width
        )
        for place in ("device", "host")
    )
    assert_same_bits((one.metrics, one.state), (other.metrics, other.state))


def test_tokens_lie_on_the_device_while_they_are_small(monkeypatch):
    copies = jax.local_device_count()
    monkeypatch.setattr(keeping, "capacity", lambda device: 4 * copies * 100)
    assert keeping.choose_place("auto", 99) == "device"
    assert keeping.choose_place("auto", 100) == "host"
    assert keeping.choose_place("device", 100) == "device"

    def no_cpu(backend=None):
        raise RuntimeError("Unknown backend cpu")

    monkeypatch.setattr(jax, "local_devices", no_cpu)
    assert keeping.choose_place("device", 100) == "device"
    with pytest.raises(text.TextError, match="as in cuda,cpu"):
        keeping.choose_place("host", 100)


def test_of_a_long_text_no_more_is_held_out_than_can_be_evaluated(monkeypatch):
    monkeypatch.setattr(text.windows, "MOST_HELD_OUT", 40)
    task = text.text_task(text.Vocabulary("ab"), "ab" * 100, holdout=0.5)
    assert (len(task.tokens), len(task.held_out)) == (160, 40)


def test_texts_that_positions_cannot_count_are_refused():
    huge = SCANNED._replace(length=2**31, book=slice(0, 2**31))
    with pytest.raises(text.TextError, match="2,147,483,647 characters at most"):
        text.corpus_task(huge, PIECES)
