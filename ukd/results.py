"""From run records to tables: mean, sample standard deviation, n, and paired differences to vanilla KD."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from statistics import mean, stdev

from scipy import stats

from ukd.bootstrap import interval
from ukd.data import EMBEDDED as EMBEDDED_TASKS
from ukd.data import SPECS
from ukd.finetune import FINE_TUNING, best_rate, short_name
from ukd.grouping import apart, decided, label, like, metrics_of, ordered, selected, setting, students, whole
from ukd.methods import METHODS
from ukd.metrics import headline
from ukd.teacher import DRAWN, SHIPPED, drawn_for

BASELINE = "kd"


@dataclass(frozen=True)
class Cell:
    """Scores of one method on one task over seeds, in percent."""

    by_seed: dict[int, float]

    def __str__(self) -> str:
        values = list(self.by_seed.values())
        if len(values) < 2:
            return f"{values[0]:.1f} (n=1)" if values else "-"
        return f"{mean(values):.1f} ± {stdev(values):.1f} (n={len(values)})"


@dataclass(frozen=True)
class Difference:
    """Paired difference to the baseline over seeds: mean, standard error, n, and what n could have shown.

    `detectable` is the true difference that a two-sided t test at 5% would have found with a power of 80%, were the
    standard error as estimated. All in percentage points; nan for n = 1.
    """

    mean: float
    error: float
    n: int
    detectable: float

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """Ends of the t interval over seeds."""
        half = float(stats.t.ppf((1 + level) / 2, self.n - 1)) * self.error if self.n > 1 else float("nan")
        return self.mean - half, self.mean + half

    def __str__(self) -> str:
        if self.n < 2:
            return f"{self.mean:+.1f} (n={self.n}, no error known)"
        return f"{self.mean:+.1f} ± {self.error:.1f} (n={self.n}; could have shown {self.detectable:.1f})"


def cells(records: Iterable[dict], split: str = "validation") -> dict[tuple[str, str], Cell]:
    """(method label, task) -> Cell of the scores on a split; of several records for one seed the newest counts."""
    found: dict[tuple[str, str], dict[int, float]] = {}
    for record in sorted(records, key=lambda record: record["made"]):
        found.setdefault((label(record), record["task"]), {})[record["seed"]] = headline(record["scores"][split])
    return {key: Cell(dict(sorted(values.items()))) for key, values in found.items()}


def difference(ours: Cell, baseline: Cell) -> Difference | None:
    """Paired over the seeds both have; None without any."""
    seeds = sorted(ours.by_seed.keys() & baseline.by_seed.keys())
    return spread([ours.by_seed[seed] - baseline.by_seed[seed] for seed in seeds]) if seeds else None


def spread(differences: list[float]) -> Difference:
    """Mean, standard error and detectable difference of paired differences."""
    n = len(differences)
    if n < 2:
        return Difference(differences[0], float("nan"), n, float("nan"))
    error = stdev(differences) / n**0.5
    return Difference(mean(differences), error, n, float(error * (stats.t.ppf(0.975, n - 1) + stats.t.ppf(0.8, n - 1))))


def score_table(records: list[dict]) -> str:
    """Method rows, task columns, average; each cell mean ± sample standard deviation (n)."""
    found = cells(records)
    methods, tasks = ordered({m for m, _ in found}, METHODS), ordered({t for _, t in found}, SPECS)
    teacher = {record["task"]: headline(record["teacher"]["scores"]["validation"]) for record in records}
    searched = any(record["settings"].get("searched") for record in records)
    average = f"{mean(teacher[task] for task in tasks if whole(task)):.1f}"
    rows = [["teacher", *(f"{teacher[task]:.1f}" for task in tasks), average, *([""] * searched)]]
    for method in methods:
        here = [found.get((method, task)) for task in tasks]
        counted = [cell for cell, task in zip(here, tasks, strict=True) if whole(task)]  # a further split is no further task
        average = f"{mean(mean(cell.by_seed.values()) for cell in counted):.1f}" if all(counted) else "-"
        chosen = {r["task"]: f"{r['settings']['rate']:g}" for r in records if label(r) == method}
        rates = [*chosen.values()] if len(set(chosen.values())) == 1 else [chosen.get(task, "-") for task in tasks if whole(task)]
        said = rates[0] if len(set(rates)) == 1 else ", ".join(rates)
        rows.append([method, *(str(cell) if cell else "-" for cell in here), average, *([said] * searched)])
    metrics = [f"{task} ({metrics_of(task, records)})" for task in tasks]
    return markdown(["validation, %", *metrics, "average", *(["rate chosen"] * searched)], rows)


def difference_table(records: list[dict]) -> str:
    """Each method's paired difference to vanilla KD per task, and over all tasks and seeds together."""
    found = cells(records)
    methods, tasks = ordered({m for m, _ in found} - {BASELINE}, METHODS), ordered({t for _, t in found}, SPECS)
    rows = []
    for method in methods:
        pairs = [(found.get((method, task)), found.get((BASELINE, task))) for task in tasks]
        each = [difference(*pair) if all(pair) else None for pair in pairs]
        rows.append([method, *(str(d) if d else "-" for d in each), str(over_tasks(found, method, tasks) or "-")])
    return markdown([f"minus {BASELINE}, points", *tasks, "all tasks"], rows)


