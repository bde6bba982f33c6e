"""Weights of a folder or hub id, of which none may be missing, unknown or not finite unnoticed."""

from __future__ import annotations

import copy
import logging
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from safetensors import SafetensorError
from transformers import (
    AutoConfig,
    AutoModelForSequenceClassification,
    PreTrainedConfig,
    PreTrainedModel,
    set_seed,
)
from transformers.utils import logging as transformers_logging

from ukd.config.runtime import attention_kernel, logger

POOLER = "pooler"  # belongs to a classifier: pretraining by masked words has none
# First names of weights that only pretraining or another job needs.
HEADS = (
    "classifier",
    "cls",
    "decoder",
    "discriminator_predictions",
    "generator_lm_head",
    "generator_predictions",
    "head",
    "lm_head",
    "lm_loss",
    "lm_predictions",
    "mask_predictions",
    "pooler",
    "pre_classifier",
    "predictions",
    "qa_outputs",
    "score",
    "sop_classifier",
    "vocab_layer_norm",
    "vocab_projector",
    "vocab_transform",
)
REMEDY = "pass a folder made by save_pretrained"
PICKLED = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl", "*.h5")
LIBRARY = logging.getLogger("transformers.modeling_utils")


def read_config(source: str | Path, **changes: object) -> PreTrainedConfig:
    """The configuration of a folder or hub id, with some of its values changed.

    Raises: ValueError where there is none, and for a network that only its own code describes.
    """
    with sources_explained(source):
        return AutoConfig.from_pretrained(str(source), trust_remote_code=False, **changes)


def read_weights(
    auto: type, source: str | Path, *, left_out: Iterable[str] = (), **options: object
) -> tuple[PreTrainedModel, set[str]]:
    """A network with its weights in float32.

    Args:
        auto: one of transformers' Auto classes.
        source: a folder or hub id.
        left_out: names of weights that are there and not wanted, those of further layers.
        options: of `from_pretrained`. Pickled weights and the source's own code stay unread.

    Returns: (network, names of the weights that the source lacks, which were drawn).

    Raises: ValueError for weights that are missing, that have another shape or no place in the
    network, unless they are those of a classifier, pooler or of words to guess, and for weights
    that are not finite.
    """
    _refuse_pickles(source)
    with _own_report(), sources_explained(source):
        network, report = auto.from_pretrained(
            str(source),
            dtype=torch.float32,
            use_safetensors=True,
            trust_remote_code=False,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # the report has them, and `_check_shapes` refuses them
            **options,
        )
    _check_shapes(network, report, source)
    _check_names(network, report, source, set(left_out))
    for name, weight in network.named_parameters():
        if not torch.isfinite(weight).all():
            raise ValueError(
                f"the weights of {source} are damaged: {name} holds values that are not finite; "
                "restore the files, or pass another model"
            )
    return network, set(report["missing_keys"]) | {entry[0] for entry in report["mismatched_keys"]}


def _refuse_pickles(source: str | Path) -> None:
    """Raise ValueError for a folder whose weights are pickled alone: reading them can run code."""
    folder = Path(source)
    if any(folder.glob("*.safetensors")):
        return
    pickled = sorted(path.name for pattern in PICKLED for path in folder.glob(pattern))
    if pickled:
        raise ValueError(
            f"{folder / pickled[0]} is a pickle, which can run code when it is read: pass a folder "
            "with safetensors, which save_pretrained writes"
        )


def with_new_classifier(network: PreTrainedModel, seed: int) -> PreTrainedModel:
    """The same encoder under a classifier that the seed draws."""
    set_seed(seed)
    drawn = AutoModelForSequenceClassification.from_config(
        network.config, dtype=torch.float32, attn_implementation=attention_kernel()
    )
    drawn.base_model.load_state_dict(network.base_model.state_dict())
    return drawn.eval()


