"""Text from a file as pretraining reads it: documents, passages of whole sentences, and their mixture with the discourse."""

from __future__ import annotations

import gzip
import hashlib
import lzma
import random
import zlib
from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from pathlib import Path

from data.encoder.make.text import SENTENCE_END
from data.synthetic.make import discourse

OPEN = {".xz": lzma.open, ".gz": gzip.open}
HELD_OUT_DOCUMENTS = 2


def documents(path: Path) -> list[list[str]]:
    """Paragraphs by document: one paragraph a line, an empty line between documents; plain, .gz or .xz, in UTF-8.

    Raises ValueError when it can't be read or has too few documents to hold some out.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(
            f"no text file at {path}: pass one with a paragraph a line and an empty line between documents"
        )
    found: list[list[str]] = [[]]
    try:
        with OPEN.get(path.suffix, open)(path, "rt", encoding="utf-8") as file:
            for line in file:
                if line.strip():
                    found[-1].append(line.strip())
                elif found[-1]:
                    found.append([])
    except (OSError, EOFError, lzma.LZMAError, zlib.error, UnicodeDecodeError) as error:
        raise ValueError(
            f"{path} can't be read as UTF-8 text, plain, .gz or .xz: {error}"
        ) from error
    found = [document for document in found if document]
    if len(found) <= HELD_OUT_DOCUMENTS:
        raise ValueError(
            f"{path} has {len(found)} documents (separated by empty lines), of which {HELD_OUT_DOCUMENTS} are held out: "
            "pass a text with more"
        )
    return found


def passages(document: Sequence[str], words: int, rng: random.Random) -> Iterator[str]:
    """The document in passages of whole sentences, short and long: of up to a sixth of `words` to all of them."""
    held: list[str] = []
    count, most = 0, rng.randint(words // 6, words)
    for sentence in (
        sentence for paragraph in document for sentence in SENTENCE_END.split(paragraph)
    ):
        length = sentence.count(" ") + 1
        if held and count + length > most:
            yield " ".join(held)
            held, count, most = [], 0, rng.randint(words // 6, words)
        held.append(sentence)
        count += length
    if held:
        yield " ".join(held)


def cut(
    texts: Sequence[Sequence[str]], words: int, held_out: int, rng: random.Random
) -> tuple[list[str], list[str], int]:
    """Passages of all documents but the last ones; of the last ones, shuffled, at least `held_out` if it can be; how many these are."""
    found = [list(passages(document, words, rng)) for document in texts]
    last = held_out_documents([len(document) for document in found], held_out)
    prose, apart = (list(chain.from_iterable(part)) for part in (found[:-last], found[-last:]))
    rng.shuffle(apart)
    return prose, apart, last


def held_out_documents(counts: Sequence[int], wanted: int) -> int:
    """How many of the last documents to hold out for `wanted` passages, of `counts` passages each: two at least, a tenth at most."""
    most, last = max(HELD_OUT_DOCUMENTS, len(counts) // 10), HELD_OUT_DOCUMENTS
    while last < most and sum(counts[-last:]) < wanted:
        last += 1
    return last


def mixture(prose: Sequence[str], share: float) -> Callable[[int], Iterator[str]]:
    """seed -> an endless stream in which a passage of `prose` has probability `share` and the rest is discourse."""

    def stream(seed: int) -> Iterator[str]:
        rng, told = random.Random(f"mixture {seed}"), discourse(seed)
        while True:
            yield rng.choice(prose) if prose and rng.random() < share else next(told)

    return stream


def fingerprint(texts: Sequence[Sequence[str]]) -> str:
    """sha256 of the documents, one paragraph a line: the same text has the same name, however it is compressed."""
    state = hashlib.sha256()
    for document in texts:
        state.update("\n".join(document).encode() + b"\n\n")
    return state.hexdigest()