CONTRASTS = (  # what is asked, and the two methods that differ by it, alone where nothing else is said
    ("does the intermediate term help?", "universal-kd", "kd-two-stage"),
    ("does attending, rather than hearing all layers alike?", "universal-kd", "uniform"),
    ("attending, or fixed pairs read backwards?", "universal-kd", "reverse"),
    ("does the order of the layers matter in the hidden space?", "pkd-skip", "hidden-reverse"),
    ("... or hearing all alike there?", "pkd-skip", "hidden-uniform"),
    ("output space or hidden, fixed pairs, one stage?", "mhkd", "pkd-skip"),
    ("output space or hidden, as published (other stages, other map)?", "universal-kd", "pkd-skip"),
    ("attention or fixed pairs, one stage?", "universal-kd (stages=one)", "mhkd"),
    ("two stages or one?", "universal-kd", "universal-kd (stages=one)"),
    ("... in the hidden space?", "pkd-skip (stages=two)", "pkd-skip"),
    ("... without an intermediate term?", "kd-two-stage", "kd"),
    ("logits mixed, or losses?", "universal-kd", "universal-kd-losses"),
    ("does the teacher's last layer among the keys help?", "universal-kd (keys=all)", "universal-kd"),
    ("does a gradient through the attention?", "universal-kd (attention_grad=True)", "universal-kd"),
    ("does Universal-KD add to PKD?", "pkd+universal-kd", "pkd-skip (stages=two)"),
)


def contrasts(records: list[dict]) -> list[tuple[str, str, dict[str, Difference]]]:
    """What is asked, "one minus other", and by task the differences, paired by seed; of records of one setting, whatever they hold."""
    found, rows = cells(records), []
    for asked, one, other in CONTRASTS:
        tasks = ordered({task for name, task in found if name == one and (other, task) in found and whole(task)}, SPECS)
        each = {task: difference(found[one, task], found[other, task]) for task in tasks}
        rows.append((asked, f"{one} minus {other}", {task: said for task, said in each.items() if said}))
    return [row for row in rows if row[2]]


def contrast_table(records: list[dict]) -> str:
    """Differences between methods that differ by one thing, with t intervals over seeds; last their mean over all tasks, where both were
    run on all."""
    rows, found = contrasts(records), cells(records)
    tasks, shown = ordered({task for _, _, each in rows for task in each}, SPECS), []
    for asked, what, each in rows:
        one, other = what.split(" minus ")
        whole_row = [*(each.get(task) for task in tasks), *([over_tasks(found, one, tasks, other)] if len(tasks) > 1 else [])]
        shown.append([asked, what, *(with_interval(said) if said else "-" for said in whole_row)])
    columns = [*tasks, *(["all of them"] if len(tasks) > 1 else [])]
    return markdown(["what is asked", "what stands against what", *(f"{name}, 95% over seeds" for name in columns)], shown)


def with_interval(found: Difference) -> str:
    """A mean difference with its t interval over seeds and n."""
    low, high = found.interval()
    return f"{found.mean:+.1f} ({low:+.1f} to {high:+.1f}, n={found.n})" if found.n > 1 else f"{found.mean:+.1f} (n=1)"


