"""Seeds on devices: one compiled program for all devices, with steady bits.

Seeds lie along a leading axis S, in groups of ``width`` that are shared out over the
devices. Each device goes through its groups one after another, vectorised within a
group: width 1 is a loop, width S a full `vmap`. At one width a seed's result has the
same bits whichever seeds run beside it, in whichever lane, and on however many devices
there are, if there are two; at width 1 it has them on a single device as well:

- one program serves all devices (`map_seeds`), partitioned by hand with `shard_map`: a
  device sees its own groups alone, and there is nothing to send;
- the last group is filled up with copies of the first seed, so no group is smaller;
- how many groups a device works through is an argument, one number for each device, and
  at least two are stored on each: the compiler would take a loop of one turn apart,
  fuse its body in another way, and change the last bits.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Literal, NamedTuple

import jax
import numpy as np
from jax import lax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from seqgraph_jax.training.memory import check_fits, held

Width = int | Literal["auto"]
_SEEDS, _EVERYWHERE = PartitionSpec("seeds"), PartitionSpec()


def resolve_width(width: Width, num_seeds: int) -> int:
    """Seeds per group: a given number, or a plain rule for ``"auto"``.

    On an accelerator all seeds of a device under one `vmap`; on a CPU one after
    another, which the caches there prefer. Raises `ValueError` for a width below 1.

    >>> resolve_width(4, num_seeds=16)
    4
    """
    if width != "auto":
        if width < 1:
            raise ValueError(f"seed_width must be 1 or more, or auto, not {width}")
        return width
    if jax.default_backend() == "cpu":
        return 1
    return -(-num_seeds // jax.local_device_count())


class Layout(NamedTuple):
    """Where S seeds lie: ``counts`` are the groups of ``width`` seeds of each device.

    Every device stores equally many places, `rows` says what lies there.
    """

    num_seeds: int
    width: int
    devices: tuple[jax.Device, ...]
    counts: tuple[int, ...]

    @property
    def per_device(self) -> int:
        """Places on a device: those of two groups at least."""
        return self.width * max(2, *self.counts)

    @property
    def places(self) -> np.ndarray:
        """Where each seed lies, ``[S]``."""
        taken = [
            d * self.per_device + np.arange(count * self.width)
            for d, count in enumerate(self.counts)
        ]
        return np.concatenate(taken)[: self.num_seeds]

    @property
    def rows(self) -> np.ndarray:
        """Number of the seed at each place; where there is none, a copy of the first.

        >>> lay_out(3, width=2, devices=jax.devices()[:1]).rows.tolist()
        [0, 1, 2, 0]
        """
        rows = np.zeros(len(self.devices) * self.per_device, int)
        rows[self.places] = np.arange(self.num_seeds)
        return rows

    def sharding(self, spec: PartitionSpec) -> NamedSharding:
        return NamedSharding(Mesh(np.array(self.devices), ("seeds",)), spec)


def lay_out(
    num_seeds: int, width: int, devices: Sequence[jax.Device] | None = None
) -> Layout:
    """Share out the groups over the local devices, as many as can have one.

    Two at least, where there are two: a program for one device alone goes through other
    passes of the compiler, and may differ in the last bits.
    """
    num_groups = -(-num_seeds // width)
    chosen = tuple(devices or jax.local_devices())[: max(2, num_groups)]
    groups = np.array_split(np.arange(num_groups), len(chosen))
    return Layout(num_seeds, width, chosen, tuple(map(len, groups)))


def spread(tree: Any, layout: Layout) -> Any:
    """Rows of the seeds, ``[S, ...]``, in their places on the devices."""
    sharding, rows = layout.sharding(_SEEDS), layout.rows
    return jax.tree.map(lambda leaf: jax.device_put(leaf[rows], sharding), tree)


def spread_shapes(like: Any, layout: Layout) -> Any:
    """What `spread` gives for rows of the seeds of which the shapes are known."""
    sharding, num_places = layout.sharding(_SEEDS), len(layout.rows)
    return jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(
            (num_places, *leaf.shape[1:]), leaf.dtype, sharding=sharding
        ),
        like,
    )


def collect(tree: Any, layout: Layout) -> Any:
    """The way back of `spread`: rows of the seeds, ``[S, ...]``, on the host."""
    return jax.tree.map(lambda leaf: np.asarray(leaf)[layout.places], tree)


def _map_groups(
    function: Callable[[Any, Any], Any],
    width: int,
    counts: jax.Array,
    shared: Any,
    lanes: Any,
) -> Any:
    """``function(shared, seed)`` on one device, for its first ``counts[0]`` groups.

    `lax.map` with as many turns as an argument says; what it does not reach is empty.
    """
    groups = jax.tree.map(lambda leaf: leaf.reshape(-1, width, *leaf.shape[1:]), lanes)

    @jax.jit  # so that it is traced once
    def apply(group: Any) -> Any:
        if width > 1:
            return jax.vmap(partial(function, shared))(group)
        outputs = function(shared, jax.tree.map(lambda leaf: leaf[0], group))
        return jax.tree.map(lambda leaf: leaf[None], outputs)

    def body(i: jax.Array, outputs: Any) -> Any:
        new = apply(jax.tree.map(lambda leaf: leaf[i], groups))
        return jax.tree.map(lambda old, leaf: old.at[i].set(leaf), outputs, new)

    like = jax.eval_shape(apply, jax.tree.map(lambda leaf: leaf[0], groups))
    stored = len(jax.tree.leaves(groups)[0])
    empty = jax.tree.map(
        lambda leaf: lax.empty((stored, *leaf.shape), leaf.dtype), like
    )
    outputs = lax.fori_loop(0, counts[0], body, empty)
    return jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), outputs)


def map_seeds(
    function: Callable[[Any, Any], Any],
    shared: Any,
    lanes: Any,
    layout: Layout,
    donate: bool = False,
) -> Callable[[Any], Any]:
    """Compile ``function(shared, seed)`` once, for the lanes of all devices.

    ``lanes`` may be their shapes alone (`spread_shapes`). The result takes such lanes
    (`spread`) and runs all devices at once;
    it returns their outputs, in the same places, before they are computed. ``shared``
    is copied to every device. With ``donate`` the buffers of the lanes are reused for
    the outputs. Raises `ValueError` before anything runs if the memory is too small.
    """
    whole = jax.shard_map(
        partial(_map_groups, function, layout.width),
        mesh=layout.sharding(_SEEDS).mesh,
        in_specs=(_SEEDS, _EVERYWHERE, _SEEDS),
        out_specs=_SEEDS,
        check_vma=False,  # a scan may start with a constant carry
    )
    counts = jax.device_put(np.array(layout.counts, np.int32), layout.sharding(_SEEDS))
    shared = jax.device_put(shared, layout.sharding(_EVERYWHERE))
    jitted = jax.jit(whole, donate_argnums=(2,) if donate else ())
    compiled = jitted.lower(counts, shared, lanes).compile()
    busy = [d for d, n in zip(layout.devices, layout.counts, strict=True) if n]
    check_fits(compiled, busy, held((shared, lanes)))
    return partial(compiled, counts, shared)
