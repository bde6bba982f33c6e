"""Distillation: one student, one method, one seed; returns the run's record."""

from __future__ import annotations

from dataclasses import asdict, fields, replace
from pathlib import Path
from shutil import rmtree

import torch

from ukd.config.files import atomic_folder
from ukd.config.keys import code_hash, config_hash
from ukd.config.locks import folder_lock
from ukd.config.paths import cache_folder, runs_folder
from ukd.config.presets import TrainingConfig, whole_seed
from ukd.config.provenance import provenance
from ukd.config.runtime import Runtime, choose_runtime, logger
from ukd.config.verified import is_whole, set_aside, write_checksums
from ukd.data.metrics import mean_metric
from ukd.data.tasks import Task
from ukd.methods.method import Method
from ukd.methods.own_maps import files_of, named
from ukd.methods.registry import METHODS
from ukd.models.bundled import default_learning_rates, resolve_encoder, tokenizer_hash
from ukd.models.students import STUDENTS
from ukd.training.distillation_run import DistillationRun
from ukd.training.initial_student import fine_tuned_encoder
from ukd.training.layer_report import difficulty_levels
from ukd.training.run_record import (
    RECORD,
    DataRecord,
    Provenance,
    RunRecord,
    RunSettings,
    TeacherRecord,
    method_settings,
)
from ukd.training.student_report import (
    check_depth,
    check_student_layers,
    describe_student,
    say_without_effect,
)
from ukd.training.teacher import Teacher, hub_revision, weights_of
from ukd.training.teacher_heads import fit_heads

ASSISTANT_FIELDS = ("layers", "parameters", "scores")
TEACHER_FIELDS = ("encoder", "learning_rate", "seed", "layers", "parameters", "scores")


def distill(  # noqa: PLR0913
    task: Task,
    method: Method,
    teacher: Teacher,
    *,
    config: TrainingConfig,
    seed: int,
    learning_rate: float | None = None,
    runtime: Runtime | None = None,
    folder: Path | None = None,
    online_teacher: bool = False,
) -> RunRecord:
    """Distil the teacher into the student that the config names, and return the run's record.

    The student is `config.student_depth` layers of the teacher's encoder, a BiLSTM or gated CNN, or
    another pretrained encoder with a tokenizer of its own (`config.student`).

    Args:
        method: from `ukd.get_method(name, ...)`. Every method gets the same steps and, for one
            seed, the same initial student. Its layer map may be a function of a file; the record
            has its name and the hash of its source.
        teacher: from `train_teacher`; its pseudo classifiers are fitted here if they are not yet.
        learning_rate: peak of every stage; by default the config's, else the encoder's (see
            `ukd.models.bundled.default_learning_rates`).
        folder: where runs are kept, by default `runs_folder()`. A finished run with equal settings,
            data, teacher and code is found there and not repeated; one that was cut off continues
            from its last whole epoch.
        online_teacher: run the teacher in every step instead of once beforehand.

    Returns: the record, as written to `record.json`; `record.folder` says where.

    Raises: ValueError for a teacher, student or method that don't go together, for a layer map that
    can't be imported again, and for a seed that is no whole number.
    """
    runtime = runtime or choose_runtime()
    seed = whole_seed(seed)
    method = replace(method, layer_map=named(method.layer_map))
    teacher.check_task(task)
    _check(method, teacher, config, online_teacher)
    say_without_effect(task, method)
    given = config if learning_rate is None else replace(config, learning_rate=learning_rate)
    rate = given.learning_rate or default_learning_rates(teacher.encoder, config.student)[1]
    settings = run_settings(method, teacher, config, rate, runtime, online_teacher)
    key = run_key(task, method, teacher, config, settings, seed)
    place = (folder or runs_folder()) / f"{task.name}-{method.name}-seed{seed}-{key}"
    finished = _finished(place)
    if finished is None:
        run = DistillationRun(task, method, teacher, config, seed, rate, runtime)
        run.checkpoints = place.with_name(f".{place.name}")
        run.online_teacher = online_teacher
        with folder_lock(place):
            # Another process may have finished it while this one waited for the lock.
            finished = _finished(place)
            if finished is None:
                set_aside(place, "run")
                _train(run, settings, place, key)
    # Also those of a process that ended between its record and this line.
    rmtree(place.with_name(f".{place.name}"), ignore_errors=True)
    return finished or RunRecord.read(place / RECORD)


def _finished(place: Path) -> RunRecord | None:
    """The record of a finished run; None where a file is damaged or lost, the student's included.

    Raises PermissionError for what this account may not read.
    """
    return RunRecord.read(place / RECORD) if is_whole(place) else None


def _check(method: Method, teacher: Teacher, config: TrainingConfig, online_teacher: bool) -> None:
    """Raise ValueError for what does not go together, before anything is trained."""
    method.epochs(config.student_epochs)
    made_from = teacher.about["encoder"]
    name = resolve_encoder(teacher.encoder)[1]
    if name != made_from:
        raise ValueError(
            f"the teacher was made from {made_from}, and {teacher.encoder} is {name} now: train "
            "the teacher anew"
        )
    check_depth(config, teacher.about["layers"])
    check_student_layers(method, config)
    if teacher.kept_logits("train") is not None:
        _check_kept(method, teacher, config, online_teacher)


