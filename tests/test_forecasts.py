"""Forecasts at the nodes of a graph: windows, what is known, errors, baselines."""

from dataclasses import replace

import jax
import numpy as np
import pytest

from seqgraph_jax.data import draw_signals, from_signal
from seqgraph_jax.tasks.errors import sum_errors
from seqgraph_jax.tasks.forecasts import (
    Linear,
    linear_forecast,
    persistence,
    season_ago,
    usual_value,
)
from seqgraph_jax.tasks.parts import PROTOCOLS, Protocol, part_signals, part_windows
from seqgraph_jax.tasks.signals import signal_task

SHORT = Protocol(0.5, 0.25, history=3, horizon=2)


def series(num_steps=24, missing=False, season=4):
    """Two nodes, the second of which hears the first; steps count in thousands."""
    signal = np.arange(num_steps)[:, None] * 10.0 + [[0.0, 1.0]]
    if missing:
        signal[5, 1] = signal[20, 0] = np.nan
    return from_signal(signal, [0], [1], season=season, season_name="day", start=1)


def test_windows_of_the_published_protocols():
    # Counts of Los-loop and chickenpox; a window over a border; targets off by one.
    tgcn = part_windows(2016, PROTOCOLS["tgcn"])
    assert [len(part) for part in tgcn] == [1437, 147, 389]
    assert tgcn.test[0] == 1612 + 11  # its first input is the first step of the part
    assert part_windows(2016, PROTOCOLS["dcrnn"]).test[-1] + 12 == 2015
    pygt = part_windows(521, PROTOCOLS["pygt"])
    assert pygt.test[0] + 1 == 4 + int(0.2 * 517)  # its inputs may lie before
    assert pygt.test[-1] + 1 == 520
    assert pygt.val[-1] + 1 == pygt.test[0]


def test_windows_and_targets_by_hand():
    parted = part_signals(series(missing=True), SHORT)
    task = signal_task(parted, season=True)
    batch = jax.tree.map(np.asarray, task.batch(np.array([6, 20])))
    signals, ahead = batch.inputs.signals, batch.inputs.ahead
    mean, sd = parted.mean[0], parted.sd[0]
    train = np.delete(np.arange(12.0) * 10, 5), np.arange(12.0) * 10
    values = np.concatenate([train[0] + 1, train[1]])
    np.testing.assert_allclose([mean, sd], [values.mean(), values.std()], rtol=1e-6)
    # Steps 4, 5, 6 and 18, 19, 20; the value before stands where one is missing.
    known = [[[40, 41], [50, 41], [60, 61]], [[180, 181], [190, 191], [190, 201]]]
    np.testing.assert_allclose(signals[..., 0] * sd + mean, known, rtol=1e-5)
    gone = [[[0, 0], [0, 1], [0, 0]], [[0, 0], [0, 0], [1, 0]]]
    np.testing.assert_array_equal(signals[..., 1], gone)
    # Step 7 is at the time of steps 3, 7 and 11 of the training part, 8 of 0, 4 and 8.
    np.testing.assert_allclose(ahead[0] * sd + mean, [[70, 40], [71, 41]], rtol=1e-5)
    profile = [[[40, 41], [50, 51], [60, 61]]]  # of step 5 without the missing one
    np.testing.assert_allclose(signals[:1, ..., 2] * sd + mean, profile, rtol=1e-5)
    angles = 2 * np.pi * (1 + np.array([4, 5, 6])) / 4
    np.testing.assert_allclose(signals[0, :, 0, 3], np.sin(angles), atol=1e-6)
    targets = batch.targets.values * sd + mean
    expected = [[[70, 71], [80, 81]], [[210, 211], [220, 221]]]
    np.testing.assert_allclose(targets, expected, rtol=1e-5)


@pytest.mark.parametrize("changed", ["val", "test"])
def test_what_comes_later_changes_nothing_before(changed):
    # A scaler, a mean of the season, a channel or a fit that has seen the test part;
    # values filled in from behind.
    data = draw_signals(6, 96)
    protocol = Protocol(0.5, 0.25, history=4, horizon=3)
    parted = part_signals(data, protocol)
    first = getattr(parted.origins, changed)[0] - 3  # the first step of the part
    signal = data.signal.copy()
    rng = np.random.default_rng(0)
    signal[first:] = rng.normal(99, 99, signal[first:].shape)
    signal[first::5] = np.nan
    other = part_signals(replace(data, signal=signal), protocol)
    same = parted.mean, parted.sd, parted.profile, parted.filled[:first]
    again = other.mean, other.sd, other.profile, other.filled[:first]
    jax.tree.map(np.testing.assert_array_equal, same, again)
    origins = np.arange(24, first)
    tasks = [signal_task(one, season=True) for one in (parted, other)]
    windows = [task.windows(origins) for task in tasks]
    jax.tree.map(np.testing.assert_array_equal, *windows)
    for model in (Linear((0, 1, 23), True, True), Linear((0, 3), per_node=True)):
        outputs = [linear_forecast(one, model, origins) for one in (parted, other)]
        np.testing.assert_array_equal(*outputs)
    last = origins[-1:] + 1  # a window may not see its own targets
    later = signal.copy()
    later[last[0] + 1 :] = 7.0
    late = signal_task(part_signals(replace(data, signal=later), protocol), season=True)
    np.testing.assert_array_equal(
        tasks[1].windows(last).signals, late.windows(last).signals
    )


