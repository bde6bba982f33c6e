"""The text file: its documents, their passages, and the stream that mixes them with discourse."""

from __future__ import annotations

import gzip
import hashlib
import lzma
import random
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from data.encoder.make.segments import SENTENCE_END
from data.synthetic.make import discourse

OPENERS = {".xz": lzma.open, ".gz": gzip.open}
UNREADABLE = (OSError, EOFError, lzma.LZMAError, zlib.error, UnicodeDecodeError)
HELD_OUT_DOCUMENTS = 2  # at least
HELD_OUT_PART = 10  # a tenth of the documents at most


@dataclass(frozen=True)
class Corpus:
    """A text file, read and cut.

    Attributes:
        documents: paragraphs by document.
        passages: of all documents but the last ones, in their order.
        held_out: passages of the last ones, shuffled.
        held_out_documents: how many documents are held out.
        sha256: of the text, however it is compressed.
    """

    documents: list[list[str]]
    passages: list[str]
    held_out: list[str]
    held_out_documents: int
    sha256: str


def read_corpus(path: Path, words: int, held_out: int, seed: int) -> Corpus:
    """Read a text file and cut it into passages.

    Args:
        path: see `read_documents`.
        words: of the longest passages.
        held_out: passages to hold out, if the text is long enough.
        seed: of the passages' lengths and of the held-out order.
    """
    documents = read_documents(path)
    rng = random.Random(seed)
    cut = [list(split_passages(document, words, rng)) for document in documents]
    last = held_out_count([len(document) for document in cut], held_out)
    apart = list(chain.from_iterable(cut[-last:]))
    rng.shuffle(apart)
    read = list(chain.from_iterable(cut[:-last]))
    return Corpus(documents, read, apart, last, fingerprint(documents))


def read_documents(path: Path) -> list[list[str]]:
    """Paragraphs by document, from UTF-8 text, plain, .gz or .xz.

    The file has one paragraph a line and an empty line between documents.

    Raises: ValueError for a file that can't be read or has too few documents to hold some out.
    """
    if not path.is_file():
        raise ValueError(
            f"no text file at {path}: pass one with a paragraph a line and an empty line "
            "between documents"
        )
    documents: list[list[str]] = [[]]
    try:
        with OPENERS.get(path.suffix, open)(path, "rt", encoding="utf-8") as file:
            for line in file:
                if line.strip():
                    documents[-1].append(line.strip())
                elif documents[-1]:
                    documents.append([])
    except UNREADABLE as error:
        raise ValueError(
            f"{path} can't be read as UTF-8 text, plain, .gz or .xz: {error}"
        ) from error
    documents = [document for document in documents if document]
    if len(documents) <= HELD_OUT_DOCUMENTS:
        raise ValueError(
            f"{path} has {len(documents)} documents (separated by empty lines), of which "
            f"{HELD_OUT_DOCUMENTS} are held out: pass a text with more"
        )
    return documents


def split_passages(document: Sequence[str], words: int, rng: random.Random) -> Iterator[str]:
    """A document in passages of whole sentences, short ones of `words` / 6 and long ones."""
    passage: list[str] = []
    count = 0
    most = rng.randint(words // 6, words)
    for sentence in chain.from_iterable(map(SENTENCE_END.split, document)):
        length = sentence.count(" ") + 1
        if passage and count + length > most:
            yield " ".join(passage)
            passage = []
            count = 0
            most = rng.randint(words // 6, words)
        passage.append(sentence)
        count += length
    if passage:
        yield " ".join(passage)


def held_out_count(passages: Sequence[int], wanted: int) -> int:
    """How many of the last documents to hold out for `wanted` passages: from two to a tenth.

    Args:
        passages: passages of each document.
    """
    most = max(HELD_OUT_DOCUMENTS, len(passages) // HELD_OUT_PART)
    last = HELD_OUT_DOCUMENTS
    while last < most and sum(passages[-last:]) < wanted:
        last += 1
    return last


def mixture(passages: Sequence[str], share: float) -> Callable[[int], Iterator[str]]:
    """seed -> an endless stream of passages, with probability `share`, and of discourse."""

    def stream(seed: int) -> Iterator[str]:
        rng = random.Random(f"mixture {seed}")
        told = discourse(seed)
        while True:
            yield rng.choice(passages) if passages and rng.random() < share else next(told)

    return stream


def fingerprint(documents: Sequence[Sequence[str]]) -> str:
    """sha256 of the documents, one paragraph a line."""
    state = hashlib.sha256()
    for document in documents:
        state.update("\n".join(document).encode() + b"\n\n")
    return state.hexdigest()
