"""The record of one run: what was run, on what, by which code, and what came out.

A record is immutable and validates itself. `ukd.analysis.runs` keeps many of them in a few files.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path

from ukd.config.files import write_json
from ukd.config.verified import refuse_changed
from ukd.training.record_checks import METHOD_FIELDS, validate
from ukd.training.record_format_1 import convert, convert_method

FORMAT = 2
RECORD = "record.json"  # its name in the folder of a run
MISSHAPEN = (AttributeError, IndexError, KeyError, TypeError)  # of a value of another kind
TRANSIENT = ("folder", "search")  # known in memory alone: a run does not know its comparison

Scores = dict[str, dict[str, float]]  # split -> metric -> score in percent


@dataclass(frozen=True)
class DataRecord:
    """The data of a run: a fingerprint of its rows, the metrics, and the classes in their order.

    class_names: None for regression, and in records of format 1, which did not keep them.
    """

    fingerprint: str
    metrics: tuple[str, ...]
    class_names: tuple[str, ...] | None = None


@dataclass(frozen=True)
class TeacherRecord:
    """The teacher of a run.

    key: hash of the settings that made it. weights: sha256 of its weights, None in format 1.
    heads: for each layer {"scores": {metric: percent}, "label_error": mean of 1 - p(label), or
    the mean absolute error for regression}.
    """

    key: str
    encoder: str
    learning_rate: float
    seed: int
    layers: int
    parameters: int
    scores: Scores
    heads: tuple[dict, ...]
    weights: str | None = None


@dataclass(frozen=True)
class RunSettings:
    """Everything that was chosen for a run, seed and teacher aside.

    method: the fields of `ukd.methods.Method` that decide a result (see `method_settings`).
    student: an encoder's name and weights, or an architecture. student_depth: layers of the encoder
    that it takes, or of a new network; None for a pretrained student, and for the BiLSTMs of two
    layers and CNNs of four of versions up to 0.2. epochs: passes over train.
    teacher_logits: "cached" or "online".
    """

    preset: str
    method: dict
    student: str
    student_depth: int | None
    layer_selection: str | None
    student_init: str | None
    embeddings: str | None
    learning_rate: float
    batch_size: int
    epochs: int
    max_length: int
    max_train: int | None
    max_validation: int | None
    precision: str
    teacher_logits: str = "cached"
    selection_split: str = "dev"
    compiled: bool = False


@dataclass(frozen=True)
class Provenance:
    """How a result was made: time, device, threads, versions and commit; never a path."""

    made: str
    device: str
    threads: int
    processes: int
    python: str
    versions: dict[str, str]
    commit: str | None = None


@dataclass(frozen=True)
class RunRecord:
    """One run of one method on one task with one seed.

    hash: names settings, data, teacher, seed and code.
    scores: dev, validation and further splits. examples: rows by split.
    history: by stage {"curve": [{"step", loss terms}], "epochs": [{"epoch", "step", "dev",
        "attention"}]}.
    attention: means over the validation examples, at the end of the last stage with an intermediate
        loss; None without one: mean (S, T), by_class, by_difficulty, entropy, attended_label_error,
        uniform_label_error, heads, early_exit.
    early_exit: of the finished student, [{"threshold", "layers", "scores"}].
    predictions: of each validation example, for the synthetic suite alone.
    search: the learning rates that every method tried, {"rates": {task: [...]}, "seeds": [...]}.
    folder, search: in memory alone.

    Raises: ValueError that names the field, its value and the remedy.
    """

    hash: str
    task: str
    method: str
    seed: int
    settings: RunSettings
    data: DataRecord
    teacher: TeacherRecord
    scores: Scores
    examples: dict[str, int]
    steps: int
    student_parameters: int
    seconds: float
    provenance: Provenance
    history: dict[str, dict] = field(default_factory=dict)
    attention: dict | None = None
    early_exit: tuple[dict, ...] = ()
    collapsed: bool | None = None
    calibration_error: float | None = None
    predictions: str | None = None
    assistant: dict | None = None
    search: dict | None = field(default=None, compare=False)
    folder: str | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        validate(self)

    def to_dict(self) -> dict:
        """The record as JSON holds it, with its format."""
        content = {"format": FORMAT} | asdict(self)
        for name in TRANSIENT:
            del content[name]
        return content

    @classmethod
    def from_dict(cls, content: Mapping, folder: str | None = None) -> RunRecord:
        """A record of format 1 or 2. Raises ValueError for another format, or a damaged record."""
        version = content.get("format")
        if version == 1:
            return cls.from_format_1(content, folder)
        if version != FORMAT:
            raise ValueError(f"format is {version!r}, and 1 and {FORMAT} can be read: update ukd")
        values = {name: value for name, value in content.items() if name != "format"}
        return _built(cls, values | {"folder": folder})

    @classmethod
    def from_format_1(cls, content: Mapping, folder: str | None = None) -> RunRecord:
        """A record as versions up to 0.1 wrote it, in today's names."""
        try:
            values = convert(content)
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"the record of format 1 lacks {error}: run it again") from error
        return _built(cls, values | {"folder": folder})

    @classmethod
    def read(cls, path: Path) -> RunRecord:
        """The record in a JSON file. Raises ValueError that names the file and what is wrong."""
        path = Path(path)
        try:
            refuse_changed(path)
            content = json.loads(path.read_text(encoding="utf-8"))
            if not isinstance(content, dict):
                raise ValueError(f"it holds a {type(content).__name__}, not a record")
            return cls.from_dict(content, str(path.parent))
        except (FileNotFoundError, IsADirectoryError, ValueError, *MISSHAPEN) as error:
            raise ValueError(
                f"{path} is not a readable record ({error}); remove it and run again"
            ) from error

    def write(self, path: Path) -> None:
        """Write the record whole or not at all. Raises FileExistsError for a file that is there."""
        write_json(path, self.to_dict())


def method_settings(method: object) -> dict:
    """The fields of a `Method` that decide a result: all but its name and its descriptions."""
    settings = convert_method(asdict(method))
    for stage in settings["stages"]:
        # Records from before there was the option are equal to those without it.
        if not stage["intermediate_decay"]:
            del stage["intermediate_decay"]
    return {name: settings[name] for name in METHOD_FIELDS}


NESTED = {
    "settings": RunSettings,
    "data": DataRecord,
    "teacher": TeacherRecord,
    "provenance": Provenance,
}
TUPLES = ("metrics", "class_names", "heads", "early_exit")  # JSON has lists


def _built(kind: type, values: Mapping, prefix: str = "") -> object:
    """A dataclass from a mapping. Raises ValueError for a field that is unknown or missing."""
    known = {one.name: one for one in fields(kind)}
    if unknown := sorted(set(values) - set(known)):
        raise ValueError(f"unknown field {prefix}{unknown[0]}: remove it, or update ukd")
    arguments = {}
    for name, value in values.items():
        if name in NESTED and kind is RunRecord:
            if not isinstance(value, Mapping):
                raise ValueError(f"{name} is {value!r} and should be an object")
            value = _built(NESTED[name], value, f"{name}.")
        elif name in TUPLES and value is not None:
            value = tuple(value)
        arguments[name] = value
    try:
        return kind(**arguments)
    except TypeError as error:
        raise ValueError(f"{prefix or 'the record'} is incomplete: {error}") from error
