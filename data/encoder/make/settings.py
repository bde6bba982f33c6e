"""What decides how an encoder is pretrained; the defaults are those of the bundled one."""

from __future__ import annotations

import math
from dataclasses import astuple, dataclass
from itertools import accumulate

HEAD_WIDTH = 32  # hidden units of an attention head


@dataclass(frozen=True)
class WrongSegments:
    """How often the second segment is wrong, and how.

    Attributes:
        other: it comes from another paragraph, as in BERT.
        shuffled: two random words are exchanged.
        exchanged: two words of a kind are exchanged.
        replaced: one word is replaced by another of its kind.

    Raises: ValueError for values that are no probabilities of exclusive events.
    """

    other: float = 0.04
    shuffled: float = 0.06
    exchanged: float = 0.20
    replaced: float = 0.20

    def __post_init__(self) -> None:
        shares = astuple(self)
        if any(not share >= 0 for share in shares) or math.fsum(shares) > 1:
            raise ValueError(f"wrong must be four probabilities of sum 1 at most, got {shares}")

    def thresholds(self) -> tuple[float, ...]:
        """Running sums: a number below the first means `other`, below the second `shuffled`, ..."""
        return tuple(accumulate(astuple(self)))


@dataclass(frozen=True)
class PretrainingConfig:
    """An encoder and the text that it reads.

    Attributes:
        name: of this configuration.
        layers, width: of the encoder; the width counts hidden units.
        vocabulary: entries of the tokenizer, at most.
        batch_size: examples a step.
        max_length: tokens an example.
        learning_rate: peak.
        text_share: probability that an example is a passage of the text file. The others are
            discourse of the synthetic suite.
        wrong: how the second segment is made wrong.

    Raises: ValueError for a width or a share that can't be used.
    """

    name: str = "narrow-12"
    layers: int = 12
    width: int = 128
    vocabulary: int = 8192
    batch_size: int = 32
    max_length: int = 128
    learning_rate: float = 1e-3
    text_share: float = 1 / 3
    wrong: WrongSegments = WrongSegments()

    def __post_init__(self) -> None:
        if self.width % HEAD_WIDTH:
            raise ValueError(f"the width must be a multiple of {HEAD_WIDTH}, got {self.width}")
        if not 0 <= self.text_share <= 1:
            raise ValueError(f"the text's share must lie between 0 and 1, got {self.text_share}")


NARROW_12 = PretrainingConfig()
