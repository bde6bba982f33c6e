"""Classifiers over pretrained encoders, or over some of their layers; new students; saving."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn
from transformers import (
    AutoModel,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    set_seed,
)
from transformers.utils import logging as transformers_logging

from ukd.config.choices import LAYER_SELECTIONS
from ukd.config.runtime import attention_kernel, logger
from ukd.config.verified import refuse_damaged
from ukd.data.tasks import Task
from ukd.models.classes import check_label_order, classifies, label_options
from ukd.models.family_check import check_encoder_kind
from ukd.models.loading import (
    further_layers,
    of_encoder,
    read_config,
    read_weights,
    sources_explained,
    with_new_classifier,
)
from ukd.models.students import STUDENTS

TEACHER_EMBEDDINGS = "teacher"


def load_tokenizer(source: str | Path) -> PreTrainedTokenizerBase:
    """The tokenizer of a folder or hub id, which pads on the right.

    Raises ValueError where there is none: the library would invent one without words.
    """
    with sources_explained(source):
        tokenizer = AutoTokenizer.from_pretrained(str(source), trust_remote_code=False)
    if len(tokenizer) <= len(set(tokenizer.all_special_tokens)):
        raise ValueError(
            f"{source} has no tokenizer: save the one that its network was trained with there, by "
            "the tokenizer's save_pretrained"
        )
    tokenizer.padding_side = "right"  # on the left it would stand where the first token is read
    return tokenizer


def load_classifier(
    source: str | Path,
    task: Task,
    *,
    seed: int,
    layers: int | None = None,
    selection: str = "first",
    new_classifier: bool = False,
) -> PreTrainedModel:
    """A sequence classifier for `task` over the encoder at `source`.

    Args:
        source: a folder or hub id.
        task: gives the classifier its outputs and their names.
        seed: draws what the source lacks: the classifier, mostly.
        layers: how many of the encoder's to take; None for all.
        selection: which: the "first" (the paper's), evenly "spread" ones (every second, if half are
            kept), or the "last".
        new_classifier: draw it even where the source has one, as a student's must be. That of
            another job, such as tagging, is never taken.

    Raises: ValueError where there is no model, it has fewer layers, or no stack of layers to select
    from, for a classifier that names its classes in another order, for an encoder-decoder, and for
    weights that are missing, of another shape, without a place or not finite.
    """
    if selection not in LAYER_SELECTIONS:
        raise ValueError(
            f"unknown layer_selection {selection!r}; choose one of: {', '.join(LAYER_SELECTIONS)}"
        )
    config = read_config(source)
    check_encoder_kind(config, source)
    depth = config.num_hidden_layers
    if layers is not None and not 1 <= layers <= depth:
        raise ValueError(f"{source} has {depth} layers, so {layers} of them can't be taken")
    check_label_order(config, task, source)
    changes = label_options(task)
    left_out = set()
    if layers is not None and selection == "first":
        changes["num_hidden_layers"] = layers  # the others are not even read
        left_out = further_layers(config, layers, source)
    set_seed(seed)
    network, drawn = read_weights(
        AutoModelForSequenceClassification,
        source,
        left_out=left_out,
        attn_implementation=attention_kernel(),
        **changes,
    )
    of_classifier = {name for name in network.state_dict() if not of_encoder(network, name)}
    in_part = bool(of_classifier & drawn)
    if of_classifier - drawn and (new_classifier or in_part or not classifies(config)):
        logger.info(f"{source} has a classifier; its layers are taken, with a new classifier")
        network = with_new_classifier(network, seed)
    if layers is not None and selection != "first":
        keep_layers(network, selected_layers(selection, layers, depth), source)
    return network


def load_trained(folder: str | Path, task: Task) -> PreTrainedModel:
    """A classifier that was trained on `task`, in a folder: nothing in it is drawn at random.

    Raises: ValueError for files that are not as they were written, for a classifier or pooler that
    is missing in part or in whole, and as `load_classifier` does.
    """
    refuse_damaged(Path(folder))
    config = read_config(folder)
    check_label_order(config, task, folder)
    network, drawn = read_weights(
        AutoModelForSequenceClassification,
        folder,
        attn_implementation=attention_kernel(),
        **label_options(task),
    )
    if drawn:
        raise ValueError(
            f"{folder} holds no trained classifier, as it lacks {min(drawn)}: pass the folder of "
            "a finished training, or train it again"
        )
    return network


def selected_layers(selection: str, count: int, depth: int) -> list[int]:
    """Which layers of an encoder a student takes, counted from 0.

    Args:
        selection: one of `LAYER_SELECTIONS`.
        count: layers to take.
        depth: layers there are.
    """
    if selection == "first":
        return list(range(count))
    if selection == "last":
        return list(range(depth - count, depth))
    return [round((number + 1) * depth / count) - 1 for number in range(count)]


def keep_layers(network: PreTrainedModel, indices: list[int], source: str | Path) -> None:
    """Leave a network these layers alone.

    Raises ValueError where it has no stack of them, as ALBERT, which uses one layer again and
    again.
    """
    depth = network.config.num_hidden_layers
    stacks = {}
    for name, module in network.named_modules():
        if isinstance(module, nn.ModuleList) and len(module) == depth:
            stacks[name] = module
    if len(stacks) != 1 or depth < 2:
        raise ValueError(
            f"{source} has no stack of {depth} layers of their own to select from: take its first "
            "layers"
        )
    name, stack = stacks.popitem()
    parent, _, attribute = name.rpartition(".")
    selected = nn.ModuleList(stack[index] for index in indices)
    setattr(network.get_submodule(parent), attribute, selected)
    network.config.num_hidden_layers = len(indices)


def new_student(
    kind: str,
    source: str | Path,
    task: Task,
    *,
    seed: int,
    layers: int = 4,
    embeddings: str | None = None,
) -> PreTrainedModel:
    """A student of another architecture, with random weights.

    Args:
        kind: "bilstm" or "gated-cnn".
        source: a folder or hub id whose tokenizer the student reads with.
        task: gives the classifier its outputs and their names.
        seed: draws the weights.
        layers: how many.
        embeddings: "teacher" starts its words from those of the encoder at `source`. A file of word
            vectors, one word and its numbers a line, starts those of the tokenizer's entries that
            are in it.

    Raises: ValueError for an unknown kind or an unusable file.
    """
    if kind not in STUDENTS:
        raise ValueError(f"unknown student {kind!r}; choose one of: layers, {', '.join(STUDENTS)}")
    tokenizer = load_tokenizer(source)
    width = None
    if embeddings is not None:
        vectors, known = initial_embeddings(embeddings, source, tokenizer)
        width = vectors.shape[1]
    set_seed(seed)
    config = STUDENTS[kind](
        vocab_size=len(tokenizer),
        num_hidden_layers=layers,
        embedding_size=width,
        pad_token_id=tokenizer.pad_token_id,
        **label_options(task),
    )
    network = AutoModelForSequenceClassification.from_config(config)
    if embeddings is not None:
        with torch.no_grad():
            network.words.weight[known] = vectors[known]
    return network


def initial_embeddings(
    embeddings: str, source: str | Path, tokenizer: PreTrainedTokenizerBase
) -> tuple[Tensor, Tensor]:
    """Vectors (V, E) for the tokenizer's V entries, and which of them have one, (V,).

    embeddings: "teacher" or a file; see `new_student`.

    Raises: ValueError for a file that holds none of the entries.
    """
    if embeddings == TEACHER_EMBEDDINGS:
        encoder = read_weights(AutoModel, source)[0]
        vectors = encoder.get_input_embeddings().weight.detach()
        return vectors[: len(tokenizer)], torch.ones(len(tokenizer), dtype=torch.bool)
    path = Path(embeddings).expanduser()
    if not path.is_file():
        raise ValueError(
            f"embeddings must be 'teacher' or a file of word vectors, and {embeddings!r} is neither"
        )
    found = _read_vectors(path, tokenizer.get_vocab())
    if len({len(vector) for vector in found.values()}) != 1:
        raise ValueError(
            f"{path} holds no word of the vocabulary, or vectors of several lengths: a word and "
            "its numbers a line are read"
        )
    width = len(next(iter(found.values())))
    vectors = torch.zeros(len(tokenizer), width)
    vectors[list(found)] = torch.tensor(list(found.values()))
    logger.info(f"word vectors for {len(found):,} of {len(tokenizer):,} entries from {path.name}")
    return vectors, vectors.abs().sum(1) > 0


def _read_vectors(path: Path, vocabulary: dict[str, int]) -> dict[int, list[float]]:
    """Vectors by the number of the entry they are for.

    A first line of counts, and words with spaces in them, are passed over.
    """
    found = {}
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            word, *numbers = line.rstrip().split(" ")
            if len(numbers) < 2 or word not in vocabulary:
                continue
            try:
                found[vocabulary[word]] = [float(number) for number in numbers]
            except ValueError:
                continue
    return found


def save(
    network: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, folder: Path, **options: str
) -> None:
    """`save_pretrained` of both into one folder: safetensors, for any `from_pretrained`.

    What the tokenizer was last asked to cut or pad is not saved, so that equal trainings write
    equal files, wherever they were cut off.

    options: "max_shard_size", where the library's default is too large.
    """
    transformers_logging.disable_progress_bar()
    network.save_pretrained(folder, **options)
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is not None:
        backend.no_truncation()
        backend.no_padding()
    tokenizer.save_pretrained(folder)


def parameters(module: nn.Module) -> int:
    """Number of parameters."""
    return sum(parameter.numel() for parameter in module.parameters())
