"""BERT's tokenizer made from text: whole words for the suite, pieces of words for prose."""

from __future__ import annotations

from collections import Counter
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

from ukd.config.runtime import bars

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


def wordpiece(texts: Iterable[str], size: int, max_length: int) -> PreTrainedTokenizerBase:
    """BERT's tokenizer (uncased WordPiece) with at most `size` entries: every character, and the most frequent words.

    The library's own trainer breaks ties by chance, so that no two runs give the same entries; this one gives the same.
    """
    normalizer, splitter = (
        normalizers.BertNormalizer(lowercase=True),
        pre_tokenizers.BertPreTokenizer(),
    )
    words = Counter(
        word
        for text in texts
        for word, _ in splitter.pre_tokenize_str(normalizer.normalize_str(text))
    )
    characters = sorted({character for word in words for character in word})
    entries = [*SPECIAL, *characters, *(f"##{character}" for character in characters)]
    ranked = sorted(
        (word for word in words if len(word) > 1), key=lambda word: (-words[word], word)
    )
    vocabulary = {entry: index for index, entry in enumerate([*entries, *ranked][:size])}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer, tokenizer.pre_tokenizer = normalizer, splitter
    return _as_bert(tokenizer, max_length)


def for_bert(folder: Path, max_length: int) -> PreTrainedTokenizerBase:
    """The tokenizer in a folder, for a network with 2 * max_length positions. Raises ValueError for one that isn't BERT's."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    if None in (tokenizer.cls_token_id, tokenizer.sep_token_id, tokenizer.mask_token_id):
        raise ValueError(
            f"the tokenizer in {folder} lacks one of [CLS], [SEP] and [MASK]: pass one made for BERT"
        )
    tokenizer.model_max_length = 2 * max_length
    return tokenizer


def _as_bert(tokenizer: Tokenizer, max_length: int) -> PreTrainedTokenizerBase:
    tokenizer.decoder, vocabulary = decoders.WordPiece(), tokenizer.get_vocab()
    tokenizer.post_processor = processors.BertProcessing(
        ("[SEP]", vocabulary["[SEP]"]), ("[CLS]", vocabulary["[CLS]"])
    )
    names = dict(
        zip(
            ("pad_token", "unk_token", "cls_token", "sep_token", "mask_token"), SPECIAL, strict=True
        )
    )
    return BertTokenizerFast(tokenizer_object=tokenizer, model_max_length=2 * max_length, **names)


def trained_wordpiece(texts: Iterable[str], size: int, max_length: int) -> PreTrainedTokenizerBase:
    """BERT's tokenizer (uncased WordPiece) with at most `size` entries, pieces of words among them; for text of all kinds."""
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer, tokenizer.pre_tokenizer = (
        normalizers.BertNormalizer(lowercase=True),
        pre_tokenizers.BertPreTokenizer(),
    )
    trainer = trainers.WordPieceTrainer(
        vocab_size=size, special_tokens=SPECIAL, limit_alphabet=200, show_progress=bars()
    )
    tokenizer.train_from_iterator(texts, trainer)
    return _as_bert(tokenizer, max_length)
