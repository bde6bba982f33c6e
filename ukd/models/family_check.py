"""Two texts read by a network before any training: does it fit pseudo classifiers?

B batch, N tokens, L layers, D hidden size.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn
from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

from ukd.heads import pool

SUITABLE = "pass an encoder, such as those of BERT, RoBERTa, DistilBERT, MPNet or DeBERTa"
TOLERANCE = 1e-3  # of the largest value; float32 differs by about 1e-6


def check_encoder_kind(config: PreTrainedConfig, source: str | Path) -> None:
    """Raise ValueError for an encoder-decoder, and for a network without layers that are named."""
    if config.is_encoder_decoder:
        raise ValueError(
            f"{source} is an encoder-decoder ({config.model_type}), whose layers are not one "
            f"stack: {SUITABLE}"
        )
    for size in ("num_hidden_layers", "hidden_size"):
        if not isinstance(getattr(config, size, None), int):
            raise ValueError(f"the config.json of {source} has no {size}: {SUITABLE}")


def check_layers(config: PreTrainedConfig, source: str | Path) -> None:
    """Raise ValueError for a teacher that has no layer below the last."""
    if config.num_hidden_layers < 2:
        raise ValueError(
            f"a teacher needs at least 2 layers, as its pseudo classifiers sit below the last, and "
            f"{config.num_hidden_layers} is taken from {source}: take more (--teacher-depth), or a "
            "deeper encoder (--teacher)"
        )


def check_family(
    network: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    source: str | Path,
    max_length: int,
    *,
    texts: int = 1,
) -> None:
    """Read a short and a long example, alone and in one batch, on the CPU.

    Args:
        network: a sequence classifier, as loaded.
        tokenizer: what its texts are read with.
        source: where it is from, for the errors.
        max_length: tokens an example is cut to.
        texts: of an example, 1 or 2.

    Raises: ValueError for a tokenizer without padding or with more entries than the network has
    embeddings, too few positions, hidden states that are not one for each layer, a decoder, and a
    network that reads an example otherwise when a longer one is beside it.
    """
    if tokenizer.pad_token is None:
        raise ValueError(
            f"the tokenizer of {source} has no padding token, as those of decoders: {SUITABLE}"
        )
    _check_entries(network, tokenizer, source)
    _check_positions(network, source, max_length)
    was_training = network.training
    network.eval()
    short, long = (_example("a b", texts), _example("a " * max_length, texts))
    alone = _read(network, tokenizer, source, [short], max_length)
    batch = _read(network, tokenizer, source, [short, long], max_length)
    other = _read(network, tokenizer, source, [_example("a a", texts)], max_length)
    network.train(was_training)
    if torch.equal(alone[0], other[0]):
        raise ValueError(
            f"the first token of {source} ({network.config.model_type}), which pseudo classifiers "
            f"read, sees no other, as in decoders: {SUITABLE}"
        )
    alone, batch = torch.cat(alone), torch.cat(batch)
    apart = (alone - batch).abs().max()
    if not apart <= TOLERANCE * max(1.0, float(alone.abs().max())):
        raise ValueError(
            f"{source} ({network.config.model_type}) reads a text otherwise when a longer one is "
            f"beside it (by {apart:.2g}), as its padding enters: {SUITABLE}"
        )


def _check_entries(
    network: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, source: str | Path
) -> None:
    try:
        embeddings = network.get_input_embeddings().weight.shape[0]
    except NotImplementedError:  # CANINE hashes its characters
        return
    entries = max(tokenizer.get_vocab().values()) + 1
    if entries > embeddings:
        raise ValueError(
            f"the tokenizer of {source} has {entries} entries, and its network {embeddings} "
            "embeddings: pass the tokenizer it was trained with, or call "
            "resize_token_embeddings before save_pretrained"
        )


def _check_positions(network: PreTrainedModel, source: str | Path, max_length: int) -> None:
    for name, table in network.named_modules():
        if not name.endswith(("position_embeddings", "wpe")) or not isinstance(table, nn.Embedding):
            continue
        # RoBERTa counts from after the padding's number.
        first = 0 if table.padding_idx is None else table.padding_idx + 1
        positions = table.num_embeddings - first
        if max_length > positions:
            raise ValueError(
                f"{source} has positions for {positions} tokens, and {max_length} are asked for: "
                f"lower --max-length to {positions}"
            )


def _example(text: str, texts: int) -> tuple[str, ...]:
    return (text,) * texts


def _read(
    network: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    source: str | Path,
    examples: list[tuple[str, ...]],
    max_length: int,
) -> tuple[Tensor, Tensor]:
    """What becomes of the first example: its pooled states (L * D,) and its logits (C,)."""
    columns = [list(column) for column in zip(*examples, strict=True)]
    inputs = tokenizer(
        *columns, truncation=True, max_length=max_length, padding=True, return_tensors="pt"
    )
    try:
        with torch.no_grad():
            output = network(**inputs, output_hidden_states=True)
    except (IndexError, RuntimeError, TypeError, ValueError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ValueError(
            f"{source} ({network.config.model_type}) can't read {inputs['input_ids'].shape[1]} "
            f"tokens of its tokenizer ({reason}): {SUITABLE}"
        ) from error
    config = network.config
    states = output.hidden_states or ()
    expected = (*inputs["input_ids"].shape, config.hidden_size)
    if len(states) != config.num_hidden_layers + 1 or any(
        tuple(layer.shape) != expected for layer in states[1:]
    ):
        raise ValueError(
            f"{source} ({config.model_type}) gives {len(states)} hidden states of shapes "
            f"{sorted({tuple(layer.shape) for layer in states})}, and "
            f"{config.num_hidden_layers + 1} of {expected} are needed: {SUITABLE}"
        )
    pooling = getattr(config, "pooling", "first")
    pooled = [pool(layer, inputs["attention_mask"], pooling)[0] for layer in states[1:]]
    return torch.cat(pooled), output.logits[0]
