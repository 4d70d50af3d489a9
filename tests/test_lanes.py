"""One compiled program for the seeds of all devices, and the same bits on any."""

import re
from dataclasses import replace
from functools import partial

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import seqgraph_jax as sg
from seqgraph_jax.training import lanes, loop
from seqgraph_jax.training.arms import Arm
from seqgraph_jax.training.iterate import prepare
from seqgraph_jax.training.lanes import collect, lay_out, map_seeds, spread

from .test_graph_batches import DATA, SPLITS
from .test_graph_tasks import MODEL as GCN
from .test_graph_tasks import TASK as NODES
from .test_training import CONFIG, TASK, assert_same_bits

pytestmark = pytest.mark.usefixtures("optimized")

QUICK = replace(CONFIG, updates=6, eval_every=3, threshold=None)
NODE_CONFIG = replace(QUICK, batch_size=1)
GAT = sg.NodeClassifier("gat", 4, 3, num_heads=2, dropout_rate=0.3)
TEXT = sg.text.text_task(sg.text.Vocabulary("abcd"), "abdcab" * 40, 5)
NODE_SPLITS = [sg.random_split(NODES.labels, s, 4, 10, 10) for s in (1, 2)]
GRAPHS = sg.make_tasks(DATA, SPLITS[:2], 4)

#: Every kind of network, with a task for all seeds or one for each.
KINDS = {
    "lstm": Arm(sg.SequenceClassifier("lstm", 6, 4, 4), TASK, QUICK),
    "text": Arm(sg.CharLM("lstm", 6, 4, num_layers=2), TEXT, QUICK),
    "gcn": Arm(GCN, NODES, NODE_CONFIG),
    "gat": Arm(GAT, NODES, NODE_CONFIG),
    "a split for each seed": Arm(GCN, NODES.with_splits(NODE_SPLITS), NODE_CONFIG),
    "batches of graphs": Arm(
        sg.GraphClassifier("gin", 4, 2, num_layers=1),
        GRAPHS,
        replace(QUICK, batch_size=4),
    ),
}


def trained(arm, seeds, devices, width):
    """Metrics and states of a run on the first devices, by seed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jax, "local_devices", lambda: jax.devices()[:devices])
        task = arm.task
        if isinstance(task, list):  # each seed keeps its own
            task = [task[seed % len(task)] for seed in seeds]
        run = sg.train_seeds(arm.model, task, arm.config, seeds, width, tx=arm.tx)
    assert run.num_devices == min(devices, max(2, -(-len(seeds) // width)))
    return {
        seed: jax.tree.map(lambda leaf, s=s: leaf[s], (run.metrics, run.state))
        for s, seed in enumerate(seeds)
    }


# Of GCNs the one with a split for each seed.
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "gcn"])
def test_bits_of_a_seed_do_not_depend_on_devices_lanes_or_neighbours(kind):
    # A loop of one turn taken apart; a program partitioned in another way.
    seeds = [4, 5, 6, 7, 9]
    two = trained(KINDS[kind], seeds, 2, 1)
    alone = trained(KINDS[kind], [5], 1, 1)
    assert_same_bits(alone[5], two[5])
    if kind == "lstm":
        for devices, order in ((4, seeds), (2, [9, 5])):
            found = trained(KINDS[kind], order, devices, 1)
            for seed in order:
                assert_same_bits(found[seed], two[seed])


def test_bits_in_groups_of_two():
    # Of attention, whose patterns lie side by side in one matrix there.
    two = trained(KINDS["gat"], [4, 5, 6], 2, 2)
    for devices, company in ((2, [6]), (4, [9, 6, 1])):
        assert_same_bits(trained(KINDS["gat"], company, devices, 2)[6], two[6])


@pytest.mark.parametrize("kind", ["lstm", "gcn", "batches of graphs"])
def test_the_program_of_all_devices_sends_nothing(kind):
    arm = KINDS[kind]
    task = arm.task * 2 if isinstance(arm.task, list) else arm.task
    seeds = [0, 1, 2, 3][: len(task)] if isinstance(task, list) else [0, 1, 2, 3]
    program = prepare(arm._replace(task=task), seeds, 1).advance.func.as_text()
    assert "num_partitions=4" in program
    sends = "all-reduce|all-gather|all-to-all|collective-permute|reduce-scatter"
    assert not re.search(sends, program)


def test_all_devices_run_one_program():
    # A compilation for each device.
    layout = lay_out(4, 1)
    assert len(layout.devices) == 4
    traced = []

    def one(shared, key):
        traced.append(key)
        return shared + jax.random.normal(key)

    keys = jax.random.split(jax.random.key(0), 4)
    run = map_seeds(one, jnp.float32(1), spread(keys, layout), layout)
    assert len(traced) == 1
    outputs = run(spread(keys, layout))
    assert outputs.sharding.device_set == set(layout.devices)
    expected = 1 + jax.vmap(jax.random.normal)(keys)
    chex.assert_trees_all_close(collect(outputs, layout), np.asarray(expected))


def test_groups_are_shared_out_over_the_devices_in_order():
    layout = lay_out(5, 2, jax.devices()[:2])
    assert layout.counts == (2, 1)
    # The last group is filled up with the first seed, and so is the idle one.
    assert layout.rows.tolist() == [0, 1, 2, 3, 4, 0, 0, 0]
    rows = {"x": np.arange(5.0) + 10}
    np.testing.assert_array_equal(collect(spread(rows, layout), layout)["x"], rows["x"])


def test_a_single_group_is_stored_with_an_idle_one():
    layout = lay_out(2, 2)
    assert (layout.counts, layout.per_device) == ((1, 0), 4)
    assert layout.rows.tolist() == [0, 1, 0, 0, 0, 0, 0, 0]


def test_layouts_use_two_devices_or_as_many_as_there_are_groups():
    assert [len(lay_out(n, 2).devices) for n in (1, 2, 5, 8, 9)] == [2, 2, 3, 4, 4]


def test_an_impossible_width_raises():
    with pytest.raises(ValueError, match="seed_width must be 1 or more"):
        lanes.resolve_width(0, 3)


TWO_PARTS = sg.MeshShape(batch=2)
DROPPING = Arm(sg.CharLM("rnn", 3, 4, num_layers=2, dropout_rate=0.5), TEXT, QUICK)


def in_parts(arm, seeds, devices, mesh):
    """Metrics and last parameters of a run whose batches are parted, by seed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jax, "local_devices", lambda: jax.devices()[:devices])
        run = sg.train_seeds(arm.model, arm.task, arm.config, seeds, mesh=mesh)
    return run, {
        seed: jax.tree.map(lambda leaf, s=s: leaf[s], (run.metrics, run.state.params))
        for s, seed in enumerate(seeds)
    }


