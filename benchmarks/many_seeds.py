"""Training an LSTM classifier for many seeds: this package against PyTorch and Flax.

    pip install torch==2.13.0 && python -m benchmarks.many_seeds

One update is a batch drawn, forward, backward, clipping and Adam, for each of 4 seeds:
here in one program over all cores, in Flax as `vmap` over `nn.RNN(OptimizedLSTMCell)`,
in PyTorch one seed after another with all threads. The three take turns within one
process; what is printed are medians over rounds, and of the ratios of each round.
"""

import statistics
import time

import flax.linen as nn
import jax
import optax

jax.config.update("jax_num_cpu_devices", 2)

import seqgraph_jax as sg  # noqa: E402
from seqgraph_jax import training  # noqa: E402
from seqgraph_jax.lanes import map_seeds, seed_devices, split_lanes  # noqa: E402

SEEDS, UPDATES, ROUNDS = 4, 10, 7
TASK = sg.tasks.BaumSweet(6)


def ours(features: int, batch_size: int):
    model = sg.SequenceClassifier("lstm", features, 3, 2, features // 2)
    config = sg.TrainConfig(batch_size=batch_size, eval_every=UPDATES)
    devices = seed_devices(SEEDS, width=1)

    def updates(_, lane):
        key, state = lane
        step = lambda state, _: training.update(model, TASK, config, key, state)  # noqa: E731
        return key, jax.lax.scan(step, state, length=UPDATES)[0]

    keys = split_lanes(jax.random.split(jax.random.key(0), SEEDS), devices, 1)
    init = lambda _, key: training.init(model, TASK, config, key)  # noqa: E731
    states = map_seeds(init, None, keys, devices, 1)(keys)
    lanes = list(zip(keys, states, strict=True))
    program = map_seeds(updates, None, lanes, devices, 1, donate=True)

    def run():
        nonlocal lanes
        lanes = jax.block_until_ready(program(lanes))

    return run


class FlaxClassifier(nn.Module):
    features: int

    @nn.compact
    def __call__(self, tokens):
        embedded = nn.Embed(3, self.features // 2)(tokens)
        outputs = nn.RNN(nn.OptimizedLSTMCell(self.features))(embedded)
        return nn.Dense(2)(outputs[:, -1])


def flax(features: int, batch_size: int):
    model = FlaxClassifier(features)
    tx = optax.chain(optax.clip_by_global_norm(10.0), optax.adam(2e-3))

    def init(key):
        params = model.init(key, TASK.sample(key, 2).inputs)
        return key, params, tx.init(params)

    def update(carry, _):
        key, params, opt_state = carry
        key, data_key = jax.random.split(key)
        batch = TASK.sample(data_key, batch_size)

        def loss(params):
            return TASK.metrics(model.apply(params, batch.inputs), batch.targets)[
                "loss"
            ]

        updates, opt_state = tx.update(jax.grad(loss)(params), opt_state, params)
        return (key, optax.apply_updates(params, updates), opt_state), None

    carry = jax.jit(jax.vmap(init))(jax.random.split(jax.random.key(0), SEEDS))
    scan = lambda carry: jax.lax.scan(update, carry, length=UPDATES)[0]  # noqa: E731
    program = jax.jit(jax.vmap(scan), donate_argnums=0)

    def run():
        nonlocal carry
        carry = jax.block_until_ready(program(carry))

    return run


def pytorch(features: int, batch_size: int):
    import torch

    class Classifier(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding = torch.nn.Embedding(3, features // 2)
            self.lstm = torch.nn.LSTM(features // 2, features, batch_first=True)
            self.head = torch.nn.Linear(features, 2)

        def forward(self, tokens):
            return self.head(self.lstm(self.embedding(tokens))[0][:, -1])

    torch.set_num_threads(2)
    models = [Classifier() for _ in range(SEEDS)]
    optimizers = [torch.optim.Adam(model.parameters(), 2e-3) for model in models]
    batch = jax.device_get(TASK.sample(jax.random.key(0), batch_size))  # drawn once
    tokens = torch.tensor(batch.inputs).long()
    targets = torch.tensor(batch.targets).long()

    def run():
        for model, optimizer in zip(models, optimizers, strict=True):
            for _ in range(UPDATES):
                optimizer.zero_grad()
                torch.nn.functional.cross_entropy(model(tokens), targets).backward()
                torch.nn.utils.clip_grad_norm_(model.parameters(), 10.0)
                optimizer.step()

    return run


def main() -> None:
    print(f"LSTM, T = {TASK.length}, {SEEDS} seeds; milliseconds per seed and update")
    for features, batch_size in ((32, 128), (64, 128), (256, 256)):
        programs = {
            make.__name__: make(features, batch_size) for make in (ours, flax, pytorch)
        }
        times: dict[str, list[float]] = {name: [] for name in programs}
        for _ in range(ROUNDS + 1):
            for name, run in programs.items():
                start = time.perf_counter()
                run()
                times[name].append((time.perf_counter() - start) / SEEDS / UPDATES)
        text = f"H = {features:3}, B = {batch_size}: "
        for name, values in times.items():
            text += f" {name} {1e3 * statistics.median(values[1:]):7.2f}"
            if name != "ours":
                pairs = zip(values[1:], times["ours"][1:], strict=True)
                ratio = statistics.median(value / mine for value, mine in pairs)
                text += f" ({ratio:.2f} times ours)"
        print(text, flush=True)


if __name__ == "__main__":
    main()