def test_errors_are_sums_over_everything_that_is_known():
    # Means of means of batches, a missing value or an empty horizon counted as 0.
    rng = np.random.default_rng(0)
    truth, outputs = rng.normal(5, 2, (7, 3, 4)), rng.normal(5, 2, (2, 7, 3, 4))
    truth[0], truth[1:3, 1], truth[:, 2] = np.nan, np.nan, np.nan
    truth[3, 0, 0] = 0.0
    errors = sum_errors(outputs, truth)
    for k, values in enumerate(np.moveaxis(truth, 1, 0)):
        known = np.isfinite(values)
        e = np.abs(outputs[1, :, k] - values)[known]
        if k == 2:
            assert np.isnan(errors.at(3).mae).all()
            continue
        np.testing.assert_allclose(errors.at(k + 1).mae[1], e.mean())
        np.testing.assert_allclose(errors.at(k + 1).rmse[1], np.sqrt((e**2).mean()))
        shares = e[values[known] != 0] / np.abs(values[known & (values != 0)])
        np.testing.assert_allclose(errors.at(k + 1).mape[1], shares.mean())
    parts = [
        sum_errors(outputs[:, part], truth[part]) for part in (slice(2), slice(2, 7))
    ]
    joined = type(errors)(*(a + b for a, b in zip(*parts, strict=True)))
    np.testing.assert_allclose(joined.at().rmse, errors.at().rmse)
    by_node = sum_errors(outputs, truth, by_node=True)
    np.testing.assert_allclose(by_node.squared.sum(1), errors.squared)
    assert by_node.at().mae.shape == (2, 4)


def test_training_judges_by_the_same_errors():
    task = signal_task(part_signals(series(missing=True), SHORT))
    batch = task.batch(np.array([3, 4, 18]))
    outputs = np.random.default_rng(0).normal(size=batch.targets.values.shape)
    found = task.metrics(outputs, batch.targets)
    truth = task.in_units(np.asarray(batch.targets.values))
    errors = sum_errors(task.in_units(outputs), truth).at()
    np.testing.assert_allclose(found["mae"], errors.mae, rtol=1e-5)
    np.testing.assert_allclose(found["rmse"], errors.rmse, rtol=1e-5)
    with pytest.raises(ValueError, match=r"both are \[B, horizon, N\]"):
        task.metrics(outputs[..., None], batch.targets)


def test_baselines_by_hand():
    parted = part_signals(series(missing=True), SHORT)
    at = np.array([8, 20])
    np.testing.assert_allclose(
        persistence(parted, at), [[[80, 81]] * 2, [[190, 201]] * 2]
    )
    np.testing.assert_allclose(
        usual_value(parted, at), [[[50, 51], [60, 61]], [[50, 51], [60, 61]]]
    )
    np.testing.assert_allclose(
        season_ago(parted, at), [[[50, 41], [60, 61]], [[170, 171], [180, 181]]]
    )


@pytest.mark.parametrize("per_node", [False, True])
def test_the_linear_model_is_least_squares(per_node):
    # Another node's lags or targets, a horizon off by one, a missing target as 0.
    data = draw_signals(5, 90)
    signal = data.signal.copy()
    signal[30:34, 2] = np.nan
    parted = part_signals(replace(data, signal=signal), SHORT)
    model = Linear((0, 2), neighbours=True, usual=True, per_node=per_node)
    origins = parted.origins.test
    outputs = linear_forecast(parted, model, origins, penalty=0.0)
    filled = parted.filled[..., 0].astype(float)
    heard = filled @ data.mean_of_senders().toarray().T
    assert model.num_params(parted) == 6 * 2 * (5 if per_node else 1)
    for k in (1, 2):

        def rows(at, n, k=k):
            past = [filled[at, n], filled[at - 2, n], heard[at, n], heard[at - 2, n]]
            return np.stack([*past, parted.profile[at + k, n], np.ones(len(at))], 1)

        for n in range(5):
            nodes = [n] if per_node else range(5)
            x = np.concatenate([rows(parted.origins.train, m) for m in nodes])
            y = np.concatenate([signal[parted.origins.train + k, m, 0] for m in nodes])
            known = np.isfinite(y)
            weights = np.linalg.lstsq(x[known], y[known])[0]
            expected = rows(origins, n) @ weights
            np.testing.assert_allclose(outputs[:, k - 1, n], expected, rtol=1e-4)


def test_what_cannot_be_forecast_is_one_sentence():
    with pytest.raises(ValueError, match="the val part has 3 steps, and a window"):
        part_signals(series(12), SHORT)
    data = series()
    data.signal[22:] = np.nan  # test windows begin at 18 and 19
    with pytest.raises(ValueError, match="test part of signals has no value 2 steps"):
        part_signals(data, SHORT)
    with pytest.raises(ValueError, match="no season that its training part holds"):
        signal_task(part_signals(series(season=0), SHORT), season=True)
    parted = part_signals(series(), SHORT)
    with pytest.raises(ValueError, match="of 13 steps needs a longer training part"):
        linear_forecast(parted, Linear((0, 12)), parted.origins.test)
