"""Running text as a GPU reads it: all tokens stay on the device, where rows are cut, spoiled and masked; nothing is padded."""

from __future__ import annotations

import copy
import random
from collections.abc import Iterable, Iterator
from itertools import chain, islice
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from data.encoder.make.text import SENTENCE_END, Wrong, share
from ukd.data.batches import Batch

PACKED = Wrong(other=0.25, shuffled=0.25, exchanged=0.0, replaced=0.0)
ASKED, MASKED, RANDOM = (
    0.15,
    0.8,
    0.1,
)  # BERT's shares: of all places, and of those asked for (Devlin et al. 2019, section 3.1)
SHORTER = (
    4,
    2,
    1,
    1,
)  # parts of the length that a batch's rows have: a quarter, half, and twice as often all of it (our choice)
LEAST = 8  # tokens of the shortest rows
LINES = 20_000


class Running(NamedTuple):
    """tokens: (N,) of running text; starts: (S,), ascending, the places at which sentences start."""

    tokens: Tensor
    starts: Tensor


def check_wrong(wrong: Wrong) -> None:
    """Raise ValueError for wrong segments that packed text does not have."""
    if wrong.exchanged or wrong.replaced:
        raise ValueError(
            f"in packed text no two of a kind are exchanged and none is replaced: pass 0 for both, got {tuple(wrong)}"
        )


class PackedText:
    """Batches of BERT's two tasks from running text, every one of as many tokens, made on the device.

    A row is [CLS] first [SEP] second [SEP]. The first segment starts with a sentence; the second goes on where it ends, with a
    sentence of its own where there is room, over the ends of documents, too. With `wrong.other` it is from elsewhere instead, with
    `wrong.shuffled` two of its tokens are exchanged, and the right ones asked for. Wrong segments of a kind take words, not tokens: for
    them there is `ukd.text.PairedText`. Raises ValueError for these, and for a length that can't be parted.
    """

    held_out_batches = 8

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        length: int,
        batch: int,
        paragraphs: Iterable[str] = (),
        wrong: Wrong = PACKED,
        device: str | torch.device = "cpu",
    ) -> None:
        check_wrong(wrong)
        if length % max(SHORTER) or length < LEAST * max(SHORTER):
            raise ValueError(
                f"packed text has rows of a multiple of {max(SHORTER)} tokens, {LEAST * max(SHORTER)} at least, got {length}"
            )
        self.tokenizer, self.length, self.batch, self.wrong, self.device = (
            tokenizer,
            length,
            batch,
            wrong,
            device,
        )
        self.running = self.read(paragraphs)

    def source(self, first: int) -> Running:
        """The text that batches are made from, the same for every seed."""
        return self.running

    def epoch(self, first: int, steps: int, epoch: int, rank: int, world: int) -> Iterator[Batch]:
        """`steps` batches drawn for this epoch alone; every process makes all and takes its share."""
        for batch in islice(self.batches(self.running, seed=first + epoch), steps):
            yield share(batch, rank, world)

    def read(self, paragraphs: Iterable[str]) -> Running:
        """Paragraphs in their order as running text."""
        sentences = chain.from_iterable(map(SENTENCE_END.split, paragraphs))
        whole = copy.deepcopy(
            self.tokenizer.backend_tokenizer
        )  # a saved tokenizer may cut what it reads, or fill it up
        whole.no_truncation()
        whole.no_padding()
        encode = whole.encode_batch_fast
        found = [np.zeros(0, dtype=np.int64)]
        while lines := list(islice(sentences, LINES)):
            found += [
                np.array(line.ids, dtype=np.int64)
                for line in encode(lines, add_special_tokens=False)
                if line.ids
            ]
        starts = np.cumsum([len(line) for line in found])[:-1]
        return Running(
            torch.from_numpy(np.concatenate(found)).to(self.device),
            torch.from_numpy(starts).to(self.device),
        )

    def batches(self, running: Running, seed: int) -> Iterator[Batch]:
        """Endless batches. `labels`: (B, tokens), -100 where nothing is asked for; `rows`: (B,), 1 for a wrong second segment.

        Raises ValueError for a text too short to cut rows from.
        """
        fits = running.starts[running.starts < len(running.tokens) - 2 * self.length]
        if not len(fits):
            raise ValueError(
                f"a text of {len(running.tokens)} tokens is too short for rows of {self.length}: pass a longer one"
            )
        rng, lengths = torch.Generator(self.device).manual_seed(seed), random.Random(seed)
        while True:
            part = lengths.choice(SHORTER)
            shown, right, second, wrong = self.rows(
                running, fits, self.length // part, self.batch * part, rng
            )
            shown, labels = self.masked(shown, right, rng)
            yield Batch({"input_ids": shown, "token_type_ids": second.long()}, labels, wrong.long())

    def rows(
        self, running: Running, fits: Tensor, length: int, count: int, rng: torch.Generator
    ) -> tuple[Tensor, ...]:
        """As shown and right tokens (count, length), where the second segment is, and (count,) which of these are wrong."""
        room, draw = length - 3, lambda *size: torch.rand(*size, generator=rng, device=self.device)
        begin = fits[(draw(count) * len(fits)).long()]
        aim = begin + max(1, room // 8) + (draw(count) * (room - room // 4)).long()
        after = torch.searchsorted(running.starts, aim, right=True)
        sentence, later = (
            running.starts[after - 1],
            running.starts[after.clamp(max=len(running.starts) - 1)],
        )
        later = torch.where(
            (later > aim) & (later < begin + room), later, aim
        )  # a sentence that leaves no room for a second is cut
        split = torch.where(sentence > begin, sentence, later)
        inside = (later == aim) & (sentence <= begin)  # of a sentence
        fate, elsewhere = draw(count), fits[(draw(count) * len(fits)).long()]
        other = fate < self.wrong.other
        read_on = torch.where(
            other, elsewhere + inside * (split - begin), split
        )  # nothing but what it says tells that it is foreign
        place, size = torch.arange(length, device=self.device), (split - begin)[:, None]
        second = place > size + 1
        right = running.tokens[
            torch.where(
                second, read_on[:, None] + place - size - 2, begin[:, None] + place - 1
            ).clamp(min=0)
        ]
        right = right.masked_fill(
            (place == size + 1) | (place == length - 1), self.tokenizer.sep_token_id
        )
        right[:, 0] = self.tokenizer.cls_token_id
        one, two = (size + 2 + (draw(count, 1) * (room - size)).long() for _ in range(2))
        two = torch.where(
            ~other[:, None] & (fate[:, None] < sum(self.wrong[:2])), two, one
        )  # exchanged with itself: as it was
        shown = right.scatter(1, one, right.gather(1, two)).scatter(1, two, right.gather(1, one))
        return shown, right, second, other | (shown != right).any(1)

    def masked(self, shown: Tensor, right: Tensor, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        """Tokens as the network sees them, and the labels: BERT's masking, and the right token where another was put in its place."""
        draw = torch.rand(shown.shape, generator=rng, device=self.device)
        special = torch.isin(
            shown,
            torch.tensor(
                [self.tokenizer.cls_token_id, self.tokenizer.sep_token_id], device=self.device
            ),
        )
        asked, moved = (draw < ASKED) & ~special, shown != right
        others = torch.randint(len(self.tokenizer), shown.shape, generator=rng, device=self.device)
        shown = torch.where(asked & (draw < ASKED * MASKED), self.tokenizer.mask_token_id, shown)
        shown = torch.where(
            asked & (draw >= ASKED * MASKED) & (draw < ASKED * (MASKED + RANDOM)), others, shown
        )
        return shown, torch.where(asked | moved, right, -100)
