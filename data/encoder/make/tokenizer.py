"""BERT's tokenizer, trained on the text."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from tokenizers import (
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)
from transformers import AutoTokenizer, BertTokenizerFast, PreTrainedTokenizerBase

from ukd.config.runtime import shows_bars

PAD, UNKNOWN, FIRST, SEPARATOR, MASK = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
CHARACTERS = 200  # single characters that the tokenizer knows, at most


def train_tokenizer(texts: Iterable[str], size: int, max_length: int) -> PreTrainedTokenizerBase:
    """Uncased WordPiece with at most `size` entries.

    The library's trainer breaks ties by chance: two runs give slightly different entries.
    """
    tokenizer = Tokenizer(models.WordPiece(unk_token=UNKNOWN))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    trainer = trainers.WordPieceTrainer(
        vocab_size=size,
        special_tokens=[PAD, UNKNOWN, FIRST, SEPARATOR, MASK],
        limit_alphabet=CHARACTERS,
        show_progress=shows_bars(),
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.decoder = decoders.WordPiece()
    vocabulary = tokenizer.get_vocab()
    tokenizer.post_processor = processors.BertProcessing(
        (SEPARATOR, vocabulary[SEPARATOR]), (FIRST, vocabulary[FIRST])
    )
    return BertTokenizerFast(
        tokenizer_object=tokenizer,
        model_max_length=2 * max_length,
        pad_token=PAD,
        unk_token=UNKNOWN,
        cls_token=FIRST,
        sep_token=SEPARATOR,
        mask_token=MASK,
    )


def load_tokenizer(folder: Path, max_length: int) -> PreTrainedTokenizerBase:
    """The tokenizer in a folder, for a network with 2 * max_length positions."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.model_max_length = 2 * max_length
    return tokenizer
