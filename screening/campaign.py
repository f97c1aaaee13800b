"""A campaign: a question in YAML in, a store out. Kill it anywhere and run it again: nothing is lost or done twice."""

import contextlib
import signal
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from potentials.config import load_config
from potentials.errors import SorbusError
from screening.campaign_config import CampaignConfig, StageConfig
from screening.candidate import Snapshot
from screening.dispatch import run_all, run_stage
from screening.evaluators import Evaluator, find_evaluator, registry
from screening.executor import Task, TaskRunner
from screening.funnel import check_known, not_kept, unmet
from screening.progress import Progress
from screening.resume import open_run, set_aside, where_it_stands
from screening.store import PROPOSED, STORE_NAME, Store
from screening.tasks import PROPOSER_LOADER, task_seed
from screening.workers import START_LIMIT_S, LocalWorkers, cpu_count

if TYPE_CHECKING:
    from screening.ranking import Ranking


class Tracker(Protocol):
    """Where a campaign reports its stages, such as Weights & Biases."""

    def log(self, values: Mapping[str, Any], step: int) -> None:
        """Numbers of one stage; `step` counts stages from 0."""
        ...

    def table(self, name: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """What a stage measured, one row a candidate."""
        ...


class Campaign:
    """Propose, measure stage by stage, filter; every answer goes to `<folder>/store.sqlite` at once.

    Args:
        config: the question.
        folder: run folder; by default `config.output`, else `runs/<name>`.
        evaluators: registry lines beside the built-in ones.
        proposer_loader: `module:function` of `(name, settings) -> Proposer`.
        runner: where tasks run; by default `config.workers` supervised local processes. The campaign closes it.

    Raises:
        InputError: a stage names an evaluator that does not exist or lacks its package.
    """

    def __init__(
        self,
        config: CampaignConfig,
        folder: str | Path | None = None,
        *,
        evaluators: Iterable[Evaluator] = (),
        proposer_loader: str = PROPOSER_LOADER,
        runner: TaskRunner | None = None,
    ) -> None:
        self.config = config
        self.folder = Path(folder or config.output or Path("runs") / config.name)
        self._loader = proposer_loader
        self._runner = runner
        table = registry(evaluators)
        self._evaluators = {stage.name: find_evaluator(stage.evaluator, table) for stage in config.stages}

    @classmethod
    def from_config(
        cls, path: str | Path, overrides: Sequence[str] = (), *, folder: str | Path | None = None, fresh: bool = False
    ) -> "Campaign":
        """A campaign from a YAML file and `key.sub=value` overrides; `fresh` sets an earlier run's folder aside.

        Raises:
            InputError: the file or an override cannot be used, or (`fresh`) the earlier campaign is running.
        """
        campaign = cls(load_config(CampaignConfig, path, overrides), folder)
        if fresh:
            set_aside(campaign.folder)
        return campaign

    def run(self, progress: bool = True, tracker: Tracker | None = None) -> Snapshot:
        """Run what is left to run; returns everything the store then holds.

        Raises:
            InputError: the folder holds other work, is in use, full or read-only; an evaluator's or proposer's
                settings are wrong (checked before anything runs); a filter names a property nobody measured.
            KeyboardInterrupt: Ctrl-C or SIGTERM; finished work is kept.
        """
        display = Progress(progress)
        store, is_new = open_run(self.config, self.folder)
        with store, _terminated_like_interrupted():
            if not is_new:
                display.say(where_it_stands(store, self.config))
            try:
                self._run(store, display, tracker)
            except KeyboardInterrupt:
                display.stop()
                display.say(f"stopped: finished work is kept in {self.folder}: run the same command to go on")
                raise
            except SorbusError:
                display.stop()
                if is_new and not store.proposed():
                    store.discard()  # refused before it began: leave no empty campaign behind
                raise
            return store.snapshot()

    def snapshot(self) -> Snapshot:
        """What the store holds now, also while the campaign runs elsewhere."""
        with Store.open(self.folder / STORE_NAME) as store:
            return store.snapshot()

    def ranking(self) -> "Ranking":
        """The survivors, ordered by the objectives of the configuration."""
        from screening.ranking import rank

        return rank(self.snapshot())

    def _run(self, store: Store, display: Progress, tracker: Tracker | None) -> None:
        closed = store.closed_stages()
        missing = [stage for stage in self.config.stages if stage.name not in closed]
        if PROPOSED in closed and not missing:
            return
        runner = self._runner or LocalWorkers(self.config.workers or cpu_count(), self.folder)
        try:
            self._check(store, runner, missing, display, proposer=PROPOSED not in closed)
            if PROPOSED not in closed:
                self._propose(store, runner, display)
                self._report(store, PROPOSED, 0, display, tracker)
            for position, stage in enumerate(self.config.stages, start=1):
                if stage.name not in closed:
                    self._measure(store, runner, stage, display)
                    self._filter(store, stage)
                    self._report(store, stage.name, position, display, tracker)
        finally:
            runner.close()

    def _check(
        self, store: Store, runner: TaskRunner, stages: Sequence[StageConfig], display: Progress, proposer: bool
    ) -> None:
        """Load every proposer and evaluator still needed and check its settings, before anything is computed."""
        tasks = [
            Task(stage.name, (stage.name,), {"kind": "check_evaluator", **self._call(stage)}, START_LIMIT_S)
            for stage in stages
        ]
        if proposer:
            tasks.insert(0, Task(PROPOSED, (), {"kind": "check_proposer", **self._proposer_call()}, START_LIMIT_S))
        display.begin("checking", len(tasks), 0, 0)
        answers = run_all(
            runner, tasks, self.config.max_attempts, lambda done, running: display.update(done, 0, running)
        )
        display.stop()
        resolved = {name: answer["settings"] for name, answer in answers.items() if name != PROPOSED}
        before = store.meta("resolved_settings", {})
        for name, settings in resolved.items():
            if store.evaluated(name) and before.get(name, settings) != settings:
                display.say(f"warning: the defaults of stage {name} have changed since it began: its numbers will mix")
                store.log("defaults changed", name)
        store.set_meta("resolved_settings", {**before, **resolved})

    def _propose(self, store: Store, runner: TaskRunner, display: Progress) -> None:
        """Make what proposals are missing; then the second of two identical ones leaves."""
        config = self.config.proposer
        done = store.proposed()
        lost = store.counts().get("unbuilt", 0)
        display.begin(PROPOSED, config.count, len(done), lost)

        def make_task(subjects: tuple[str, ...]) -> Task:
            span = {"start": int(subjects[0]), "stop": int(subjects[-1]) + 1}
            payload = {"kind": "propose", **self._proposer_call(), "seed": self.config.seed, **span}
            return Task(PROPOSED, subjects, payload, config.deadline_s * len(subjects))

        def commit(task: Task, answer: Mapping[str, Any]) -> None:
            nonlocal lost
            for proposal in answer["proposals"]:
                store.commit_proposal(proposal)
                done.add(proposal["index"])
                lost += proposal["id"] is None

        def give_up(subject: str, reason: str, seconds: float) -> None:
            nothing: dict[str, Any] = {"id": None, "provenance": {}, "failure": reason, "wall_seconds": seconds}
            commit(make_task((subject,)), {"proposals": [{"index": int(subject), **nothing}]})

        run_stage(
            store,
            runner,
            PROPOSED,
            _runs([index for index in range(config.count) if index not in done], config.batch),
            make_task,
            commit,
            give_up,
            self.config.max_attempts,
            lambda running: display.update(len(done), lost, running),
        )
        first: dict[str, int] = {}
        with store.transaction():
            for index, identity in store.survivors():
                if first.setdefault(identity, index) != index:
                    store.lose(index, "rejected", PROPOSED, f"identical to proposal {first[identity]}")
            store.close_stage(PROPOSED)

    def _measure(self, store: Store, runner: TaskRunner, stage: StageConfig, display: Progress) -> None:
        """Evaluate every survivor that the stage has not seen."""
        done = store.evaluated(stage.name)
        index_of = {identity: index for index, identity in store.survivors()}
        atoms = store.site_counts()
        # the largest first: a long task begun last would keep all but one worker waiting
        waiting = sorted((identity for identity in index_of if identity not in done), key=lambda i: -atoms[i])
        lost = len(done - index_of.keys())
        display.begin(stage.name, len(done) + len(waiting), len(done), lost)
        if self._evaluators[stage.name].batch:
            if waiting:
                self._measure_together(store, runner, stage, list(index_of.values()), display)
            return

        def make_task(subjects: tuple[str, ...]) -> Task:
            index = index_of[subjects[0]]
            payload = {
                "kind": "evaluate",
                **self._call(stage),
                "subject": subjects[0],
                "seed": task_seed(self.config.seed, index, stage.name),
                "candidate": store.candidate_values(index),
            }
            return Task(stage.name, subjects, payload, stage.deadline_s)

        def commit(task: Task, answer: Mapping[str, Any]) -> None:
            nonlocal lost
            store.commit_evaluation(task.subjects[0], stage.name, answer, answer["wall_seconds"])
            done.add(task.subjects[0])
            lost += answer["rejected"] is not None

        def give_up(subject: str, reason: str, seconds: float) -> None:
            nonlocal lost
            store.commit_failure(subject, stage.name, reason, seconds)
            done.add(subject)
            lost += 1

        run_stage(
            store,
            runner,
            stage.name,
            [(identity,) for identity in waiting],
            make_task,
            commit,
            give_up,
            self.config.max_attempts,
            lambda running: display.update(len(done), lost, running),
        )

    def _measure_together(
        self, store: Store, runner: TaskRunner, stage: StageConfig, indices: Sequence[int], display: Progress
    ) -> None:
        """One task for all candidates, in a worker like any other, so that a hang ends at a deadline."""
        candidates = [store.candidate_values(index) for index in indices]
        seed = task_seed(self.config.seed, 0, stage.name)
        payload = {"kind": "evaluate_batch", **self._call(stage), "seed": seed, "candidates": candidates}
        task = Task(stage.name, (stage.name,), payload, stage.deadline_s * len(candidates))
        answers = run_all(runner, [task], self.config.max_attempts, lambda done, running: display.update(0, 0, running))
        answer = answers[stage.name]
        lost = 0
        with store.transaction():
            for identity, found in answer["evaluations"].items():
                store.commit_evaluation(identity, stage.name, found, answer["wall_seconds"] / len(candidates))
                lost += found["rejected"] is not None
        display.update(len(candidates), lost, 0)

    def _filter(self, store: Store, stage: StageConfig) -> None:
        """Apply `require` and `keep` to those the stage has measured, and close it, in one commit."""
        with store.transaction():
            measured = [(index, store.properties(identity)) for index, identity in store.survivors()]
            if measured:
                names = [*stage.require, *([stage.keep.by] if stage.keep else [])]
                check_known(names, sorted({name for _, properties in measured for name in properties}), stage.name)
            passed = []
            for index, properties in measured:
                reason = unmet(stage.require, properties)
                if reason is None:
                    passed.append((index, properties))
                else:
                    store.lose(index, "rejected", stage.name, reason)
            if stage.keep is not None:
                dropped = not_kept(passed, stage.keep.n, stage.keep.by, stage.keep.order, stage.name)
                for index, reason in dropped.items():
                    store.lose(index, "not selected", stage.name, reason)
            store.close_stage(stage.name)

    def _report(self, store: Store, stage: str, position: int, display: Progress, tracker: Tracker | None) -> None:
        counts = store.counts()
        left = counts.get("active", 0)
        display.end(f"{left} go on")
        if tracker is not None:
            tracker.log({f"campaign/{state}": count for state, count in counts.items()}, step=position)
            rows = [
                {"index": index, "id": identity}
                | {item.name: item.value for item in store.properties(identity).values()}
                for index, identity in store.survivors()
            ]
            tracker.table(stage, rows)

    def _call(self, stage: StageConfig) -> dict[str, Any]:
        entry = self._evaluators[stage.name]
        return {
            "stage": stage.name,
            "function": entry.function,
            "settings_class": entry.settings,
            "settings": stage.settings,
        }

    def _proposer_call(self) -> dict[str, Any]:
        return {
            "stage": PROPOSED,
            "loader": self._loader,
            "proposer": self.config.proposer.name,
            "settings": self.config.proposer.settings,
        }


def _runs(indices: Sequence[int], length: int) -> Iterator[tuple[str, ...]]:
    """Consecutive stretches of sorted `indices`, none longer than `length`."""
    stretch: list[int] = []
    for index in indices:
        if stretch and (index != stretch[-1] + 1 or len(stretch) == length):
            yield tuple(map(str, stretch))
            stretch = []
        stretch.append(index)
    if stretch:
        yield tuple(map(str, stretch))


@contextlib.contextmanager
def _terminated_like_interrupted() -> Iterator[None]:
    """Let SIGTERM (a scheduler's, a service manager's) stop the campaign as cleanly as Ctrl-C does."""
    if threading.current_thread() is not threading.main_thread():  # only the main thread may set handlers
        yield
        return

    def interrupt(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