def _check_kept(
    method: Method, teacher: Teacher, config: TrainingConfig, online_teacher: bool
) -> None:
    """Raise ValueError for what takes more of a teacher than its logits."""
    needs = {
        f"method {method.name} compares hidden states": method.hidden is not None,
        "student_init is 'teacher'": config.student_init == "teacher",
        "the teacher is to run online": online_teacher,
    }
    for reason, needed in needs.items():
        if needed:
            raise ValueError(
                f"only the logits of the teacher in {teacher.folder} are kept, and {reason}: "
                "train a teacher, or take a method in the output space"
            )
    length = teacher.about["settings"]["max_length"]
    if config.max_length != length:
        raise ValueError(
            f"max_length is {config.max_length}, and the logits in {teacher.folder} are of "
            f"{length} tokens: take --max-length {length}"
        )


def run_settings(
    method: Method,
    teacher: Teacher,
    config: TrainingConfig,
    learning_rate: float,
    runtime: Runtime,
    online_teacher: bool = False,
) -> RunSettings:
    """Everything that is chosen for a run, as its record keeps it."""
    # The teacher that is there may be another than the config would train.
    config = replace(config, teacher_depth=teacher.about["layers"])
    return RunSettings(
        preset=config.name,
        method=method_settings(method),
        **describe_student(config, teacher.about["encoder"]),
        learning_rate=learning_rate,
        batch_size=config.batch_size,
        epochs=config.student_epochs,
        max_length=config.max_length,
        max_train=config.max_train,
        max_validation=config.max_validation,
        precision=runtime.precision,
        teacher_logits="online" if online_teacher else "cached",
        selection_split=config.selection_split,
        compiled=runtime.compiled,
    )


def run_key(
    task: Task,
    method: Method,
    teacher: Teacher,
    config: TrainingConfig,
    settings: RunSettings,
    seed: int,
) -> str:
    """Key of all that decides a run's result: settings, data, teacher, student, seed and code."""
    decisive = asdict(settings)
    # A name for the others, which decides nothing by itself.
    del decisive["preset"]
    if own_files := files_of(method.layer_map):
        decisive["layer_map_files"] = own_files
    return config_hash(
        decisive,
        method.name,
        task.name,
        task.key,
        difficulty_levels(task),
        teacher.key,
        teacher.weights,
        teacher.heads.name,
        _student_files(config),
        seed,
        torch.__version__,
        code_hash("ukd.training.distill"),
    )


def _student_files(config: TrainingConfig) -> tuple[str, str | None] | None:
    """Tokenizer and revision of a student that brings its own; others have the teacher's."""
    if config.student in ("layers", *STUDENTS):
        return None
    source = resolve_encoder(config.student)[0]
    return tokenizer_hash(Path(source)), hub_revision(source)


def _train(run: DistillationRun, settings: RunSettings, place: Path, key: str) -> None:
    """Train, and write student and record whole."""
    task = run.task
    teacher = run.teacher
    heads = fit_heads(teacher, task, config=run.config, runtime=run.runtime)
    if settings.student_init == "teacher":
        run.init_source = fine_tuned_encoder(teacher, task)
    assistant = None
    if run.method.assistant:
        run.teacher = _assistant(run)
        assistant = {name: run.teacher.about[name] for name in ASSISTANT_FIELDS}
    made = provenance(run.runtime)
    record = RunRecord(
        hash=key,
        task=task.name,
        method=run.method.name,
        seed=run.seed,
        settings=settings,
        data=DataRecord(task.fingerprint, task.spec.metrics, task.label_names),
        teacher=_teacher_record(teacher, heads),
        provenance=Provenance(**{field.name: made[field.name] for field in fields(Provenance)}),
        assistant=assistant,
        **run.run(),
    )
    with atomic_folder(place) as building:
        run.save(building / "student")
        record.write(building / RECORD)
        write_checksums(building)
    reached = mean_metric(record.scores["validation"])
    logger.info(f"{task.name} {run.method.name} seed {run.seed}: {reached:.1f}")


def _teacher_record(teacher: Teacher, heads: dict) -> TeacherRecord:
    """What a record keeps of its teacher."""
    about = {name: teacher.about[name] for name in TEACHER_FIELDS}
    return TeacherRecord(
        key=teacher.key, weights=teacher.weights, heads=tuple(heads["layers"]), **about
    )


def _assistant(run: DistillationRun) -> Teacher:
    """A network of the depth midway between teacher and student, as a teacher; made once.

    It has learned from the teacher by vanilla KD, for the teacher's epochs at the teacher's rate,
    beyond the student's own budget, as in TAKD.
    """
    teacher = run.teacher
    student_depth = run.config.student_depth if run.config.student == "layers" else 0
    budget = replace(
        run.config,
        student="layers",
        layer_selection="first",
        student_init="pretrained",
        embeddings=None,
        student_depth=max(2, (teacher.about["layers"] + student_depth) // 2),
        student_epochs=teacher.about["settings"]["epochs"],
    )
    record = distill(
        run.task,
        replace(METHODS["kd"], temperature=run.method.temperature),
        teacher,
        config=budget,
        seed=run.seed,
        learning_rate=teacher.about["learning_rate"],
        runtime=run.runtime,
        folder=cache_folder() / "assistants",
    )
    about = {
        "scores": record.scores,
        "layers": budget.student_depth,
        "parameters": record.student_parameters,
    }
    folder = Path(record.folder) / "student"
    return Teacher(folder, record.hash, weights_of(folder), teacher.encoder, teacher.about | about)
