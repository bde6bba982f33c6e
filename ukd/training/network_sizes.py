"""Sizes of networks from their configurations alone: operations, parameters, memory to train.

Works offline: sizes of the hub's encoders are stated here, those of a folder are read.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from transformers import (
    AutoModelForSequenceClassification,
    BertConfig,
    PreTrainedConfig,
)

from ukd.config.presets import TrainingConfig
from ukd.models.bundled import BUNDLED, RANDOM_INIT, bundled_encoder
from ukd.models.encoders import TEACHER_EMBEDDINGS, parameters
from ukd.models.loading import read_config
from ukd.models.students import STUDENTS

# As published with each model.
HUB_SIZES = {
    "bert-base-uncased": {
        "num_hidden_layers": 12,
        "hidden_size": 768,
        "num_attention_heads": 12,
        "intermediate_size": 3072,
        "vocab_size": 30522,
    },
    "roberta-large": {
        "num_hidden_layers": 24,
        "hidden_size": 1024,
        "num_attention_heads": 16,
        "intermediate_size": 4096,
        "vocab_size": 50265,
    },
    "distilroberta-base": {
        "num_hidden_layers": 6,
        "hidden_size": 768,
        "num_attention_heads": 12,
        "intermediate_size": 3072,
        "vocab_size": 50265,
    },
    "google/bert_uncased_L-12_H-256_A-4": {
        "num_hidden_layers": 12,
        "hidden_size": 256,
        "num_attention_heads": 4,
        "intermediate_size": 1024,
        "vocab_size": 30522,
    },
}
# What families call the width inside a feed-forward block.
INNER_WIDTHS = ("intermediate_size", "hidden_dim", "d_inner", "n_inner")
BYTES = {"float32": 4, "bf16": 2, "fp16": 2}
MULTIPLY_ADD = 2  # operations
DIRECTIONS = 2  # of a BiLSTM
GATES = 4  # of an LSTM


@dataclass(frozen=True)
class NetworkSize:
    """A network's size, from its configuration."""

    config: PreTrainedConfig

    @property
    def layers(self) -> int:
        """Layers that have a classifier each."""
        return self.config.num_hidden_layers

    def forward(self, tokens: float) -> float:
        """Floating-point operations of one example; embeddings and classifier are left out.

        tokens: of the example, or their mean.
        """
        width = self.config.hidden_size
        if self.config.model_type == "ukd-bilstm":
            state = width // DIRECTIONS
            products = DIRECTIONS * GATES * state * (width + state)
        elif self.config.model_type == "ukd-gated-cnn":
            products = self.config.kernel * width * 2 * width
        else:
            # Four square matrices, the feed-forward block, and scores and sums over the tokens.
            products = 4 * width**2 + 2 * width * self._inner_width() + 2 * tokens * width
        return tokens * self.layers * MULTIPLY_ADD * products

    def _inner_width(self) -> int:
        for name in INNER_WIDTHS:
            if isinstance(width := getattr(self.config, name, None), int):
                return width
        return 4 * self.config.hidden_size

    def parameters(self) -> int:
        """Number of weights, embeddings included."""
        with torch.device("meta"):
            return parameters(AutoModelForSequenceClassification.from_config(self.config))

    def training_bytes(self, batch_size: int, tokens: int, precision: str) -> float:
        """Memory to train, in bytes.

        In float32 the weights, gradients, two moments and the best epoch's weights; autocast's
        copy of the weights; and activations, 34 + 5 a n / h bytes a unit in 16 bits (Korthikanti et
        al. 2022).
        """
        width = self.config.hidden_size
        heads = getattr(self.config, "num_attention_heads", 0)
        units = batch_size * tokens * width * self.layers
        activations = units * (34 + 5 * heads * tokens / width) * BYTES[precision] / 2
        autocast_copy = 0 if precision == "float32" else 2
        return (20 + autocast_copy) * self.parameters() + activations


def teacher_size(config: TrainingConfig) -> NetworkSize:
    """The size of the config's teacher."""
    return encoder_size(config.encoder, config.teacher_depth)


def student_size(config: TrainingConfig) -> NetworkSize:
    """The size of the config's student."""
    if config.student == "layers":
        return encoder_size(config.encoder, config.student_depth)
    if config.student not in STUDENTS:
        return encoder_size(config.student)
    encoder = encoder_size(config.encoder).config
    width = encoder.hidden_size if config.embeddings == TEACHER_EMBEDDINGS else None
    network = STUDENTS[config.student](
        vocab_size=encoder.vocab_size,
        num_hidden_layers=config.student_depth,
        embedding_size=width,
    )
    return NetworkSize(network)


def encoder_size(encoder: str, layers: int | None = None) -> NetworkSize:
    """The size of an encoder, or of so many of its layers.

    Raises: ValueError for one that is neither bundled, nor a folder, nor in `HUB_SIZES`.
    """
    changes = {} if layers is None else {"num_hidden_layers": layers}
    if encoder in HUB_SIZES:
        return NetworkSize(BertConfig(**HUB_SIZES[encoder] | changes))
    folder = bundled_encoder() if encoder in (BUNDLED, RANDOM_INIT) else Path(encoder)
    if not (folder / "config.json").is_file():
        raise ValueError(
            f"the sizes of {encoder!r} are not known; pass a folder with its config.json, or one "
            f"of: {', '.join(HUB_SIZES)}"
        )
    return NetworkSize(read_config(folder, **changes))
