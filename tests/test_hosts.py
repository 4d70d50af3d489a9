"""Several processes train one run: real ones, on this machine."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import seqgraph_jax as sg
from experiments.lstm_vs_gru import main
from seqgraph_jax.training import checkpoints, hosts, shares
from seqgraph_jax.training.checkpoints import CheckpointError
from seqgraph_jax.training.shares import Share, share_out

from .commands import smoke_run
from .sentences import assert_one_sentence
from .test_training import assert_same_bits

#: Ends with the bits of its states and metrics; all processes print the same.
STUDY = """
import hashlib, sys
import jax
import seqgraph_jax as sg

folder, *processes = sys.argv[1:]
if processes:
    coordinator, *numbers = processes
    sg.connect(coordinator, *map(int, numbers))
else:
    sg.connect()
task = sg.tasks.RandomCombinations(size=4)
model = sg.SequenceClassifier("gru", features=6, num_symbols=4, num_classes=4)
config = sg.TrainConfig(updates=600, eval_every=20, batch_size=8, eval_size=16)
every = {"checkpoint_every": 0}
run = sg.train_seeds(model, task, config, range(3), directory=folder, **every)
digest = hashlib.sha256()
for leaf in jax.tree.leaves((run.state, run.metrics)):
    digest.update(leaf.tobytes())
