"""Students of another architecture, as transformers models: a BiLSTM and a gated CNN.

B batch, N tokens, D hidden size, E embedding size, C classes (1 for regression).

Source: students of these two kinds are the paper's third scenario, from a secondary summary. Sizes,
pooling and embeddings are our choice.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import (
    AutoConfig,
    AutoModelForSequenceClassification,
    PreTrainedConfig,
    PreTrainedModel,
)
from transformers.modeling_outputs import SequenceClassifierOutput

from ukd.heads import pool


class StudentConfig(PreTrainedConfig):
    """Sizes that both architectures have.

    Attributes:
        vocab_size: entries of the tokenizer.
        hidden_size: D; of a BiLSTM both directions together.
        num_hidden_layers: layers.
        embedding_size: E, by default D.
        dropout: its rate.
        pooling: of the last states, for the classifier.
    """

    def __init__(  # noqa: PLR0913
        self,
        vocab_size: int = 2000,
        hidden_size: int = 128,
        num_hidden_layers: int = 4,
        embedding_size: int | None = None,
        dropout: float = 0.1,
        pad_token_id: int = 0,
        **others: object,
    ) -> None:
        self.vocab_size = vocab_size
        self.hidden_size = hidden_size
        self.num_hidden_layers = num_hidden_layers
        self.embedding_size = embedding_size or hidden_size
        self.dropout = dropout
        self.pooling = "max"
        super().__init__(pad_token_id=pad_token_id, **others)


class BiLSTMConfig(StudentConfig):
    """Sizes of a BiLSTM."""

    model_type = "ukd-bilstm"

    # transformers gives a configuration without one an __init__ of its own.
    def __init__(self, **sizes: object) -> None:
        super().__init__(**sizes)


class GatedCNNConfig(StudentConfig):
    """Sizes of a gated CNN; `kernel` is the width of a convolution in tokens, an odd number."""

    model_type = "ukd-gated-cnn"

    def __init__(self, kernel: int = 5, **sizes: object) -> None:
        self.kernel = kernel
        super().__init__(**sizes)


class StudentForSequenceClassification(PreTrainedModel):
    """Embeddings of tokens and segments, layers, masked max pooling, a linear classifier."""

    main_input_name = "input_ids"

    def __init__(self, config: StudentConfig) -> None:
        super().__init__(config)
        self.words = nn.Embedding(
            config.vocab_size, config.embedding_size, padding_idx=config.pad_token_id
        )
        self.widen: nn.Module = nn.Identity()
        if config.embedding_size != config.hidden_size:
            self.widen = nn.Linear(config.embedding_size, config.hidden_size)
        self.segments = nn.Embedding(2, config.hidden_size)
        self.dropout = nn.Dropout(config.dropout)
        self.layers = nn.ModuleList(
            self.make_layer(config) for _ in range(config.num_hidden_layers)
        )
        self.classifier = nn.Linear(config.hidden_size, config.num_labels)
        self.post_init()

    def make_layer(self, config: StudentConfig) -> nn.Module:
        """One layer, from states (B, N, D) and mask (B, N) to states (B, N, D)."""
        raise NotImplementedError

    def get_input_embeddings(self) -> nn.Embedding:
        """The token embeddings."""
        return self.words

    def set_input_embeddings(self, value: nn.Embedding) -> None:
        """Replace the token embeddings."""
        self.words = value

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        labels: Tensor | None = None,
        output_hidden_states: bool = False,
        **_: object,
    ) -> SequenceClassifierOutput:
        """input_ids (B, N) -> logits (B, C).

        output_hidden_states: also return the embeddings and every layer's states, each (B, N, D).
        """
        if attention_mask is None:
            mask = input_ids != self.config.pad_token_id
        else:
            mask = attention_mask.bool()
        states = self.widen(self.words(input_ids))
        if token_type_ids is not None:
            states = states + self.segments(token_type_ids)
        hidden_states = [states]
        for layer in self.layers:
            hidden_states.append(layer(self.dropout(hidden_states[-1]), mask))
        pooled = pool(hidden_states[-1], mask, self.config.pooling)
        logits = self.classifier(self.dropout(pooled))
        return SequenceClassifierOutput(
            loss=None if labels is None else self._loss(logits, labels),
            logits=logits,
            hidden_states=tuple(hidden_states) if output_hidden_states else None,
        )

    def _loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        if self.config.num_labels == 1:
            return F.mse_loss(logits.squeeze(-1), labels.float())
        return F.cross_entropy(logits, labels)


class BiLSTMLayer(nn.Module):
    """A bidirectional LSTM over the tokens of each example, in float32; padding is left out.

    Two LSTMs of one direction, the second on the tokens in reverse. torch's packed sequences do the
    same, take about twice as long on a CPU, and make the host wait for a GPU.
    """

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.onwards = nn.LSTM(hidden, hidden // 2, batch_first=True)
        self.backwards = nn.LSTM(hidden, hidden // 2, batch_first=True)

    def forward(self, states: Tensor, mask: Tensor) -> Tensor:
        """(B, N, D) and (B, N) -> (B, N, D); the values at padding have no meaning."""
        position = torch.arange(states.shape[1], device=states.device)
        length = mask.sum(1, keepdim=True)
        reverse = torch.where(position < length, length - 1 - position, position)
        reverse = reverse.unsqueeze(-1)  # (B, N, 1)
        with torch.autocast(states.device.type, enabled=False):
            states = states.float()
            back = self.backwards(states.gather(1, reverse.expand_as(states)))[0]
            back = back.gather(1, reverse.expand_as(back))
            return torch.cat([self.onwards(states)[0], back], -1)


class GatedConvLayer(nn.Module):
    """A convolution with a gate, and the states themselves added to it.

    Source: Dauphin et al. 2017.
    """

    def __init__(self, hidden: int, kernel: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(hidden)
        self.convolution = nn.Conv1d(hidden, 2 * hidden, kernel, padding=kernel // 2)

    def forward(self, states: Tensor, mask: Tensor) -> Tensor:
        """(B, N, D) and (B, N) -> (B, N, D); padding enters as zeros."""
        visible = self.norm(states) * mask.unsqueeze(-1)
        # As a picture of height 1: on a CPU conv2d takes half the time of conv1d.
        picture = visible.transpose(1, 2).unsqueeze(2)  # (B, D, 1, N)
        kernel = self.convolution.weight.unsqueeze(2)
        padding = (0, self.convolution.kernel_size[0] // 2)
        convolved = F.conv2d(picture, kernel, self.convolution.bias, padding=padding).squeeze(2)
        return states + F.glu(convolved, dim=1).transpose(1, 2)


class BiLSTMForSequenceClassification(StudentForSequenceClassification):
    """BiLSTM classifier."""

    config_class = BiLSTMConfig

    def make_layer(self, config: BiLSTMConfig) -> nn.Module:
        """One bidirectional layer."""
        return BiLSTMLayer(config.hidden_size)


class GatedCNNForSequenceClassification(StudentForSequenceClassification):
    """Gated CNN classifier."""

    config_class = GatedCNNConfig

    def make_layer(self, config: GatedCNNConfig) -> nn.Module:
        """One gated convolution."""
        return GatedConvLayer(config.hidden_size, config.kernel)


STUDENTS = {"bilstm": BiLSTMConfig, "gated-cnn": GatedCNNConfig}

for network in (BiLSTMForSequenceClassification, GatedCNNForSequenceClassification):
    AutoConfig.register(network.config_class.model_type, network.config_class)
    AutoModelForSequenceClassification.register(network.config_class, network)