def test_a_parted_batch_is_the_same_batch():
    # A part that both devices take; gradients that are summed, not averaged.
    model = sg.CharLM("rnn", 3, 4, num_layers=2)
    arm = Arm(model, TEXT, replace(QUICK, batch_size=6))
    whole, one = in_parts(arm, [4, 5], 2, sg.MeshShape())
    halves, two = in_parts(arm, [4, 5], 2, TWO_PARTS)
    assert (whole.num_devices, halves.num_devices) == (2, 2)
    chex.assert_trees_all_close(two, one, rtol=1e-4, atol=1e-5)


def test_bits_of_two_parts_do_not_depend_on_devices_or_neighbours():
    # Dropout that is equal in both parts is found by the next test.
    _, two = in_parts(DROPPING, [4, 5], 2, TWO_PARTS)
    run, four = in_parts(DROPPING, [5, 6], 4, TWO_PARTS)
    assert run.num_devices == 4
    assert_same_bits(four[5], two[5])


def test_parts_of_a_batch_drop_units_of_their_own():
    # The key of dropout without the part's number: equal rows then stay equal.
    @jax.tree_util.register_static
    class EqualRows:
        metrics = TEXT.metrics
        divisible = one_batch = True

        def sample(self, key, batch_size):
            tokens = jnp.tile(jnp.arange(6) % 4, (batch_size, 1))
            return sg.text.windows.Batch(tokens[:, :-1], tokens[:, 1:])

    config = replace(QUICK, updates=3, batch_size=2, eval_size=2)
    model, task, key = DROPPING.model, EqualRows(), jax.random.key(1)
    init = partial(loop.init, model, task, config)
    state = jax.jit(init)(jax.random.key(0))

    def loss(num_parts):
        """The mean of parts of one row each; a named axis may be one of vmap."""
        parted = replace(config, batch_size=num_parts)

        def update(key):
            return loop.update(model, task, parted, key, state, None, "batch")[1]

        parts = jax.vmap(update, axis_name="batch", axis_size=num_parts, in_axes=None)
        return jax.jit(parts)(key)["loss"][0]

    assert loss(2) != loss(1)


@pytest.mark.parametrize(
    ("arm", "mesh", "message"),
    [
        (KINDS["gcn"], TWO_PARTS, "batches of NodeTask cannot be parted"),
        (KINDS["text"], sg.MeshShape(batch=3), "a batch of 8 cannot be parted equally"),
        (KINDS["text"], sg.MeshShape(3, 2), "seeds=3,batch=2 is not possible with 4"),
        (KINDS["text"], sg.MeshShape(batch=8), "batch=8 is not possible with 4 dev"),
        (KINDS["text"], sg.MeshShape(batch=0), "batch=0 is not possible"),
    ],
)
def test_a_mesh_that_is_not_possible_is_refused(arm, mesh, message):
    with pytest.raises(ValueError, match=message):
        sg.train_seeds(arm.model, arm.task, arm.config, [0], mesh=mesh)


def test_states_of_parted_batches_are_gone_on_with_in_as_many_parts(tmp_path):
    # A resumed run whose batches are whole again: other bits, and nobody told.
    arm = KINDS["text"]
    arguments = {"seeds": [4], "mesh": TWO_PARTS, "directory": tmp_path}
    run = sg.train_seeds(arm.model, arm.task, arm.config, **arguments)
    again = sg.train_seeds(arm.model, arm.task, arm.config, **arguments)
    assert_same_bits(again.state, run.state)
    arguments["mesh"] = sg.MeshShape()
    with pytest.raises(ValueError, match="batch_parts = 2, not None"):
        sg.train_seeds(arm.model, arm.task, arm.config, **arguments)
