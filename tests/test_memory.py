"""What does not fit is refused before it runs, and what fits is not."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import seqgraph_jax as sg
from seqgraph_jax.training import memory
from seqgraph_jax.training.lanes import lay_out, map_seeds, spread

MIB = 2**20


class Device:
    """A device of which the memory is known."""

    def __init__(self, platform, **stats):
        self.platform, self.memory_stats = platform, lambda: stats


def test_what_is_given_away_is_not_counted_twice():
    shape = jax.ShapeDtypeStruct((256,), "float32")
    kept, given = (
        jax.jit(lambda x: x + 1, donate_argnums=d).lower(shape).compile()
        for d in ((), (0,))
    )
    assert (memory.needed(kept), memory.needed(given)) == (2048, 1024)


def test_an_accelerator_has_its_limit_less_what_is_in_use():
    assert memory.available(Device("gpu", bytes_limit=80, bytes_in_use=30)) == 50
    assert memory.capacity(Device("gpu", bytes_limit=80, bytes_in_use=30)) == 80
    assert memory.available(Device("gpu")) == memory.UNKNOWN


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """A machine of 8 MiB in which this process is in the group /a/b."""
    proc, groups = tmp_path / "proc", tmp_path / "groups"
    (proc / "self").mkdir(parents=True)
    (proc / "meminfo").write_text("MemTotal: 9216 kB\nMemAvailable:   8192 kB\n")
    (proc / "self/cgroup").write_text("3:cpu:/c\n4:memory:/d\n0::/a/b\n")
    for folder in ("a/b", "memory/d", "c"):
        (groups / folder).mkdir(parents=True)
    monkeypatch.setattr(memory, "_PROC", proc)
    monkeypatch.setattr(memory, "_GROUPS", groups)
    return groups


def limit(folder, most, used, pages, names):
    for name, value in zip(names, (most, used), strict=True):
        (folder / name).write_text(f"{value}\n")
    (folder / "memory.stat").write_text(f"anon 5\ninactive_file {pages}\n")


def test_a_cpu_has_what_is_free_in_the_machine_or_in_its_group(machine):
    cpu = Device("cpu")
    new, old = memory._LIMITS
    assert memory.available(cpu) == 8 * MIB
    assert memory.capacity(cpu) == 9 * MIB
    limit(machine / "a/b", "max", 3 * MIB, 0, new)
    limit(machine / "c", 0, 0, 0, new)  # of another process
    assert memory.available(cpu) == 8 * MIB
    limit(machine / "a", 6 * MIB, 3 * MIB, MIB, new)  # the group above
    assert memory.available(cpu) == 4 * MIB
    limit(machine / "memory/d", 3 * MIB, MIB, 0, old)
    assert memory.available(cpu) == 2 * MIB
    assert memory.capacity(cpu) == 3 * MIB


def test_a_machine_that_says_nothing_refuses_nothing(machine, monkeypatch):
    monkeypatch.setattr(memory, "_PROC", machine / "nowhere")
    assert memory.available(Device("cpu")) == memory.UNKNOWN
    assert memory.capacity(Device("cpu")) == memory.UNKNOWN


class Program:
    """A compiled program that needs 1 MiB."""

    def memory_analysis(self):
        empty = jax.jit(lambda: 0).lower().compile().memory_analysis()
        sizes = {k: 0 for k in dir(empty) if k.endswith("in_bytes")}
        return type("Sizes", (), sizes | {"temp_size_in_bytes": MIB})


@pytest.mark.parametrize(
    ("platform", "count", "there", "free", "fits"),
    [
        ("cpu", 1, 0, MIB, True),
        ("cpu", 2, 0, 2 * MIB, True),  # the cores share what is free
        ("cpu", 2, 0, 2 * MIB - 1, False),
        ("cpu", 2, MIB // 4, 3 * MIB // 2, True),  # some of it is there already
        ("gpu", 2, 0, MIB, True),  # each has its own
        ("gpu", 2, 0, MIB - 1, False),
    ],
)
def test_what_fits_is_let_through(monkeypatch, platform, count, there, free, fits):
    monkeypatch.setattr(memory, "available", lambda device: free)
    devices = [Device(platform)] * count
    if fits:
        memory.check_fits(Program(), devices, there)
        return
    with pytest.raises(ValueError, match="this needs 0"):
        memory.check_fits(Program(), devices, there)


def test_training_is_refused_before_it_starts(monkeypatch):
    monkeypatch.setattr(memory, "available", lambda device: MIB)
    model = sg.SequenceClassifier("rnn", features=8, num_symbols=4, num_classes=4)
    config = sg.TrainConfig(updates=2, eval_every=1, batch_size=8, eval_size=10**5)
    with pytest.raises(ValueError, match=r"there are 0\.00 GiB: take smaller"):
        sg.train_seeds(model, sg.tasks.RandomCombinations(size=4), config, [0])


def test_idle_devices_and_arrays_that_are_there_take_nothing(monkeypatch):
    # 1 MiB of shared data and a seed's result of 1 MiB: for one group and its idle one.
    shared, layout = jnp.zeros(MIB // 4), lay_out(1, 1)
    lanes = spread(np.zeros(1, np.float32), layout)

    def add(shared, lane):
        return shared + lane

    monkeypatch.setattr(memory, "available", lambda device: 5 * MIB // 2)
    map_seeds(add, shared, lanes, layout)
    monkeypatch.setattr(memory, "available", lambda device: 2 * MIB - 1)
    with pytest.raises(memory.TooLargeError):
        map_seeds(add, shared, lanes, layout)