def interval_table(records: list[dict]) -> str:
    """95% intervals of the differences: Student's t over seeds and a bootstrap over examples together (see `ukd.bootstrap`)."""
    tasks = [task for task in ordered({r["task"] for r in records}, SPECS) if task in EMBEDDED_TASKS]
    methods = ordered({label(record) for record in records} - {BASELINE}, METHODS)
    of = lambda name, task: [r for r in records if label(r) == name and r["task"] == task]  # noqa: E731
    rows = []
    for name in methods:
        pairs = [(of(name, task), of(BASELINE, task)) for task in tasks]
        several = [len({r["seed"] for r in ours} & {r["seed"] for r in base}) > 1 for ours, base in pairs]
        ends = [interval(*pair, task) if some else None for pair, some, task in zip(pairs, several, tasks, strict=True)]
        rows.append([name, *(f"{low:+.1f} to {high:+.1f}" if pair else "-" for pair in ends for low, high in [pair or (0, 0)])])
    return markdown([f"minus {BASELINE}, 95% over seeds and examples", *tasks], rows)


def over_tasks(found: dict[tuple[str, str], Cell], method: str, tasks: list[str], baseline: str = BASELINE) -> Difference | None:
    """The mean difference over tasks, paired by seed: one value a seed, so that tasks are not mistaken for repeats. None unless both
    have all tasks: averages over different tasks are no comparison."""
    counted = [task for task in tasks if whole(task)]
    if not all((name, task) in found for name in (method, baseline) for task in counted):
        return None
    both = [(found[method, task].by_seed, found[baseline, task].by_seed) for task in counted]
    seeds = set.intersection(*(ours.keys() & base.keys() for ours, base in both)) if both else set()
    return spread([mean(ours[seed] - base[seed] for ours, base in both) for seed in sorted(seeds)]) if seeds else None


def beside(new: list[dict], committed: list[dict]) -> str:
    """Freshly made means beside the committed ones of the same setting, with the difference; another precision is named. "" if there are
    none."""
    parts, new = [], decided(new)
    for name in sorted({setting(record) for record in new}):
        mine = [record for record in new if setting(record) == name]
        theirs = [r for each in sorted({label(r) for r in mine}) for r in like(_of(each, mine), _of(each, committed))]
        if not theirs:  # by method: of a search each may have another rate
            continue
        fresh, kept, rows = cells(mine), cells(theirs), []
        for method, task in sorted(fresh, key=lambda key: (ordered({t for _, t in fresh}, SPECS).index(key[1]), key[0])):
            here, there = fresh[method, task], kept.get((method, task))
            gap = f"{mean(here.by_seed.values()) - mean(there.by_seed.values()):+.1f}" if there else "-"
            rows.append([task, method, str(here), str(there or "-"), gap])
        precision = ", ".join(sorted({record["settings"]["precision"] for record in theirs}))
        heading = f"student: {students(mine[0]['settings'])}; committed records in {precision}"
        parts.append(f"{heading}\n\n{markdown(['task', 'method', 'this run', 'committed', 'difference'], rows)}")
    return "\n\n".join(parts)


def _of(name: str, records: list[dict]) -> list[dict]:
    return [record for record in records if label(record) == name]


def tables(records: list[dict]) -> str:
    """Both tables for every setting among the records, each under a heading that says how its runs were made."""
    tuned = [r for r in apart(records) if r["method"] == FINE_TUNING]
    records = apart(decided([r for r in records if r["method"] != FINE_TUNING]))
    parts = [_fine_tuning_table(mine, name) for name, mine in by_budget(tuned).items()]
    for name in sorted({setting(record) for record in records}):
        chosen = [record for record in records if setting(record) == name]
        title = f"### Student: {students(chosen[0]['settings'])}; {chosen[0]['settings']['precision']}"
        parts += [title, scores_alone(chosen), difference_table(chosen)]
        if any("predicted" in record for record in chosen):
            parts.append(interval_table(chosen))
        keys = {task: {r["teacher"].get("key") for r in chosen if r["task"] == task} for task in {r["task"] for r in chosen}}
        if mixed := sorted(task for task, found in keys.items() if len(found) > 1):
            parts.append(f"Runs of several teachers stand together on {', '.join(mixed)}: their differences are not of methods alone.")
        if fallen := sorted(f"{label(r)} on {r['task']} (seed {r['seed']})" for r in chosen if r.get("collapsed")):
            parts.append(f"Runs that gave every example one class: {', '.join(fallen)}.")
    return "\n\n".join(parts)