def further_layers(config: PreTrainedConfig, layers: int, source: str | Path) -> set[str]:
    """Names of the weights of a classifier that one with its first `layers` alone has not."""
    names = []
    for depth in (config.num_hidden_layers, layers):
        part = copy.deepcopy(config)
        part.num_hidden_layers = depth
        with sources_explained(source), torch.device("meta"):  # nothing is drawn
            names.append(set(AutoModelForSequenceClassification.from_config(part).state_dict()))
    return names[0] - names[1]


def of_encoder(network: PreTrainedModel, name: str) -> bool:
    """Whether a weight of the network, as the network names it, is not its classifier's."""
    return network.base_model is network or name.startswith(f"{network.base_model_prefix}.")


def _check_shapes(network: PreTrainedModel, report: dict, source: str | Path) -> None:
    """Raise ValueError for an encoder's weights of another shape than the network has."""
    for name, found, wanted in report["mismatched_keys"]:
        if of_encoder(network, name):
            raise ValueError(
                f"weights of {source} have another shape than its config.json says: {name} is "
                f"{tuple(found)}, and {tuple(wanted)} is needed; {REMEDY}"
            )


def _check_names(
    network: PreTrainedModel, report: dict, source: str | Path, left_out: set[str]
) -> None:
    """Raise ValueError for an encoder's weights that are missing or have no place."""

    # A checkpoint of the encoder alone has no prefix.
    def bare(name: str) -> str:
        return name.removeprefix(f"{network.base_model_prefix}.")

    encoder = {name.split(".")[0] for name in network.base_model.state_dict()} - {POOLER}
    unexpected = {bare(name) for name in report["unexpected_keys"]}
    left_out = {bare(name) for name in left_out}
    # Layers that are not taken must be there as well: else the files are not what they say.
    there = {_layer(name) for name in unexpected}
    missing = {name for name in left_out if _layer(name) not in there}
    for name in report["missing_keys"]:
        if of_encoder(network, name) and bare(name).split(".")[0] in encoder:
            missing.add(name)
    without_place = [name for name in unexpected - left_out if name.split(".")[0] in encoder]
    others = {name.split(".")[0] for name in unexpected} - encoder - set(HEADS)
    for names, state in ((missing, "missing"), (without_place, "unknown to its network")):
        if names:
            raise ValueError(
                f"{len(names)} weights of {source} are {state}, such as {min(names)}"
                f"{_instead(others)}: its config.json describes another network than its files; "
                f"{REMEDY}"
            )
    if others:
        logger.warning(f"{source} has weights that are not used: {', '.join(sorted(others))}")


def _layer(name: str) -> str:
    """A weight's name up to the number of its layer."""
    return re.match(r".*?\.\d+(?=\.)|.*", name)[0]


def _instead(others: set[str]) -> str:
    """What the files have that the network has not, in brackets."""
    return f" (there are weights of {', '.join(sorted(others))} instead)" if others else ""


@contextmanager
def _own_report() -> Iterator[None]:
    """Leave out the library's table of weights, in whose place our own checks stand."""
    transformers_logging.disable_progress_bar()  # stays off: ours are the bars that count

    def other(line: logging.LogRecord) -> bool:
        return "LOAD REPORT" not in line.getMessage()

    LIBRARY.addFilter(other)
    try:
        yield
    finally:
        LIBRARY.removeFilter(other)


@contextmanager
def sources_explained(source: str | Path) -> Iterator[None]:
    """Turn what the library raises for a source without a model into a ValueError with a remedy."""
    try:
        yield
    except (
        AssertionError,
        AttributeError,
        OSError,
        RuntimeError,
        SafetensorError,
        ValueError,
    ) as error:
        if "trust_remote_code" in str(error):
            raise ValueError(
                f"{source} brings code of its own, which the kit never runs: pass an encoder of a "
                "kind that transformers has"
            ) from error
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ValueError(
            f"no model could be loaded from {str(source)!r}: pass a folder made by "
            f"save_pretrained, or a hub id where the hub can be reached ({reason})"
        ) from error
