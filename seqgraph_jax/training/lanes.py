"""Seeds on devices: one program for each device, run at once, with steady bits.

Seeds lie along a leading axis S, split over the devices. A device goes through its
seeds in groups of ``width``, vectorised within a group: width 1 is a loop, width S a
full `vmap`. At one width a seed's result has the same bits whichever seeds run beside
it, in whichever lane and on however many devices:

- the last group is filled up with copies of the first seed, so no group is smaller;
- the compiler does not learn how many groups there are (`_map_groups`);
- every device has a program of its own. One program partitioned over the devices goes
  through other passes of the compiler, and its results then differ in the last bits
  with the number of devices.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

Width = int | Literal["auto"]


def resolve_width(width: Width, num_seeds: int) -> int:
    """Seeds per group: a given number, or a plain rule for ``"auto"``.

    On an accelerator all seeds of a device under one `vmap`; on a CPU one after
    another, which the caches there prefer.

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


def seed_devices(num_seeds: int, width: int) -> list[jax.Device]:
    """Local devices, as many as can have a group of seeds."""
    return jax.local_devices()[: -(-num_seeds // width)]


def split_lanes(tree: Any, devices: Sequence[jax.Device], width: int) -> list[Any]:
    """Split ``[S, ...]`` over the devices, in groups of ``width``, in order.

    The last group is filled up with copies of the first row.
    """
    num_seeds = len(jax.tree.leaves(tree)[0])
    rows = np.arange(-(-num_seeds // width) * width)
    rows[num_seeds:] = 0
    groups = np.array_split(rows.reshape(-1, width), len(devices))
    return [
        jax.tree.map(
            lambda leaf, mine=mine, device=device: jax.device_put(
                leaf[mine.reshape(-1)], device
            ),
            tree,
        )
        for mine, device in zip(groups, devices, strict=True)
    ]


def join_lanes(lanes: Sequence[Any], num_seeds: int) -> Any:
    """Rows of the seeds, ``[S, ...]``, on the host; what fills groups is left out."""
    return jax.tree.map(
        lambda *parts: np.concatenate([np.asarray(part) for part in parts])[:num_seeds],
        *lanes,
    )


def _map_groups(
    function: Callable[[Any, Any], Any],
    width: int,
    num_groups: jax.Array,
    shared: Any,
    lanes: Any,
) -> Any:
    """``function(shared, seed)`` for ``lanes [num_groups * width, ...]``, in groups.

    `lax.map` for any number of groups that the compiler takes for many: it would take
    a loop of one apart, fuse its body in another way, and change the last bits. So the
    number is an argument, and a single group is stored with an idle one behind it.
    """
    groups = jax.tree.map(lambda leaf: leaf.reshape(-1, width, *leaf.shape[1:]), lanes)
    stored = len(jax.tree.leaves(groups)[0])
    if stored == 1:
        groups = jax.tree.map(lambda leaf: jnp.concatenate([leaf, leaf]), groups)

    def apply(group: Any) -> Any:
        if width > 1:
            return jax.vmap(partial(function, shared))(group)
        outputs = function(shared, jax.tree.map(lambda leaf: leaf[0], group))
        return jax.tree.map(lambda leaf: leaf[None], outputs)

    def body(i: jax.Array, outputs: Any) -> Any:
        new = apply(jax.tree.map(lambda leaf: leaf[i], groups))
        return jax.tree.map(lambda old, leaf: old.at[i].set(leaf), outputs, new)

    like = jax.eval_shape(lambda: jax.vmap(apply)(groups))
    empty = jax.tree.map(lambda leaf: lax.empty(leaf.shape, leaf.dtype), like)
    outputs = lax.fori_loop(0, num_groups, body, empty)
    return jax.tree.map(
        lambda leaf: leaf[:stored].reshape(-1, *leaf.shape[2:]), outputs
    )


def map_seeds(
    function: Callable[[Any, Any], Any],
    shared: Any,
    lanes: Sequence[Any],
    devices: Sequence[jax.Device],
    width: int,
    donate: bool = False,
) -> Callable[[Sequence[Any]], list[Any]]:
    """Compile ``function(shared, seed)`` for the lanes of every device.

    The result takes lanes like the given ones (`split_lanes`) and runs all devices at
    once; it returns their outputs, ``[lanes, ...]`` each, before they are computed.
    ``shared`` is copied to every device. With ``donate`` the buffers of the lanes are
    reused for the outputs.
    """

    on_device = partial(_map_groups, function, width)
    jitted = jax.jit(on_device, donate_argnums=(2,) if donate else ())
    counts = [len(jax.tree.leaves(lane)[0]) // width for lane in lanes]
    fixed = [
        (jax.device_put(np.int32(count), device), jax.device_put(shared, device))
        for count, device in zip(counts, devices, strict=True)
    ]
    lowered = [jitted.lower(*f, lane) for f, lane in zip(fixed, lanes, strict=True)]
    with ThreadPoolExecutor(len(devices)) as pool:
        programs = list(pool.map(lambda program: program.compile(), lowered))

    def run(lanes: Sequence[Any]) -> list[Any]:
        return [
            program(*f, lane)
            for program, f, lane in zip(programs, fixed, lanes, strict=True)
        ]

    return run
