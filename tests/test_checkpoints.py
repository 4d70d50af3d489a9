"""Checkpoints: round trip, damage, another model, a full disk."""

import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import chex
import numpy as np
import pytest

from seqgraph_jax.training import checkpoints
from seqgraph_jax.training.checkpoints import CheckpointError


class State(NamedTuple):
    step: np.ndarray
    params: dict


def tree(offset=0.0):
    return {
        "state": State(
            np.array(3, np.int32),
            {"kernel": np.arange(6.0, dtype=np.float32).reshape(2, 3) + offset},
        ),
        "metrics": {"loss": np.array([[np.nan, -np.inf, 1.0]])},
    }


@pytest.mark.smoke
def test_what_is_saved_comes_back_typed(tmp_path):
    checkpoints.save(tmp_path, 10, tree(), {"hidden": 3, "seeds": [0, 1]})
    loaded = checkpoints.load(tmp_path)
    state = loaded.restore("state", tree()["state"])
    assert isinstance(state, State)
    chex.assert_trees_all_equal(state, tree()["state"])
    chex.assert_trees_all_equal_dtypes(state, tree()["state"])
    np.testing.assert_array_equal(
        loaded.under("metrics")["loss"], tree()["metrics"]["loss"]
    )
    assert (loaded.step, loaded.config) == (10, {"hidden": 3, "seeds": [0, 1]})


def test_the_newest_are_kept_and_any_of_them_can_be_loaded(tmp_path):
    for step in (10, 20, 100):
        checkpoints.save(tmp_path, step, tree(step), {}, keep=2)
    assert checkpoints.steps(tmp_path) == [20, 100]
    assert checkpoints.load(tmp_path).step == 100
    assert checkpoints.load(tmp_path, 20).arrays["state.params.kernel"][0, 0] == 20
    with pytest.raises(CheckpointError, match=r"no checkpoint of step 10 .*20, 100"):
        checkpoints.load(tmp_path, 10)


def test_saving_a_step_again_leaves_it_alone(tmp_path):
    checkpoints.save(tmp_path, 10, tree(0), {})
    checkpoints.save(tmp_path, 10, tree(5), {})
    assert checkpoints.load(tmp_path).arrays["state.params.kernel"][0, 0] == 0


@pytest.mark.skipif(os.name != "posix", reason="names that other systems lack")
@pytest.mark.parametrize("name", ["sweep[3,5]", "x*", "old\\new", "caf\udce9", "a b:c"])
def test_any_name_of_a_directory_will_do(tmp_path, name):
    # A name that is read as a pattern, which nothing or something else fits.
    checkpoints.save(tmp_path / "x_other" / "arm", 10, tree(1), {})
    directory = tmp_path / name / "arm"
    for step in (10, 20):
        checkpoints.save(directory, step, tree(step), {"step": step})
    assert checkpoints.load(directory).config == {"step": 20}
    kernel = checkpoints.load(directory, 10).arrays["state.params.kernel"]
    np.testing.assert_array_equal(kernel, tree(10)["state"].params["kernel"])
    assert sorted(path.name for path in directory.iterdir()) == ["10", "20"]


def test_only_plain_numbers_are_steps(tmp_path):
    checkpoints.save(tmp_path, 10, tree(), {})
    for name in ("³", "٣", "007", "-1", "notes"):
        (tmp_path / name).mkdir()
    assert checkpoints.steps(tmp_path) == [10]


def test_what_was_saved_last_stays(tmp_path):
    # An earlier step that is deleted as soon as it is written.
    for step in (20, 30):
        checkpoints.save(tmp_path, step, tree(), {})
    assert checkpoints.save(tmp_path, 10, tree(), {}).is_dir()
    assert checkpoints.steps(tmp_path) == [10, 20, 30]
    with pytest.raises(ValueError, match="keep must be 1 or more, not 0"):
        checkpoints.save(tmp_path, 40, tree(), {}, keep=0)


@pytest.mark.skipif(os.name != "posix", reason="needs locks")
def test_a_directory_is_locked_as_long_as_it_is_used(tmp_path):
    # Two processes of which each deletes what the other one is writing.
    directory = tmp_path / "new" / "run"
    with checkpoints.locked(directory):
        with (
            pytest.raises(CheckpointError, match="another process trains in"),
            checkpoints.locked(directory),
        ):
            pass
        with checkpoints.locked(tmp_path):
            pass
    with checkpoints.locked(directory):
        assert list(directory.iterdir()) == []


def test_an_empty_directory_has_no_checkpoint(tmp_path):
    with pytest.raises(CheckpointError, match=r"holds no checkpoint \(none\)"):
        checkpoints.load(tmp_path / "nothing")


def damage(path: Path, how: str) -> None:
    content = path.read_bytes()
    if how == "remove":
        path.unlink()
    elif how == "truncate":
        path.write_bytes(content[: len(content) // 2])
    else:
        middle = len(content) // 2
        flipped = bytes([content[middle] ^ 0xFF])
        path.write_bytes(content[:middle] + flipped + content[middle + 1 :])


# Orbax leaves a coroutine behind when it fails.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("how", ["flip", "truncate", "remove"])
def test_damage_to_any_file_is_noticed_or_harmless(tmp_path, how):
    # Orbax alone returns wrong numbers for some flipped bytes: hence the SHA-256.
    checkpoints.save(tmp_path, 10, tree(), {"hidden": 3})
    sound = checkpoints.load(tmp_path)
    messages = []
    for path in sorted((tmp_path / "10").rglob("*")):
        if not path.is_file() or not path.stat().st_size:
            continue
        content = path.read_bytes()
        damage(path, how)
        try:
            loaded = checkpoints.load(tmp_path)
        except CheckpointError as error:
            messages.append(str(error))
        else:
            chex.assert_trees_all_equal(loaded.arrays, sound.arrays)
        path.write_bytes(content)
    assert len(messages) >= 3
    for message in messages:
        assert "damaged" in message
        assert "\n" not in message


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"kernel": np.zeros((2, 4), np.float32)}, r"kernel is float32\[2, 3\] .* 4\]"),
        ({"kernel": np.zeros((2, 3), np.int32)}, r"kernel is float32.*int32"),
        ({"other": np.zeros(1)}, r"params.other is none there"),
        ({}, r"params.kernel is float32\[2, 3\] there and none here"),
    ],
)
def test_a_checkpoint_of_another_model_is_refused(tmp_path, params, message):
    checkpoints.save(tmp_path, 10, tree(), {})
    like = State(np.array(0, np.int32), params)
    with pytest.raises(CheckpointError, match=f"another model: .*{message}"):
        checkpoints.load(tmp_path).restore("state", like)


FULL_DISK = """
import resource, sys
import numpy as np
from seqgraph_jax import checkpoints
tree = {"x": np.random.default_rng(0).normal(size=(300, 300))}
checkpoints.save(sys.argv[1], 1, tree, {})
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
try:
    checkpoints.save(sys.argv[1], 2, tree, {})
except OSError as error:
    print(error)
"""


@pytest.mark.skipif(os.name != "posix", reason="needs limits on file sizes")
def test_a_disk_that_takes_no_more_leaves_the_older_checkpoint(tmp_path):
    # A limit on the size of files fails writes as a full disk does.
    answer = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(tmp_path)], capture_output=True, text=True
    )
    assert "2 cannot be written" in answer.stdout
    assert len(answer.stdout.splitlines()) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["1"]
    assert checkpoints.load(tmp_path).step == 1
