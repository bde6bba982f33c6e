"""Students of another architecture: a BiLSTM and a gated CNN, as transformers models like any other.

B batch, N tokens, D hidden size, C classes (1 for regression). Source: students of these two kinds are the paper's third
scenario (a secondary summary); sizes, pooling and embeddings are our choice.
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


class BiLSTMConfig(PreTrainedConfig):
    """Sizes of a BiLSTM. `hidden_size` counts both directions together; `embedding_size` is the same unless it is given."""

    model_type = "ukd-bilstm"

    def __init__(
        self,
        vocab_size=2000,
        hidden_size=128,
        num_hidden_layers=2,
        embedding_size=None,
        dropout=0.1,
        pad_token_id=0,
        **others,
    ):
        self.vocab_size, self.hidden_size, self.num_hidden_layers, self.dropout = (
            vocab_size,
            hidden_size,
            num_hidden_layers,
            dropout,
        )
        self.embedding_size, self.pooling = embedding_size or hidden_size, "max"
        super().__init__(pad_token_id=pad_token_id, **others)


class GatedCNNConfig(PreTrainedConfig):
    """Sizes of a gated CNN: `kernel` is the width of a convolution in tokens, an odd number; the others as of a BiLSTM."""

    model_type = "ukd-gated-cnn"

    def __init__(
        self,
        vocab_size=2000,
        hidden_size=128,
        num_hidden_layers=4,
        embedding_size=None,
        dropout=0.1,
        pad_token_id=0,
        **others,
    ):
        self.vocab_size, self.hidden_size, self.num_hidden_layers, self.dropout = (
            vocab_size,
            hidden_size,
            num_hidden_layers,
            dropout,
        )
        self.embedding_size, self.pooling = embedding_size or hidden_size, "max"
        self.kernel = others.pop("kernel", 5)
        super().__init__(pad_token_id=pad_token_id, **others)


class Student(PreTrainedModel):
    """What both share: embeddings of tokens and segments, layers, masked max pooling, a linear classifier."""

    main_input_name = "input_ids"

    def __init__(self, config: PreTrainedConfig) -> None:
        super().__init__(config)
        self.words = nn.Embedding(
            config.vocab_size, config.embedding_size, padding_idx=config.pad_token_id
        )
        same = config.embedding_size == config.hidden_size
        self.widen = nn.Identity() if same else nn.Linear(config.embedding_size, config.hidden_size)
        self.segments = nn.Embedding(2, config.hidden_size)
        self.dropout = nn.Dropout(config.dropout)
        self.layers = nn.ModuleList(self.layer(config) for _ in range(config.num_hidden_layers))
        self.classifier = nn.Linear(config.hidden_size, config.num_labels)
        self.post_init()

    def layer(self, config: PreTrainedConfig) -> nn.Module:
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
        """input_ids: (B, N) -> logits (B, C), and on request the embeddings and every layer's states, each (B, N, D)."""
        mask = (
            (input_ids != self.config.pad_token_id)
            if attention_mask is None
            else attention_mask.bool()
        )
        states = self.widen(self.words(input_ids))
        if token_type_ids is not None:
            states = states + self.segments(token_type_ids)
        every = [states]
        for layer in self.layers:
            every.append(layer(self.dropout(every[-1]), mask))
        logits = self.classifier(self.dropout(pool(every[-1], mask, self.config.pooling)))
        loss = None
        if labels is not None:
            loss = (
                F.mse_loss(logits.squeeze(-1), labels.float())
                if self.config.num_labels == 1
                else F.cross_entropy(logits, labels)
            )
        return SequenceClassifierOutput(
            loss=loss, logits=logits, hidden_states=tuple(every) if output_hidden_states else None
        )


class BiLSTMLayer(nn.Module):
    """A bidirectional LSTM over the tokens of each example, padding at their end left out, in float32.

    Two LSTMs of one direction, the second on the tokens turned round: torch's packed sequences, which do the same, take about
    twice as long on a CPU and make the host wait for a GPU.
    """

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.onwards = nn.LSTM(hidden, hidden // 2, batch_first=True)
        self.backwards = nn.LSTM(hidden, hidden // 2, batch_first=True)

    def forward(self, states: Tensor, mask: Tensor) -> Tensor:
        """(B, N, D) and (B, N) to (B, N, D); what stands at the padding is to be left out by whoever reads it."""
        place, length = (
            torch.arange(states.shape[1], device=states.device),
            mask.sum(1, keepdim=True),
        )
        turned = torch.where(place < length, length - 1 - place, place).unsqueeze(-1)  # (B, N, 1)
        with torch.autocast(states.device.type, enabled=False):
            states = states.float()
            back = self.backwards(states.gather(1, turned.expand_as(states)))[0]
            return torch.cat([self.onwards(states)[0], back.gather(1, turned.expand_as(back))], -1)


class GatedConvLayer(nn.Module):
    """A convolution with a gate (Dauphin et al. 2017), around which the states also pass unchanged."""

    def __init__(self, hidden: int, kernel: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(hidden)
        self.convolution = nn.Conv1d(hidden, 2 * hidden, kernel, padding=kernel // 2)

    def forward(self, states: Tensor, mask: Tensor) -> Tensor:
        """(B, N, D) and (B, N) to (B, N, D); padding enters as zeros."""
        shown = (
            (self.norm(states) * mask.unsqueeze(-1)).transpose(1, 2).unsqueeze(2)
        )  # (B, D, 1, N): on a CPU half the time of Conv1d
        kernel, width = self.convolution.weight.unsqueeze(2), self.convolution.kernel_size[0]
        convolved = F.conv2d(shown, kernel, self.convolution.bias, padding=(0, width // 2)).squeeze(
            2
        )
        return states + F.glu(convolved, dim=1).transpose(1, 2)


class BiLSTMForSequenceClassification(Student):
    """BiLSTM classifier."""

    config_class = BiLSTMConfig

    def layer(self, config: BiLSTMConfig) -> nn.Module:
        """One bidirectional layer."""
        return BiLSTMLayer(config.hidden_size)


class GatedCNNForSequenceClassification(Student):
    """Gated CNN classifier."""

    config_class = GatedCNNConfig

    def layer(self, config: GatedCNNConfig) -> nn.Module:
        """One gated convolution."""
        return GatedConvLayer(config.hidden_size, config.kernel)


STUDENTS = {"bilstm": BiLSTMConfig, "gated-cnn": GatedCNNConfig}
for kind, network in (
    (BiLSTMConfig, BiLSTMForSequenceClassification),
    (GatedCNNConfig, GatedCNNForSequenceClassification),
):
    AutoConfig.register(kind.model_type, kind)
    AutoModelForSequenceClassification.register(kind, network)
