"""Networks: classifiers over pretrained encoders, cut to their first layers, and the narrow BERT made from nothing."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor, nn
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    set_seed,
)
from transformers.utils import logging

from ukd.config.runtime import attention_kernel, say
from ukd.data.tasks import Task
from ukd.models.students import STUDENTS

FINE_TUNING_DROPOUT = 0.1


def load_tokenizer(source: str | Path) -> PreTrainedTokenizerBase:
    """The tokenizer of a hub id or folder."""
    with sources_explained(source):
        return AutoTokenizer.from_pretrained(str(source))


LAYER_SELECTIONS: dict[str, Callable[[int, int], list[int]]] = {
    "first": lambda kept, depth: list(range(kept)),
    "spread": lambda kept, depth: [
        round((number + 1) * depth / kept) - 1 for number in range(kept)
    ],
    "last": lambda kept, depth: list(range(depth - kept, depth)),
}


def load_classifier(
    source: str | Path, task: Task, *, seed: int, layers: int | None = None, pick: str = "first"
) -> PreTrainedModel:
    """A sequence classifier for `task` over the encoder at `source`, or over `layers` of its layers.

    The encoder's weights are loaded, what is missing (the classifier) is drawn by `seed`. `pick`: the "first" layers (the
    paper's), evenly "spread" ones (every second, if half are kept), or the "last". Raises ValueError when there is no model at
    `source`, it has fewer layers than asked for, or no stack of layers that could be picked from.
    """
    with sources_explained(source):
        config = AutoConfig.from_pretrained(str(source))
    if layers is not None and not 1 <= layers <= config.num_hidden_layers:
        raise ValueError(
            f"{source} has {config.num_hidden_layers} layers, so its first {layers} can't be taken"
        )
    check_label_order(config, task, source)
    if pick not in LAYER_SELECTIONS:
        raise ValueError(
            f"unknown pick {pick!r} of layers; choose one of: {', '.join(LAYER_SELECTIONS)}"
        )
    changes = _labels(task) | (
        {"num_hidden_layers": layers} if layers is not None and pick == "first" else {}
    )
    set_seed(seed)
    with _quiet(), sources_explained(source):
        network = AutoModelForSequenceClassification.from_pretrained(
            str(source), dtype=torch.float32, attn_implementation=attention_kernel(), **changes
        )
    if layers is not None and pick != "first":
        keep_layers(network, LAYER_SELECTIONS[pick](layers, config.num_hidden_layers), source)
    return network


def keep_layers(network: PreTrainedModel, kept: list[int], source: str | Path) -> None:
    """Leave a network the given layers, counted from 0. Raises ValueError where it has no stack of them, as ALBERT, which shares one."""
    depth = network.config.num_hidden_layers
    stacks = [
        (name, part)
        for name, part in network.named_modules()
        if isinstance(part, nn.ModuleList) and len(part) == depth
    ]
    if len(stacks) != 1 or depth < 2:
        raise ValueError(
            f"{source} has no stack of {depth} layers of their own to pick from: take its first layers"
        )
    parent, _, attribute = stacks[0][0].rpartition(".")
    setattr(
        network.get_submodule(parent),
        attribute,
        nn.ModuleList(stacks[0][1][index] for index in kept),
    )
    network.config.num_hidden_layers = len(kept)


def check_label_order(config: PreTrainedConfig, task: Task, source: str | Path) -> None:
    """Raise ValueError for a model whose classifier has other outputs, or names the task's classes in another order."""
    classifies = any("SequenceClassification" in name for name in config.architectures or ())
    if classifies and config.num_labels != task.num_labels:
        raise ValueError(
            f"{source} has a classifier with {config.num_labels} outputs, and {task.name} needs {task.num_labels}: pass the "
            "encoder it was made from"
        )
    names = [
        str(name).lower()
        for _, name in sorted((config.id2label or {}).items(), key=lambda item: int(item[0]))
    ]
    ours = [name.lower() for name in task.label_names or ()]
    if set(names) == set(ours) and names != ours:
        raise ValueError(
            f"{source} names its classes {names}, and {task.name} names them {ours}: its answers would be read as "
            "others; pass a model with the task's order, or one without a classifier"
        )


