"""The teacher: a pretrained encoder fine-tuned on the task's labels, kept in a folder, and frozen from then on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import nn
from transformers import AutoConfig, AutoModel, set_seed

from ukd.config import Compute, cache_folder, data_folder, digest, say, source_digest, sum_of
from ukd.config import compute as choose_compute
from ukd.data import EMBEDDED as SUITE
from ukd.data import Encoded, Task, carve, encode, steps_per_epoch, training_batches
from ukd.heads import Frozen, LayerwiseClassifier, PseudoClassifiers
from ukd.losses import label_loss
from ukd.metrics import headline, scores
from ukd.models import load_classifier, load_tokenizer, parameters, save
from ukd.pretrain import encoder_from_nothing
from ukd.profiles import Profile
from ukd.records import made_once, provenance, write_json
from ukd.students import STUDENTS
from ukd.train import Schedule, fit, predict

SCRATCH, EMBEDDED, PROSE, RANDOM, RANDOM_PROSE = "scratch", "embedded", "prose", "random", "random-prose"
SHIPPED = {EMBEDDED: "encoder", PROSE: "encoder-prose"}  # what comes with the kit, for its suite and for real text: folders in data/
DRAWN = {RANDOM: EMBEDDED, RANDOM_PROSE: PROSE}  # the same networks with weights drawn anew
# in a model's folder, but not of the model
NOTES = ("config.json", "pretraining.json", "made.json", "teacher.json", "model.safetensors.index.json")
RATES = {SCRATCH: (1e-4, 5e-4), **dict.fromkeys((*SHIPPED, *DRAWN), (2e-4, 5e-4))}  # of teacher and student
PRETRAINED_RATES = (5e-5, 5e-5)
NEW_STUDENT_RATE = 1e-3  # a BiLSTM or CNN starts from random weights


@dataclass(frozen=True)
class Teacher:
    """A fine-tuned teacher in a folder.

    key: digest of all that made it. encoder: what it was made from, as given ("embedded", a folder, a hub id). about: what
    its `teacher.json` says of it (scores, settings, how made).
    """

    folder: Path
    key: str
    encoder: str
    about: dict

    @property
    def heads(self) -> Path:
        """Where its pseudo classifiers are: a folder of its own for each version of the code that fits them."""
        return self.folder / f"heads-{source_digest('heads', 'losses', 'metrics', 'probing', 'students')}"

    def load(self, task: Task) -> Frozen:
        """The frozen teacher: inputs to logits (B, T, C), pseudo classifiers included if they have been trained."""
        network = load_classifier(self.folder, task, seed=0)
        heads = None
        if (path := self.heads / "heads.safetensors").is_file():
            weights = load_file(path)
            layers, hidden, classes = weights["weight"].shape
            heads = PseudoClassifiers(hidden, classes, layers)
            heads.load_state_dict(weights)
        return Frozen(LayerwiseClassifier(network, heads))


def resolve_encoder(encoder: str, profile: Profile, compute: Compute) -> tuple[str, str]:
    """(source, name that is no path) of "embedded", "prose", these with weights drawn anew ("random", "random-prose"), "scratch", a
    folder or a hub id."""
    if encoder == SCRATCH:
        folder = encoder_from_nothing(profile, compute)
        return str(folder), f"{SCRATCH}-{folder.name}"
    if encoder in (*SHIPPED, *DRAWN):
        folder = _redrawn(embedded_encoder(DRAWN[encoder])) if encoder in DRAWN else embedded_encoder(encoder)
        return str(folder), f"{encoder}-{_content(folder)}"
    folder = Path(encoder)
    return encoder, f"{folder.name}-{_content(folder)}" if folder.is_dir() else encoder


def drawn_for(encoder: str, among: Iterable[str] = DRAWN) -> list[str]:
    """The networks with weights drawn anew that an encoder is compared with: its own, or all that there are."""
    there = [drawn for drawn in DRAWN if drawn in among]
    return [drawn for drawn in there if DRAWN[drawn] == encoder] or there


def default_encoder(profile: Profile, task: str, *tasks: str) -> str:
    """The profile's encoder, and in place of the one made for the embedded suite the one for real text where no task is of the suite."""
    return PROSE if profile.encoder == EMBEDDED and not {task, *tasks} & set(SUITE) else profile.encoder


