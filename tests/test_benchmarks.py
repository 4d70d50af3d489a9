"""What benchmarks say of times, and that they run where no peer is installed."""

import json
import subprocess
import sys

import pytest

from benchmarks import __main__ as everything
from benchmarks import turns


def test_ratios_are_those_of_the_same_round(capsys):
    # A ratio of medians, which a machine that slows down between rounds spoils.
    found = turns.told({"peer": [2.0, 3.0, 40.0], "ours": [1.0, 10.0, 2.0]})
    assert found["peer"] == {"ms": 3000, "ratio": 2, "ratios": [0.3, 20]}
    assert found["ours"]["ratios"] == [1, 1]
    assert "divided by ours   2.00 (0.30 to 20.00)" in capsys.readouterr().out


def test_a_peer_that_is_not_installed_is_named_once(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "torch", None)
    for _ in range(2):
        assert turns.peer("torch_sums") is None
    assert capsys.readouterr().out == "torch is not installed: its arms are left out\n"
    turns.peer.cache_clear()


def test_all_are_drawn_in_one_picture(tmp_path, monkeypatch, capsys):
    # A table without a ratio, such as a limit; a benchmark that was not run.
    arm = {"ms": 12.0, "ratio": 2.0, "ratios": [1.0, 3.0]}
    ours = {"ms": 6.0, "ratio": 1.0, "ratios": [1.0, 1.0]}
    tables = {
        "one": {"peer": arm, "ours": ours, "limit": {"ms": 1.0}},
        "two": {"x": ours},
    }
    turns.write_tables(tmp_path / "text.json", tables)
    assert json.loads((tmp_path / "text.json").read_text())["machine"]["cores"] > 0
    ran = []

    def run(command, check):
        ran.append(command)
        return subprocess.CompletedProcess(command, int(command[2].endswith("large")))

    monkeypatch.setattr("subprocess.run", run)
    monkeypatch.setattr(sys, "argv", ["x", "--out", str(tmp_path), "--only", "text"])
    everything.main()
    assert [command[2] for command in ran] == ["benchmarks.text"]
    assert (tmp_path / "benchmarks.png").stat().st_size > 10_000
    assert "Picture:" in capsys.readouterr().out
    monkeypatch.setattr(
        sys, "argv", ["x", "--out", str(tmp_path), "--only", "large", "text"]
    )
    with pytest.raises(SystemExit, match="large did not come to an end"):
        everything.main()  # the others were run, and are drawn
    assert [command[2] for command in ran[1:]] == [
        "benchmarks.large",
        "benchmarks.text",
    ]
    assert "Picture:" in capsys.readouterr().out


def test_an_unknown_benchmark_is_refused(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["x", "--only", "weather"])
    with pytest.raises(SystemExit):
        everything.main()
    assert "invalid choice: 'weather'" in capsys.readouterr().err
