"""The command of an experiment: seeds, directory, training, report."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, is_dataclass
from typing import Any

import seqgraph_jax as sg
from experiments.harness import cli
from experiments.harness import command as commands
from experiments.harness.choices import choose_layout, choose_seeds
from experiments.harness.cli import RunOptions, TrainOptions
from experiments.harness.command import UsageError
from experiments.harness.directory import (
    Directory,
    keeping,
    open_directory,
    publish,
    saved_settings,
    writing_to,
)
from experiments.harness.study import Report, Study, Trained
from experiments.harness.tuning import at_points, plan_trials, try_settings, with_tuning
from experiments.harness.vary import (
    CROSSED,
    Vary,
    read_vary,
    varied,
    with_variance,
    with_varied,
)
from seqgraph_jax.training.config import TrainConfig


def experiment(
    name: str,
    default: Any,
    build: Callable[[Any, tuple[int, ...]], Study],
    *,
    doc: str | None,
    seeds: Callable[[Any], Sequence[int]],
    smoke: Mapping[str, Any],
    preset: Callable[[Any], Any] | None = None,
    choices: Sequence[str] = (),
) -> Callable[[Sequence[str] | None], int]:
    """The command of an experiment: ``main(argv)``, which returns an exit code.

    ``default`` is its configuration, a frozen dataclass with a `RunOptions` as ``run``
    and, if it trains, a `TrainOptions`. ``preset`` gives the default for the flags
    named in ``choices``, ``smoke`` the values that ``--smoke`` changes in it. ``seeds``
    are those of a configuration. ``build`` may raise `ValueError`: the message is
    printed as one sentence.
    """
    module = f"experiments.{name}"
    question = (doc or "").partition("\n")[0]

    def choose(first: Any) -> Any:
        chosen = preset(first) if preset else default
        return cli.with_values(chosen, smoke) if first.smoke else chosen

    def main(argv: Sequence[str]) -> None:
        prog = f"python -m {module}"
        first = (*choices, "smoke")
        config = cli.parse(default, argv, prog, doc or "", choose, first)
        options = cli.nested(config, TrainOptions)
        processes = (options.coordinator, options.num_processes, options.process_id)
        commands.set_up(config.run.compilation_cache, *processes)
        usual = seeds(config)
        vary = read_vary(options.vary)
        usual = usual[:CROSSED] if vary.cross else usual
        usual = usual[:2] if config.run.smoke else usual
        chosen = choose_seeds(config.run, usual)

        def built(seeds: tuple[int, ...], values: Mapping[str, Any]) -> Study:
            try:
                changed = cli.with_values(config, values)
                cli.check_ranges(changed, flags=True)
                return varied(build, changed, seeds, vary)
            except ValueError as error:
                raise UsageError(str(error)) from error

        study = built(chosen, {})
        chosen = study.seeds or chosen
        if vary.cross and (options.sweep or len(chosen) < 2):
            raise UsageError("--vary A*B takes two seeds or more, and no --sweep")
        trials = plan_trials(config, options, chosen, built)
        run: RunOptions = config.run
        saved = saved_settings(name, run.out, options.resume)
        choice = choose_layout(options, study, chosen, run.smoke, saved)
        settings = _settings(config, study, chosen, choice.way)
        if not vary.everything:
            settings["vary"] = sorted(options.vary)
        if trials:
            settings |= {"sweep": trials.grid, "tune_seeds": trials.seeds}
        sg.training.hosts.check_alike(
            f"{settings} {options.sweep} {options.resume} {options.checkpoint_every}"
        )
        with open_directory(name, config.run.out, options.resume, settings) as place:
            with writing_to(place):
                if not sg.training.hosts.process():
                    study.start(place.path)
            setup_s = time.perf_counter() - cli.START
            points: Mapping[str, Any] = {}
            tuned: sg.reports.Tuned | None = None
            if trials:
                with keeping(place):
                    mesh = choice.way.mesh
                    tuned = try_settings(trials, place, options, mesh, run.smoke)
                    points = {k: tuned.points[tuned.chosen(k)] for k in study.arms}
                    study = at_points(study, points, trials)
            every = options.checkpoint_every
            runs = train(study, chosen, choice, place, every, points)
            alone = not sg.training.hosts.process()
            sg.training.hosts.part()
            if not alone:
                return
            with keeping(place):
                shown = runs
                if vary.cross:
                    shown = {name: run.diagonal() for name, run in runs.items()}
                trained = Trained(chosen, shown, place.path, config.run.smoke)
                report = _judged(study, trained, runs, vary, tuned)
                record = sg.reports.results.results_record(
                    name,
                    place.settings,
                    chosen,
                    report.arms,
                    report.comparisons,
                    _timing(setup_s, runs),
                )
                record["argv"] = list(argv)
                command = commands.command_line(module, argv)
                publish(place, study.title, question, command, report, record)

    def told(argv: Sequence[str]) -> None:
        try:
            main(argv)
        except UsageError:
            raise
        except ValueError as error:
            if isinstance(error, sg.training.hosts.Refused):
                raise UsageError(str(error)) from error
            raise

    return commands.command(module, told)


def _judged(
    study: Study,
    trained: Trained,
    runs: "Mapping[str, sg.Run]",
    vary: Vary,
    tuned: "sg.reports.Tuned | None",
) -> Report:
    """The study's report, with what was varied, crossed and tuned; ``runs`` are all."""
    report = with_varied(study.report(trained), vary, trained.seeds)
    if vary.cross:
        report = with_variance(report, runs, vary)
    return with_tuning(report, tuned) if tuned else report