def embedded_encoder(name: str = EMBEDDED) -> Path:
    """Folder of an encoder that comes with the kit. Raises ValueError if it is missing or its weights are damaged."""
    folder = data_folder() / SHIPPED[name]
    remedy = f"restore it with `git checkout data/{folder.name}`, or install the kit again"
    sums = folder / "SHA256SUMS"
    for line in (sums.read_text(encoding="utf-8").splitlines() if sums.is_file() else []) or [f"  {sums.name}"]:
        digest, _, file = line.partition("  ")
        path = folder / file
        if not digest or not path.is_file():
            raise ValueError(f"the {name} encoder lacks {path}: {remedy}")
        if hashlib.sha256(path.read_bytes()).hexdigest() != digest:
            raise ValueError(f"{path} is damaged (its sha256 is not the one in SHA256SUMS): {remedy}")
    return folder


def _redrawn(folder: Path, seed: int = 0) -> Path:
    """The same network and tokenizer with weights from the initialisation: what pretraining is compared with."""
    made = {"kind": RANDOM, "like": _content(folder), "seed": seed, "torch": torch.__version__}

    def make(building: Path) -> None:
        set_seed(seed)
        save(AutoModel.from_config(AutoConfig.from_pretrained(folder), dtype=torch.float32), load_tokenizer(folder), building)

    return made_once(cache_folder() / "encoders" / f"{RANDOM}-{digest(made)}", make, made)


def rates(encoder: str, student: str = "layers") -> tuple[float, float]:
    """Default peak learning rates of the teacher and of the student for an encoder as given."""
    ours = (Path(encoder) / "pretraining.json").is_file()
    teacher, pretrained = RATES.get(encoder, RATES[EMBEDDED] if ours else PRETRAINED_RATES)
    if student in STUDENTS:
        return teacher, NEW_STUDENT_RATE
    return teacher, pretrained if student == "layers" else rates(student)[0]


def _content(folder: Path) -> str:
    """Digest of a model folder's weights and configuration: a changed encoder is never mistaken for the old one.

    Raises ValueError for a folder without a model.
    """
    if not (folder / "config.json").is_file():
        raise ValueError(f"no model could be loaded from '{folder}': it has no config.json; pass a folder made by save_pretrained")
    return sum_of(sorted([*folder.glob("*.safetensors"), *folder.glob("*.bin"), folder / "config.json"]))[:12]


def tokenizer_digest(folder: Path) -> str:
    """Digest of a model folder's tokenizer, whatever its kind."""
    found = (path for ending in ("json", "txt", "model") for path in folder.glob(f"*.{ending}") if path.name not in NOTES)
    return sum_of(sorted(found))[:12]


def train_teacher(
    task: Task, *, profile: Profile, encoder: str | None = None, rate: float | None = None, seed: int = 1, compute: Compute | None = None
) -> Teacher:
    """Fine-tune a pretrained encoder on the task's labels; made once, then found in the cache by its settings.

    Args:
        encoder: "embedded" and "prose" for those that come with the kit, "scratch" for the profile's own, pretrained now on the
            embedded suite's text, "random" and "random-prose" for weights drawn anew, a folder, or a hub id; by default `default_encoder`.
        rate: peak learning rate; by default 2e-4 for the encoders that come with the kit, 1e-4 for one pretrained now, else 5e-5.
        seed: of the classifier's start, the order of the examples and dropout.

    Returns: Teacher, its development and validation scores in `.about["scores"]`.

    Raises: ValueError when the teacher stays below the task's floor (a profile may only warn).
    """
    compute = compute or choose_compute()
    encoder = encoder or default_encoder(profile, task.name)
    source, name = resolve_encoder(encoder, profile, compute)
    rate = rate or profile.teacher_rate or rates(encoder)[0]
    made = {
        "kind": "teacher", "tokenizer": tokenizer_digest(Path(source)),
        "task": task.name, "data": task.fingerprint, "encoder": name, "rate": rate, "seed": seed,
        "epochs": profile.teacher_epochs, "batch": profile.batch, "max_length": profile.max_length,
        "max_train": profile.max_train, "max_validation": profile.max_validation, "precision": compute.precision, "select": profile.select,
        "compiled": compute.compiled,
        "torch": torch.__version__, "source": source_digest("data", "heads", "losses", "metrics", "models", "students", "train", "teacher"),
    }  # fmt: skip
    key = digest(made)
    folder = cache_folder() / "teachers" / f"{task.name}-{key}"
    made_once(folder, lambda building: _fine_tune(building, task, profile, source, rate, seed, compute), made)
    about = json.loads((folder / "teacher.json").read_text(encoding="utf-8"))
    check_floor(task, about["scores"]["dev"], enforce=profile.enforce_floor)
    return Teacher(folder, key, encoder, {**about, "encoder": name, "rate": rate, "seed": seed})


