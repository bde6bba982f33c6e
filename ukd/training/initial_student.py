"""The student as training finds it: for one seed the same network for every method."""

from __future__ import annotations

from pathlib import Path

from transformers import PreTrainedModel

from ukd.config.keys import config_hash
from ukd.config.paths import cache_folder
from ukd.config.presets import TrainingConfig
from ukd.config.verified import build_verified
from ukd.data.tasks import Task
from ukd.heads import ClassifierWithHeads, PseudoClassifiers
from ukd.methods.hidden_states import HiddenStateLoss
from ukd.methods.method import Method
from ukd.methods.registry import METHODS
from ukd.models.bundled import resolve_encoder
from ukd.models.encoders import (
    load_classifier,
    load_tokenizer,
    load_trained,
    new_student,
    save,
)
from ukd.models.family_check import check_family
from ukd.models.loading import read_config
from ukd.models.students import STUDENTS
from ukd.training.student_report import check_student_layers
from ukd.training.teacher import Teacher


def initial_student(
    task: Task,
    method: Method,
    teacher: Teacher,
    config: TrainingConfig,
    *,
    seed: int,
    init_source: str | None = None,
) -> ClassifierWithHeads:
    """The student before training, with the heads and projections that the method teaches.

    init_source: folder that a student of layers takes them from, by default the encoder's.

    Raises: ValueError for a student that has not what the method teaches, and for what
    `ukd.models.family_check.check_family` refuses.
    """
    source = resolve_encoder(teacher.encoder)[0]
    network = _network(task, config, source, seed, init_source)
    place = student_source(config, source)
    tokenizer = load_tokenizer(place)
    check_family(network, tokenizer, place, config.max_length, texts=len(task.spec.columns))
    intermediate = network.config.num_hidden_layers - 1
    width = network.config.hidden_size
    check_student_layers(method, config, network.config.num_hidden_layers)
    # Heads are drawn after the network, so that it is the same with and without them.
    heads = None
    if method.needs_heads:
        heads = PseudoClassifiers(width, task.num_labels, intermediate)
    model = ClassifierWithHeads(network, heads)
    if method.hidden:
        _check_states(method, config, network)
        of_teacher = read_config(teacher.folder)
        layers = (intermediate, of_teacher.num_hidden_layers - 1)
        model.hidden_loss = HiddenStateLoss(method.hidden, *layers, width, of_teacher.hidden_size)
    return model


def student_source(config: TrainingConfig, source: str) -> str:
    """Where the student's tokenizer comes from, and a pretrained student's weights.

    source: where the teacher's encoder is.
    """
    if config.student in ("layers", *STUDENTS):
        return source
    return resolve_encoder(config.student)[0]


def _network(
    task: Task, config: TrainingConfig, source: str, seed: int, init_source: str | None
) -> PreTrainedModel:
    """The student's network: layers of an encoder, a new one, or a pretrained one."""
    if config.student == "layers":
        return load_classifier(
            init_source or source,
            task,
            seed=seed,
            layers=config.student_depth,
            selection=config.layer_selection,
            new_classifier=True,
        )
    if config.student in STUDENTS:
        return new_student(
            config.student,
            source,
            task,
            seed=seed,
            layers=config.student_depth,
            embeddings=config.embeddings,
        )
    return load_classifier(student_source(config, source), task, seed=seed, new_classifier=True)


def _check_states(method: Method, config: TrainingConfig, network: PreTrainedModel) -> None:
    """Raise ValueError where the student has no states of the kind that the method compares."""
    pooling = getattr(network.config, "pooling", "first")
    if method.hidden.pooling != "first" or pooling == "first":
        return
    usable = [
        one.name for one in METHODS.values() if not one.hidden or one.hidden.pooling == "mean"
    ]
    raise ValueError(
        f"{method.name} compares the first token's states, and those of a {config.student} say "
        f"nothing of the sentence; these apply: {', '.join(usable)}"
    )


def fine_tuned_encoder(teacher: Teacher, task: Task) -> str:
    """Folder of a teacher's encoder without its classifier, of which a student draws its own."""

    def make(building: Path) -> None:
        network = load_trained(teacher.folder, task).base_model
        save(network, load_tokenizer(teacher.folder), building)

    made = {"kind": "student_init", "teacher": teacher.key, "weights": teacher.weights}
    folder = cache_folder() / "student_inits" / f"{teacher.folder.name}-{config_hash(made)}"
    build_verified(folder, make, made, "teacher's encoder")
    return str(folder)