def new_student(
    kind: str, source: str | Path, task: Task, *, seed: int, embeddings: str | None = None
) -> PreTrainedModel:
    """A student of another architecture ("bilstm", "gated-cnn"), its weights drawn by `seed`, for the tokenizer at `source`.

    embeddings: "teacher" starts its words from the encoder's at `source`; a file of word vectors (a word and its numbers a
    line) from those, for the tokenizer's entries that are in it. Raises ValueError for an unknown kind or an unusable file.
    """
    if kind not in STUDENTS:
        raise ValueError(f"unknown student {kind!r}; choose one of: layers, {', '.join(STUDENTS)}")
    tokenizer = load_tokenizer(source)
    start = None if embeddings is None else initial_embeddings(embeddings, source, tokenizer)
    set_seed(seed)
    config = STUDENTS[kind](
        vocab_size=len(tokenizer),
        embedding_size=None if start is None else start[0].shape[1],
        pad_token_id=tokenizer.pad_token_id,
        **_labels(task),
    )
    network = AutoModelForSequenceClassification.from_config(config)
    if start is not None:
        with torch.no_grad():
            network.words.weight[start[1]] = start[0][start[1]]
    return network


def initial_embeddings(
    asked: str, source: str | Path, tokenizer: PreTrainedTokenizerBase
) -> tuple[Tensor, Tensor]:
    """Vectors (V, E) and which of the V entries have one. Raises ValueError for a file that holds none of them."""
    if asked == "teacher":
        with _quiet(), sources_explained(source):
            vectors = (
                AutoModel.from_pretrained(str(source), dtype=torch.float32)
                .get_input_embeddings()
                .weight.detach()
            )
        return vectors[: len(tokenizer)], torch.ones(len(tokenizer), dtype=torch.bool)
    if not Path(asked).is_file():
        raise ValueError(
            f"embeddings must be 'teacher' or a file of word vectors, and {asked!r} is neither"
        )
    vocabulary, found = tokenizer.get_vocab(), {}
    with Path(asked).open(encoding="utf-8") as lines:
        for line in lines:
            word, *numbers = line.rstrip().split(" ")
            if (
                len(numbers) > 1 and word in vocabulary
            ):  # a first line of counts, and words with spaces in them, are passed over
                try:
                    found[vocabulary[word]] = [float(number) for number in numbers]
                except ValueError:
                    continue
    if len({len(vector) for vector in found.values()}) != 1:
        raise ValueError(
            f"{asked} holds no word of the vocabulary, or vectors of several lengths: a word and its numbers a line are read"
        )
    vectors = torch.zeros(len(tokenizer), len(next(iter(found.values()))))
    vectors[list(found)] = torch.tensor(list(found.values()))
    say(f"word vectors for {len(found):,} of {len(tokenizer):,} entries from {Path(asked).name}")
    return vectors, vectors.abs().sum(1) > 0


def _labels(task: Task) -> dict:
    """How a configuration names the task's outputs."""
    said = {
        "num_labels": task.num_labels,
        "problem_type": "regression" if task.spec.regression else None,
    }
    if names := task.label_names:
        said |= {
            "id2label": dict(enumerate(names)),
            "label2id": {name: i for i, name in enumerate(names)},
        }
    return said


def save(
    network: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, folder: Path, **shards: str
) -> None:
    """`save_pretrained` of both into one folder: safetensors, loadable by `from_pretrained` as any model is.

    `shards`: max_shard_size, where the library's default is too large.
    """
    with _quiet():
        network.save_pretrained(folder, **shards)
        tokenizer.save_pretrained(folder)


def write_checksums(folder: Path) -> None:
    """Write SHA256SUMS of the weights and all else that decides what the encoder answers; see `bundled_encoder`."""
    files = sorted([*folder.glob("*.safetensors"), *folder.glob("*.json")])
    sums = [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in files]
    (folder / "SHA256SUMS").write_text("".join(sums), encoding="utf-8")


def parameters(module: nn.Module) -> int:
    """Number of parameters."""
    return sum(parameter.numel() for parameter in module.parameters())


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence the report on weights that are new (the classifier) or left out (layers above the first k): both are meant."""
    before = logging.get_verbosity()
    logging.set_verbosity_error()
    logging.disable_progress_bar()  # stays off: ours are the bars that count
    try:
        yield
    finally:
        logging.set_verbosity(before)


@contextmanager
def sources_explained(source: str | Path) -> Iterator[None]:
    """Turn what the library raises for a source without a model into a ValueError with the remedy."""
    try:
        yield
    except (OSError, ValueError) as error:
        raise ValueError(
            f"no model could be loaded from {str(source)!r}: pass a folder made by save_pretrained, or a hub id "
            f"where the hub can be reached ({str(error).splitlines()[0]})"
        ) from error