def scores_alone(records: list[dict]) -> str:
    """The score table of records of one setting, under a line that says how its runs were made and on how many examples it stands."""
    tasks = ordered({r["task"] for r in records}, SPECS)
    sizes = ", ".join(f"{task} {next(r['examples']['validation'] for r in records if r['task'] == task):,}" for task in tasks)
    how = f"Runs: {setting(records[0])}. Scored on validation examples: {sizes}. {_work(records)}"
    return f"{how}\n\n{score_table(records)}"


def _work(records: list[dict]) -> str:
    """Examples and optimiser steps of a run."""
    span = lambda values: f"{min(values):,}" if len(set(values)) == 1 else f"{min(values):,} to {max(values):,}"  # noqa: E731
    return f"A run: {span([r['examples']['train'] for r in records])} training examples, {span([r['steps'] for r in records])} steps."


def by_budget(records: list[dict]) -> dict[str, list[dict]]:
    """The records of every fine-tuning budget, the one with the most runs first."""
    names = Counter(sorted(budget(record) for record in records))
    return {name: [record for record in records if budget(record) == name] for name, _ in names.most_common()}


def encoder_names(records: list[dict]) -> dict[str, str]:
    """What to call the encoders of fine-tuning records: by their name, and where two share it also by their weights' digest."""
    full = {record["settings"]["encoder"] for record in records}
    shared = Counter(short_name(name) for name in full)
    return {short_name(name) if shared[short_name(name)] == 1 else name: name for name in full}


def budget(record: dict) -> str:
    """What must agree for two fine-tuning records to stand in one table."""
    said = record["settings"]
    limit = f", at most {said['max_train']:,} labels" if said["max_train"] else ""
    return (
        f"fine-tuning all layers: {said['epochs']} epochs of batch {said['batch']}, {said['max_length']} tokens, "
        f"{said['precision']}{limit}{selected(said)}, rates tried {', '.join(f'{rate:g}' for rate in said['searched'])}"
    )


def _fine_tuning_table(records: list[dict], heading: str) -> str:
    """Encoder rows, task columns, mean ± sample standard deviation (n); then the leads over random weights, paired by seed."""
    tasks = ordered({record["task"] for record in records}, SPECS)
    rows, found, records = [], {}, sorted(records, key=lambda record: record["made"])  # of two for one seed the newest counts
    encoders = encoder_names(records)
    for name in ordered(encoders, (*SHIPPED, *DRAWN)):
        mine = [winners([r for r in records if r["task"] == task and r["settings"]["encoder"] == encoders[name]]) for task in tasks]
        found[name] = [Cell({r["seed"]: headline(r["scores"]["validation"]) for r in some}) for some in mine]
        rates = ", ".join("/".join(f"{rate:g}" for rate in sorted({r["settings"]["rate"] for r in some})) or "-" for some in mine)
        rows.append([name, *map(str, found[name]), rates])
    for name, drawn in ((one, drawn) for one in found if one not in DRAWN for drawn in drawn_for(one, found)):
        leads = [difference(*pair) for pair in zip(found[name], found[drawn], strict=True)]
        rows.append([f"{name} minus {drawn}, 95% over seeds", *(with_interval(lead) if lead else "-" for lead in leads), ""])
    metrics = [f"{task} ({metrics_of(task, records)})" for task in tasks]
    return f"### {heading}\n\n{markdown(['validation, %', *metrics, 'rates chosen'], rows)}"


def winners(records: list[dict]) -> list[dict]:
    """The records of one encoder on one task at the rate that won its search; all of them if there was none."""
    rates = {record["settings"]["rate"] for record in records}
    if len(rates) < 2:
        return records
    searched = [record for record in records if record["seed"] == min(r["seed"] for r in records)]
    best = best_rate(searched)
    return [record for record in records if record["settings"]["rate"] == best]


def markdown(header: list[str], rows: list[list[str]]) -> str:
    """A Markdown table with aligned columns."""
    widths = [max(len(row[i]) for row in [header, *rows]) for i in range(len(header))]
    line = lambda row: "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |"  # noqa: E731
    return "\n".join([line(header), "|" + "|".join("-" * (width + 2) for width in widths) + "|", *map(line, rows)])
