"""``--sweep``: settings are chosen on seeds of their own, arm by arm.

Every arm gets the same trials: each point of the grid, with the same tuning seeds.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import seqgraph_jax as sg
from experiments.harness import choices
from experiments.harness.cli import TrainOptions
from experiments.harness.command import UsageError
from experiments.harness.directory import Directory, writing_to


class Trials(NamedTuple):
    """Settings to choose from: ``arms`` at every point of the grid."""

    grid: Mapping[str, tuple[Any, ...]]
    points: "tuple[sg.training.sweeps.Point, ...]"
    seeds: tuple[int, ...]  # to choose on
    arms: "Mapping[str, list[sg.Arm]]"
    parts: "sg.Parts | None"
    final: Callable[[Mapping[str, Any]], Any]  # of the seeds that are judged


def plan_trials(
    config: Any, options: TrainOptions, judged: tuple[int, ...], built: Any
) -> Trials | None:
    """What ``--sweep`` asks to try, if anything; ``built(seeds, values)`` is a study.

    Raises `UsageError` for settings that cannot be compared by what they reach.
    """
    if not options.sweep:
        if options.tune_seeds:
            raise UsageError("--tune-seeds needs --sweep, which chooses on them")
        return None
    grid = choices.grid_of(options.sweep, config)
    seeds = choices.choose_tune_seeds(options, judged, config.run.smoke)
    paths = {name: path for name, (path, _) in choices.settings_of(config).items()}
    try:
        points = sg.training.points_of(grid)
    except ValueError as error:
        raise UsageError(f"--sweep {error}") from error

    def at(point: Mapping[str, Any], seeds: tuple[int, ...]) -> Any:
        return built(seeds, {paths[name]: value for name, value in point.items()})

    first, *others = [at(point, seeds) for point in points]
    arms = {name: [arm] for name, arm in first.arms.items()}
    names = ", ".join(grid)
    for study in others:
        if study.arms.keys() != arms.keys() or study.parts != first.parts:
            raise UsageError(f"--sweep {names} changes what is compared")
        for name, arm in study.arms.items():
            if not sg.training.arms.same_tasks([arms[name][0].task, arm.task]):
                raise UsageError(
                    f"--sweep {names} changes the task: settings are chosen for one"
                )
            arms[name].append(arm._replace(task=arms[name][0].task))
    idle = [sg.training.sweeps.idle_settings(points, of) for of in arms.values()]
    for name in grid:
        if all(name in of for of in idle):
            raise UsageError(f"--sweep {name} changes nothing that is trained")
    return Trials(grid, points, seeds, arms, first.parts, lambda p: at(p, judged))


def try_settings(
    trials: Trials,
    place: Directory,
    options: TrainOptions,
    mesh: "sg.MeshShape",
    smoke: bool,
) -> "sg.reports.Tuned":
    """Train every arm at every point with the tuning seeds, saving on the way."""
    num_parts = len(trials.parts.values) if trials.parts else 1
    num_runs = len(trials.points) * len(trials.seeds) * num_parts
    width: Any = choices.read_width(options.seed_width)
    width = width or (num_runs if smoke else "auto")  # of what each program trains
    sweeps, rows = {}, []
    for name, arms in trials.arms.items():
        try:
            with writing_to(place):
                sweeps[name] = sg.training.train_points(
                    trials.points,
                    arms,
                    trials.seeds,
                    width,
                    parts=trials.parts,
                    mesh=mesh,
                    directory=place.path / "sweep" / name,
                    settings=place.settings,
                    checkpoint_every=options.checkpoint_every,
                    progress=True,
                    name=name,
                )
        except sg.checkpoints.CheckpointError as error:
            raise UsageError(str(error)) from error
        rows += sg.reports.sweeps.metric_rows(name, sweeps[name])
    with writing_to(place):
        if not sg.training.hosts.process():
            sg.reports.results.write_rows(place.path / "sweep.jsonl", rows)
    try:
        return sg.reports.tune(sweeps)
    except ValueError as error:
        raise UsageError(str(error)) from error


def at_points(study: Any, points: Mapping[str, Any], trials: Trials) -> Any:
    """The study with each arm at its point; of one that all share, if they do."""
    finals = {arm: trials.final(point) for arm, point in points.items()}
    first = next(iter(points))
    if all(point == points[first] for point in points.values()):
        return finals[first]
    return replace(study, arms={arm: found.arms[arm] for arm, found in finals.items()})


def with_tuning(report: Any, tuned: "sg.reports.Tuned") -> Any:
    """The report, with how its settings were chosen."""
    tuning = sg.reports.tuning
    return replace(
        report,
        verdicts=[*report.verdicts, *tuning.said_of_budgets(tuned)],
        notes=[*report.notes, *tuning.said_of_choice(tuned)],
        sections=[*report.sections, *tuning.sections(tuned)],
        extra={**report.extra, "sweep": sg.reports.sweeps.sweep_record(tuned)},
    )