def _fine_tune(folder: Path, task: Task, profile: Profile, source: str, rate: float, seed: int, compute: Compute) -> None:
    say(f"fine-tuning the teacher on {task.name}")
    tokenizer = load_tokenizer(source)
    train, dev, validation = splits(task, tokenizer, profile)
    model = LayerwiseClassifier(load_classifier(source, task, seed=seed))
    history = fit(
        model,
        lambda epoch, rank, world: training_batches(train, profile.batch, seed, epoch, rank, world),
        lambda model, batch: {"labels": label_loss(model(**batch.inputs)[:, -1], batch.labels, regression=task.spec.regression)},
        Schedule(profile.teacher_epochs, steps_per_epoch(len(train), profile.batch), rate),
        compute,
        score=lambda model: headline(score(model, dev, task, compute)),
        label=f"teacher {task.name}",
    )
    found = {"dev": score(model, dev, task, compute), "validation": score(model, validation, task, compute)}
    found |= {split: score(model, data, task, compute) for split, data in also(task, tokenizer, profile).items()}
    save(model.network, tokenizer, folder)
    sizes = {"parameters": parameters(model.network), "layers": model.network.config.num_hidden_layers}
    write_json(folder / "teacher.json", {"scores": found, **sizes, "history": history, **provenance(compute)})


def splits(task: Task, tokenizer, profile: Profile) -> tuple[Encoded, Encoded, Encoded]:
    """Train, development and validation parts, tokenised. Rows of train and development are carved by a fixed seed.

    With `profile.select` "validation" nothing is carved, and the development part is the validation split itself.
    """
    train, dev = carve(task, seed=0, most=profile.max_train)
    validation = list(range(len(task.dataset["validation"])))[: profile.max_validation]
    part = lambda split, rows: encode(task, split, tokenizer, profile.max_length, rows)  # noqa: E731
    if profile.select == "validation":
        return part("train", sorted(train + dev)), part("validation", validation), part("validation", validation)
    if profile.select != "dev":
        raise ValueError(f"unknown part {profile.select!r} to select on; choose one of: dev, validation")
    return part("train", train), part("train", dev), part("validation", validation)


def also(task: Task, tokenizer, profile: Profile) -> dict[str, Encoded]:
    """Further splits that are scored and reported by themselves: MNLI's mismatched part."""
    if task.spec.also not in task.dataset:
        return {}
    rows = list(range(len(task.dataset[task.spec.also])))[: profile.max_validation]
    return {task.spec.also: encode(task, task.spec.also, tokenizer, profile.max_length, rows)}


def score(model: nn.Module, data: Encoded, task: Task, compute: Compute) -> dict[str, float]:
    """The task's metrics of the network's own classifier, in percent."""
    return scores(predict(model, data, compute)[:, -1].numpy(), data.labels.numpy(), task.spec.metrics)


def check_floor(task: Task, dev: dict[str, float], *, enforce: bool) -> None:
    """A teacher that has not learned the task can't teach it: raise ValueError, or say so where that is only a warning."""
    reached = headline(dev)
    if reached >= task.spec.floor:
        return
    text = f"the teacher reaches {reached:.1f} on the development part of {task.name}, below the floor of {task.spec.floor:.0f}"
    if enforce:
        raise ValueError(f"{text}: distilling from it would teach noise. Train it longer (--teacher-epochs), at another rate "
                         "(--teacher-rate), pass a better encoder (--teacher), or see for yourself (--allow-weak-teacher)")  # fmt: skip
    say(f"warning: {text}")