print(digest.hexdigest())
"""
CELLS = ("--cells", "rnn", "gru", "--seed-width", "1", "--seeds", "1", "2", "3")


def free_port(first=0):
    for port in range(first, first + 100):
        with socket.socket() as taken:
            try:
                taken.bind(("127.0.0.1", port))
            except OSError:
                continue
            return taken.getsockname()[1]
    raise AssertionError("no port is free")


def start(command, **variables):
    environment = {**os.environ, **variables}
    cache = jax.config.jax_compilation_cache_dir
    environment["JAX_COMPILATION_CACHE_DIR"] = cache
    return subprocess.Popen(
        [sys.executable, "-W", "error::UserWarning", *command],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def two(command, flags=("", "", "")):
    """Two processes of a command, each with what it must be told of them."""
    where = f"127.0.0.1:{free_port()}"
    return [
        start(
            [*command, *(f"{f}{v}" for f, v in zip(flags, (where, 2, i), strict=True))]
        )
        for i in range(2)
    ]


def in_slurm(command, num_processes):
    """Processes that find one another as they would in a step of Slurm."""
    port = free_port(65535 - 4096 + 1 + os.getpid() % 3000)
    step = {
        "SLURM_JOB_ID": str(port - (65535 - 4096 + 1)),
        "SLURM_STEP_NODELIST": "localhost",
        "SLURM_NTASKS": str(num_processes),
    }
    return [
        start(command, **step, SLURM_PROCID=str(i), SLURM_LOCALID=str(i))
        for i in range(num_processes)
    ]


def ended(processes):
    """Exit code, output and errors of each; a minute after the first they are gone."""
    said = [process.communicate(timeout=60) for process in processes]
    return [(p.returncode, *texts) for p, texts in zip(processes, said, strict=True)]


def kill_one(processes, victim, folder):
    """Kill one after a few more checkpoints; exit code and last line of the others."""
    there, deadline = max(checkpoints.steps(folder), default=0), time.monotonic() + 120
    while max(checkpoints.steps(folder), default=0) < there + 60:
        assert time.monotonic() < deadline
        assert all(p.poll() is None for p in processes), ended(processes)
        time.sleep(0.01)
    processes[victim].send_signal(signal.SIGKILL)
    found = ended(processes)
    assert found.pop(victim)[0] == -signal.SIGKILL
    return [(code, errors.strip().splitlines()[-1]) for code, _, errors in found]


@pytest.fixture(scope="module")
def survived(tmp_path_factory):
    """A run of two processes of which one was killed, and what the other said."""
    folder = tmp_path_factory.mktemp("hosts") / "run"
    processes = two(["-c", STUDY, str(folder)])
    return folder, kill_one(processes, 1, folder)


needs_posix = pytest.mark.skipif(os.name != "posix", reason="needs SIGKILL")


@needs_posix
@pytest.mark.xdist_group("hosts")
def test_a_lost_process_ends_the_others_and_any_number_goes_on(survived, tmp_path):
    # A hang; the state of a seed lost, or another one's, where shares are others; JAX
    # started before it was told of all cores, of which it warns.
    (whole,) = ended([start(["-c", STUDY, str(tmp_path / "whole")])])
    assert whole[0] == 0, whole[2]
    folder, said = survived
    assert said == [(2, f"error: {hosts.LOST}")]
    run = shutil.copytree(folder, tmp_path / "run")
    said = kill_one(in_slurm(["-c", STUDY, str(run)], 3), 0, run)
    assert said == [(2, f"error: {hosts.LOST}")] * 2
    (resumed,) = ended([start(["-c", STUDY, str(run)])])
    assert resumed == whole


@needs_posix
@pytest.mark.xdist_group("hosts")
def test_a_checkpoint_of_two_processes_holds_all_rows_and_notices_damage(
    survived, monkeypatch
):
    # Rows of one process alone, or those that fill up; a SHA-256 of nothing.
    saved = checkpoints.load(survived[0])
    assert {len(array) for array in saved.under("state").values()} == {3}
    kernel = saved.arrays["state.params.head.kernel"]
    assert all(np.ptp(row) > 0 for row in kernel)
    assert len({row.tobytes() for row in kernel}) == 3
    arrays, metadata = checkpoints.orbax_files.read(saved.path)
    for name in ("state.params.head.kernel", "metrics.loss"):
        wrong = {**arrays, name: np.nextafter(arrays[name], 9)}
        read = lambda path, wrong=wrong: (wrong, metadata)  # noqa: E731
        monkeypatch.setattr(checkpoints.orbax_files, "read", read)
        with pytest.raises(CheckpointError, match="is damaged"):
            checkpoints.load(survived[0])


@pytest.mark.xdist_group("hosts")
def test_an_experiment_on_two_processes_is_that_of_one(tmp_path):
    # A seed's result changed by who trains it; two reports into one directory.
    flags = [f"--{name}=" for name in ("coordinator", "num-processes", "process-id")]
    command = ["-m", "experiments.lstm_vs_gru", "--smoke", *CELLS]
    command += ["--out", str(tmp_path / "run")]
    (code, out, errors), other = ended(two(command, flags))
    assert code == 0, errors
    assert other[:2] == (0, ""), other[2]
    assert "Verdict: " in out
    assert "Gloo" not in out
    alone, _ = smoke_run("lstm_vs_gru", *CELLS)
    for name in ("metrics.jsonl", "config.json"):
        assert (tmp_path / "run" / name).read_text() == (alone / name).read_text()
    for arm in ("rnn", "gru"):
        ours, theirs = (
            checkpoints.load(folder / "state" / arm).under("state")
            for folder in (tmp_path / "run", alone)
        )
        assert_same_bits(ours, theirs)
    (code, _, errors), other = ended(two(command, flags))  # now it is not empty
    assert (code, other[0]) == (2, 2)
    for text in (errors, other[2]):
        assert "exists and is not empty; add --resume" in text.splitlines()[-1]


def exchanged(monkeypatch, counts, trees):
    """What each process of a share gathers, without processes."""
    messages = []
    monkeypatch.setattr(
        shares, "exchange", lambda values: messages.append(values) or values
    )
    told = [Share(counts, p) for p in range(len(counts))]
    for share, tree in zip(told, trees, strict=True):
        with contextlib.suppress(ValueError):  # it gets its own alone
            share.gather(tree)
    assert len({message.shape for message in messages}) == 1
    monkeypatch.setattr(shares, "exchange", lambda values: np.stack(messages))
    return [s.gather(t) for s, t in zip(told, trees, strict=True)]


def test_rows_of_uneven_shares_are_gathered_in_order(monkeypatch):
    # What fills up taken for rows; a dtype that travels as another.
    whole = {
        "x": np.arange(10, dtype=np.float32).reshape(5, 2),
        "n": np.arange(5),
        "half": np.asarray(jnp.arange(5, dtype=jnp.bfloat16)),
        "none": np.zeros((5, 0), np.float32),
    }
    for counts in ((3, 2), (2, 2, 1), (5, 0)):
        trees = [
            {k: v[Share(counts, p).rows] for k, v in whole.items()}
            for p in range(len(counts))
        ]
        for found in exchanged(monkeypatch, counts, trees):
            assert_same_bits(found, whole)


def test_shares_are_whole_groups(monkeypatch):
    # Groups that are filled up in every process.
    monkeypatch.setattr(shares, "num_processes", lambda: 3)
    assert share_out(7, 1).counts == (3, 3, 1)
    assert share_out(7, 2).counts == (4, 3, 0)
    assert share_out(2, 8).counts == (2, 0, 0)


def test_processes_with_other_settings_are_refused(monkeypatch):
    # Two halves of different runs in one report.
    other = np.ones((1, 32), np.uint8)
    monkeypatch.setattr(
        hosts, "exchange", lambda values: np.concatenate([values[None], other])
    )
    with pytest.raises(ValueError, match="not started with the same settings"):
        hosts.check_alike("a")
    monkeypatch.setattr(hosts, "exchange", lambda values: np.stack([values, told[0]]))
    told = [np.frombuffer(hosts.hashlib.sha256(b"<f>").digest(), np.uint8)]
    hosts.check_alike("<f at 0x7f01>")  # a function, which lies somewhere


def test_a_directory_that_hosts_do_not_share_is_refused(monkeypatch, tmp_path):
    # Each host's rows in a directory of its own, and a checkpoint that is none.
    monkeypatch.setattr(hosts, "connected", lambda: True)
    monkeypatch.setattr(hosts, "part", lambda: None)
    monkeypatch.setattr(hosts, "process", lambda: 1)
    told = np.zeros(hosts._TEXT, np.uint8)
    name = np.frombuffer(b"+" + str(tmp_path / "mark").encode(), np.uint8)
    told[: len(name)] = name
    sees = np.frombuffer(hosts.hashlib.sha256(b"True").digest(), np.uint8)

    def exchange(values):
        return np.stack([told if len(values) == len(told) else sees, values])

    monkeypatch.setattr(hosts, "exchange", exchange)
    with pytest.raises(ValueError, match="on a file system that they share"):
        hosts.check_shared(tmp_path)
    (tmp_path / "mark").touch()
    hosts.check_shared(tmp_path)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--coordinator", "a:1"], "--num-processes and --process-id go together"),
        (["--process-id", "0"], "--num-processes and --process-id go together"),
        (
            ["--coordinator=a:1", "--num-processes=2", "--process-id=2"],
            "numbered from 0 to 1, so there is no process 2",
        ),
        (
            ["--coordinator=a", "--num-processes=2", "--process-id=1"],
            "a coordinator is HOST:PORT, not 'a'",
        ),
    ],
)
def test_processes_that_cannot_be_are_one_sentence(capsys, flags, message):
    assert main(["--smoke", *flags]) == 2
    assert_one_sentence(capsys, message)


def test_a_process_is_alone_unless_a_cluster_says_otherwise(monkeypatch):
    # Every command on a node of a cluster waiting for others.
    assert not hosts._in_cluster()
    monkeypatch.setenv("SLURM_STEP_NODELIST", "node[1-2]")
    monkeypatch.setenv("SLURM_NTASKS", "1")
    assert not hosts._in_cluster()
    sg.connect()
    assert not hosts.connected()
    monkeypatch.setenv("SLURM_NTASKS", "2")
    assert hosts._in_cluster()
