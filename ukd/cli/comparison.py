"""What `ukd reproduce` and `ukd plan` compare: tasks, methods, seeds, learning rates, students."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated

from ukd.cli.budget import Budget
from ukd.cli.options import choice, text
from ukd.cli.parse import ALL, counts, names, positives, words
from ukd.config.choices import EACH_TASK
from ukd.config.presets import HUB_PRESETS, TrainingConfig
from ukd.config.scenarios import DEFAULT_METHODS, SCENARIO_STUDENTS, SCENARIOS

if TYPE_CHECKING:
    from ukd.methods.method import Method
    from ukd.training.grid import LearningRateSearch


@dataclass(frozen=True)
class Comparison:
    """Tasks, methods and seeds of many runs."""

    tasks: Annotated[
        str | None,
        text(
            "--tasks",
            metavar="TASK,TASK",
            text="Or 'all': the synthetic five, or those of a preset on the hub.  "
            "[default: the preset's]",
        ),
    ] = None
    methods: Annotated[
        str | None,
        text(
            "--methods",
            metavar="METHOD,METHOD",
            text="With options as in universal-kd:attention_temperature=0.1, or 'all'; see `ukd "
            f"methods`.  [default: {', '.join(DEFAULT_METHODS)}, or the scenario's]",
        ),
    ] = None
    scenario: Annotated[
        str | None,
        choice(
            "--scenario",
            choices=SCENARIOS,
            text="Methods, and with the local presets students, of one of the paper's tables, or "
            "of our own.  [default: none]",
        ),
    ] = None
    seeds: Annotated[
        str | None,
        text("--seeds", metavar="N,N", text="Of the students.  [default: the preset's]"),
    ] = None
    learning_rates: Annotated[
        str | None,
        text(
            "--learning-rates",
            metavar="X,X",
            text="Peaks that every method tries with every seed; its best is used.  "
            "[default: --learning-rate alone]",
        ),
    ] = None
    search_task: Annotated[
        str | None,
        text(
            "--search-task",
            metavar="TASK",
            text="The task whose development part chooses the learning rate for all.  "
            f"[default: {EACH_TASK} for itself]",
        ),
    ] = None

    def chosen_tasks(self, config: TrainingConfig) -> tuple[str, ...]:
        """Names of tasks. Raises ValueError for one that is unknown."""
        from ukd.data.tasks import SPECS, SYNTHETIC

        if self.tasks is None:
            return config.tasks
        if self.tasks == ALL:
            return config.tasks if config.name in HUB_PRESETS else tuple(SYNTHETIC)
        return names("--tasks", self.tasks, SPECS)

    def chosen_methods(self) -> tuple[Method, ...]:
        """Methods, each once.

        Raises ValueError for an unknown name, option or value, and for two methods whose runs
        would stand in one row of a table.
        """
        from ukd.analysis.grouping import method_name
        from ukd.methods.registry import METHODS, parse_method
        from ukd.training.run_record import method_settings

        chosen = SCENARIOS[self.scenario] if self.scenario else DEFAULT_METHODS
        if self.methods == ALL:
            chosen = tuple(METHODS)
        elif self.methods is not None:
            chosen = words(self.methods)
        if not chosen:
            raise ValueError(
                f"--methods {self.methods!r} has no names; choose among: {', '.join(METHODS)}, "
                "or all"
            )
        by_name: dict[str, Method] = {}
        for wanted in chosen:
            method = parse_method(wanted)
            name = method_name(method.name, method_settings(method))
            if by_name.setdefault(name, method) != method:
                raise ValueError(
                    f"{wanted} and another method are both {name!r} in tables: drop one"
                )
        return tuple(by_name.values())

    def chosen_seeds(self, config: TrainingConfig) -> tuple[int, ...]:
        """Seeds of students. Raises ValueError for what is no whole number of at least 1."""
        return config.seeds if self.seeds is None else counts("--seeds", self.seeds)

    def search(self, budget: Budget) -> LearningRateSearch | None:
        """The learning rates to try, if any. Raises ValueError for fewer than two."""
        from ukd.data.tasks import SPECS
        from ukd.training.grid import LearningRateSearch

        task = None
        if self.search_task not in (None, EACH_TASK):
            task = names("--search-task", self.search_task, SPECS)[0]
        if self.learning_rates is None:
            if self.search_task is not None:
                raise ValueError(
                    f"--search-task {self.search_task} says where --learning-rates are tried: "
                    "give both"
                )
            return None
        rates = positives("--learning-rates", self.learning_rates)
        if len(rates) < 2 or budget.learning_rate is not None:
            raise ValueError(
                "--learning-rates takes two or more, and no --learning-rate beside it; got "
                f"{self.learning_rates!r}"
            )
        return LearningRateSearch(rates, task)

    def configs(self, budget: Budget) -> list[TrainingConfig]:
        """The budget with each of the scenario's students.

        With the one student of the preset where a student is given, or the preset is on the hub.
        """
        config = budget.config()
        given = budget.student or budget.student_depth or config.name in HUB_PRESETS
        changes = () if given else SCENARIO_STUDENTS.get(self.scenario, ())
        if not changes:
            return [config]
        configs = []
        for change in changes:
            student = dict(change)
            if budget.student_epochs:
                student["student_epochs"] = budget.student_epochs
            configs.append(replace(config, **student))
        return configs
