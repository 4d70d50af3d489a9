"""The experiment on prescriptions: what a run writes, and nothing of a patient."""

import json
import re

import pytest

from experiments import prescriptions
from seqgraph_jax.data.mimic import table
from seqgraph_jax.data.synthetic_records import draw_records, write_records

from .commands import SMOKE, smoke_run
from .sentences import assert_one_sentence

#: Programs are compiled once.
pytestmark = pytest.mark.xdist_group("prescriptions")
FILES = {"config.json", "metrics.jsonl", "results.json", "report.html", "state"}
PICTURES = ("precision_recall", "calibration", "patients", "relations")
FILES |= {f"{name}.{kind}" for name in PICTURES for kind in ("png", "svg")}


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    """Tables whose numbers of patients and stays stand nowhere by chance."""
    folder = tmp_path_factory.mktemp("tables")
    write_records(draw_records(20, num_items=3), folder)
    for path in folder.glob("*.csv"):
        text = re.sub(r"^(\d{5,6})\b", r"77\g<1>31", path.read_text(), flags=re.M)
        if path.stem == "ADMISSIONS":
            text = re.sub(r"(?<=,)(\d{6})\b", r"77\g<1>31", text)
        path.write_text(text)
    return folder


@pytest.fixture(scope="module")
def finished(records):
    return smoke_run("prescriptions", "--data", str(records), "--num-seeds", "1")


def test_a_smoke_run_writes_and_prints_everything(finished):
    out, printed = finished
    assert {path.name for path in out.iterdir()} == FILES
    results = json.loads((out / "results.json").read_text())
    networks = ["recurrent", "joined"]
    rates = ["copy", "frequency", "rates", "rates by day", "rates by day and past"]
    assert list(results["arms"]) == rates + networks
    sizes = [results["arms"][name]["num_params"] for name in networks]
    assert abs(sizes[0] / sizes[1] - 1) < 0.2
    found = results["arms"]["joined"]["metrics"]
    assert {"starts_ap", "stops_ap", "recall_patients", "nats", "jaccard"} <= set(found)
    assert {pair["unit"] for pair in results["comparisons"]} == {"patient"}
    html = (out / "report.html").read_text()
    for words in (
        "orders, not what was given. No clinical claim is made",
        "starts of drugs that no training patient had",
        "PRESCRIPTIONS: rows",
        "it is not trained again",
        "bootstrap, 50 draws",
    ):
        assert words in html, words
    assert "after Liu et al. (2020)" in printed
    lines = (out / "metrics.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    assert {row["fold"] for row in rows} == {0, 1}


def test_nothing_of_a_patient_is_written(finished, records):
    # A number, a date, a name of a drug, or a patient's row, in any file or picture.
    out, printed = finished
    secrets = set()
    for name in ("ADMISSIONS", "PATIENTS", "PRESCRIPTIONS", "LABEVENTS"):
        for row in table(records, name):
            for column, value in row.items():
                if column.endswith(("time", "date", "dob")):
                    secrets.add(value[:10])
                if column in ("subject_id", "hadm_id", "drug"):
                    secrets.add(value)
    secrets -= {""}
    assert len(secrets) > 60
    files = [path for path in out.rglob("*") if path.is_file()]
    assert len(files) > 12
    whole = b"\0".join([*(path.read_bytes() for path in files), printed.encode()])
    for secret in secrets:
        assert secret.encode() not in whole, secret
    patients = {row["subject_id"] for row in table(records, "ADMISSIONS")}

    def lengths(value):
        if isinstance(value, dict):
            value = list(value.values())
        if isinstance(value, list):
            yield len(value)
            for item in value:
                yield from lengths(item)

    results = json.loads((out / "results.json").read_text())
    metrics = [arm["metrics"] for arm in results["arms"].values()]
    per_seed = [len(m["per_seed"]) for of in metrics for m in of.values()]
    assert set(per_seed) == {1}
    assert len(patients) not in set(lengths(results["arms"])) | set(
        lengths(results["comparisons"])
    )


def run(*argv):
    return prescriptions.main([str(word) for word in argv])


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (("--arms", "graph", "graph"), "--arms takes one or more different networks"),
        (("--data", "nowhere"), "nowhere has no table ADMISSIONS.csv"),
        (("--stays", "3"), "patients are too few for 5 folds"),
        (("--folds", "1"), "--folds must be 2 or more, not 1"),
        (("--codes", "atc"), "Expected one of ('name', 'ndc', 'gsn')"),
    ],
)
def test_bad_input_ends_with_one_sentence(argv, message, tmp_path, capsys):
    words = SMOKE if "--folds" in argv else (*SMOKE, "--folds", "5")
    assert run(*argv, *words, "--out", tmp_path / "run") == 2
    assert_one_sentence(capsys, message)
    assert not (tmp_path / "run").exists()


def test_the_demo_has_its_sentence():
    for words in (
        "have died",
        "dates are moved",
        "orders",
        "No clinical claim",
        "all of",
    ):
        assert words in prescriptions.NOTES["demo"]
