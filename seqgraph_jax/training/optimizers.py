"""The optimiser that a `TrainConfig` describes."""

from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType
from typing import Any

import jax
import optax

from seqgraph_jax.training.config import TrainConfig

#: Courses of the learning rate by name: of its first value and the updates it takes.
SCHEDULES: dict[str, Callable[[float, int], optax.Schedule]] = {
    "constant": lambda rate, updates: optax.constant_schedule(rate),
    "linear": lambda rate, updates: optax.linear_schedule(rate, 0.0, updates),
    "cosine": lambda rate, updates: optax.cosine_decay_schedule(rate, updates),
}

#: Optimisers by name; adamw takes the weight decay itself.
OPTIMIZERS: dict[str, Callable[..., optax.GradientTransformation]] = {
    "adam": optax.adam,
    "adamw": optax.adamw,
    "sgd": optax.sgd,
    "momentum": partial(optax.sgd, momentum=0.9),
    "rmsprop": optax.rmsprop,
}


#: Settings that may be arguments of the compiled program.
TRACED = ("learning_rate", "weight_decay", "max_norm")


def optimizer(
    config: TrainConfig, numbers: Mapping[str, Any] = MappingProxyType({})
) -> optax.GradientTransformation:
    """Clipping by global norm, weight decay, then the optimiser, Adam by default.

    ``numbers``, which may be traced, take the place of settings named in `TRACED`.

    The decay is that of an L2 penalty in the loss, so Adam scales it with the gradient
    (Kingma and Ba, 2015); of ``adamw`` it is not scaled (Loshchilov and Hutter, 2019).
    Its ``init`` raises `ValueError` if ``decay_only`` is no part of the network.
    """
    rate, decay, max_norm = (
        numbers.get(name, getattr(config, name)) for name in TRACED
    )
    if config.schedule != "constant" or config.warmup:
        course = SCHEDULES[config.schedule](rate, config.updates - config.warmup)
        rise = optax.linear_schedule(0.0, rate, max(config.warmup, 1))
        rate = optax.join_schedules([rise, course], [config.warmup])
    clip = optax.clip_by_global_norm(max_norm)
    decays = partial(_lies_in, config.decay_only)
    if config.optimizer == "adamw":
        return optax.chain(clip, optax.adamw(rate, weight_decay=decay, mask=decays))
    parts = [clip]
    if config.weight_decay or "weight_decay" in numbers:
        parts.append(optax.add_decayed_weights(decay, decays))
    return optax.chain(*parts, OPTIMIZERS[config.optimizer](rate))


def _lies_in(part: str, params: Any) -> Any:
    """Whether each parameter lies in a part of the network, named by its dotted path.

    Every one lies in the part without a name. Raises `ValueError` if none does.
    """
    found, structure = jax.tree_util.tree_flatten_with_path(params)
    paths = [
        jax.tree_util.keystr(path, simple=True, separator=".") for path, _ in found
    ]
    lies = [not part or f"{path}.".startswith(f"{part}.") for path in paths]
    if not any(lies):
        raise ValueError(
            f"decay_only {part!r} is no part of the network: its parameters are "
            f"{', '.join(paths)}"
        )
    return jax.tree.unflatten(structure, lies)