def _timing(setup_s: float, runs: "Mapping[str, sg.Run]") -> dict[str, float]:
    """Seconds of this process, and those of training that were saved before."""
    return {
        "setup_s": setup_s,
        "compile_s": sum(run.compile_s for run in runs.values()),
        "train_s": sum(run.train_s for run in runs.values()),
        "total_s": time.perf_counter() - cli.START,
    }


def _settings(
    config: Any, study: Study, seeds: tuple[int, ...], way: "sg.training.Way"
) -> dict[str, Any]:
    """What config.json holds: the flags, what the study adds, seeds and their width."""
    flags: dict[str, Any] = {}
    for name, value in vars(config).items():
        if isinstance(value, RunOptions):
            flags["smoke"] = value.smoke
        elif is_dataclass(value):
            flags |= asdict(value) if isinstance(value, TrainConfig) else {}
        else:
            flags[name] = value
    if study.arms and cli.nested(config, TrainConfig) not in vars(config).values():
        flags["training"] = {k: asdict(arm.config) for k, arm in study.arms.items()}
    layout = {"seed_width": way.width} if study.arms else {}
    if way.mesh.batch > 1:
        layout["batch_parts"] = way.mesh.batch
    return {**flags, **study.settings, "seeds": seeds, **layout}


def train(
    study: Study,
    seeds: tuple[int, ...],
    choice: "sg.training.Choice",
    place: Directory,
    checkpoint_every: float,
    points: Mapping[str, Mapping[str, Any]],
) -> "dict[str, sg.Run]":
    """Train every arm for all seeds, saving on the way, and return the finished runs.

    ``choice`` is how they are laid out, with their programs if these were compiled;
    ``points`` are settings of arms that take the place of the configuration's. Raises
    `Interrupted` after a SIGINT or SIGTERM, with the state saved, and `UsageError` if a
    checkpoint cannot be used or the disk cannot be written.
    """
    runs: dict[str, sg.Run] = {}
    if not study.arms:
        return runs
    metrics = place.path / "metrics.jsonl"
    updates = {name: arm.config.updates for name, arm in study.arms.items()}
    look: dict[str, Any] = {"status": study.status} if study.status else {}
    with (
        writing_to(place),
        sg.training.show_progress(updates, True, line=study.line, **look) as show,
    ):
        first = not sg.training.hosts.process()
        if first:
            sg.reports.results.write_metrics(metrics, {})
        for (name, arm), program in zip(
            study.arms.items(), choice.programs, strict=True
        ):
            where = place.arm(name)
            settings = {**place.settings, **points.get(name, {})}
            try:
                prepared, _ = sg.prepare_saved(
                    arm,
                    seeds,
                    choice.way.width,
                    directory=where,
                    settings=settings,
                    parts=study.parts,
                    mesh=choice.way.mesh,
                    program=None if points else program,
                )
            except sg.checkpoints.CheckpointError as error:
                raise UsageError(str(error)) from error
            if prepared.run.metrics and first:
                sg.reports.results.append_metrics(metrics, name, prepared.run, since=0)
            for run in sg.iterate_saved(
                prepared, where, settings, checkpoint_every, study.keep_steps
            ):
                show(name, run)
                if run is not prepared.run and first:
                    sg.reports.results.append_metrics(metrics, name, run)
            runs[name] = run.on_host()
    return runs
