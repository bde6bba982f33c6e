"""Word vectors from counts of neighbours: what an encoder's embeddings can be set to in a minute, where hours would be needed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain, islice

import numpy as np
import torch
from scipy import sparse
from sklearn.linear_model import LinearRegression
from sklearn.utils.extmath import randomized_svd
from torch import nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from ukd.config.runtime import say

WINDOW = 5  # tokens to either side
SMOOTHING = 0.75  # exponent of the neighbours' frequencies
LINES = 512


def word_vectors(
    lines: Iterable[Sequence[int]], size: int, width: int, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Unit vectors (size, width) of all tokens by what stands next to them, and how often each was seen (size,).

    Singular vectors of the positive pointwise mutual information of tokens at most WINDOW apart, times the root of their singular
    values. Source: Levy and Goldberg 2014, "Neural word embedding as implicit matrix factorization"; exponents as in Levy, Goldberg
    and Dagan 2015. Tokens without neighbours get zeros.
    """
    lines = [np.asarray(line, dtype=np.int32) for line in lines]
    text, of_line = (
        np.concatenate(lines),
        np.repeat(np.arange(len(lines)), [len(line) for line in lines]),
    )
    counts = sparse.csr_matrix((size, size))
    for apart in range(1, WINDOW + 1):
        near = of_line[:-apart] == of_line[apart:]
        pairs = (text[:-apart][near], text[apart:][near])
        counts += sparse.coo_matrix((np.ones(len(pairs[0])), pairs), shape=(size, size)).tocsr()
    counts = (counts + counts.T).tocoo()
    often = np.asarray(counts.sum(1)).ravel()
    chance = often**SMOOTHING / (often**SMOOTHING).sum()
    shared = np.log(counts.data / (often[counts.row] * chance[counts.col]))
    positive = sparse.csr_matrix(
        (np.maximum(shared, 0), (counts.row, counts.col)), shape=(size, size), dtype=np.float32
    )
    left, values, _ = randomized_svd(positive, width, n_iter=4, random_state=seed)
    vectors = (
        left * np.sqrt(values) * (often > 0)[:, None]
    )  # the method leaves dust where nothing is
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.where(lengths > 0, lengths, 1), np.bincount(text, minlength=size)


@torch.no_grad()
def set_words(embeddings: nn.Embedding, vectors: np.ndarray, seen: np.ndarray) -> None:
    """Set a trained network's embeddings (V, H) to `vectors` (V, K), for the tokens that were `seen` (V,) at all.

    The vectors are turned into the space that the network knows, by the linear map that comes closest to its own embeddings, weighted
    by the root of how often a token was seen, and stretched to their spread (map, weights and spread: our choice).
    """
    own = embeddings.weight.double().numpy()
    chosen = (seen > 0) & vectors.any(1)
    weights = np.sqrt(seen[chosen])
    near = LinearRegression().fit(vectors[chosen], own[chosen], weights).predict(vectors[chosen])
    middle = np.average(own[chosen], axis=0, weights=weights)
    spread = lambda rows: np.average(((rows - middle) ** 2).sum(1), weights=weights) ** 0.5
    stretched = middle + (near - middle) * spread(own[chosen]) / spread(near)
    embeddings.weight[torch.from_numpy(chosen)] = torch.from_numpy(stretched).to(
        embeddings.weight.dtype
    )


def set_words_from(
    network: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    texts: Iterable[Iterable[str]],
    seed: int,
) -> None:
    """Set a network's embeddings to what the words stand next to in the texts, paragraphs by document."""
    say("counting what the words of the text stand next to")
    lines = chain.from_iterable(texts)
    bare = {
        "add_special_tokens": False,
        "return_attention_mask": False,
        "return_token_type_ids": False,
        "verbose": False,
    }
    parts = iter(
        lambda: list(islice(lines, LINES)), []
    )  # lists of integers take many times the room of arrays
    tokens = (
        np.array(line, dtype=np.int32)
        for part in parts
        for line in tokenizer(part, **bare)["input_ids"]
    )
    embeddings = network.get_input_embeddings()
    set_words(embeddings, *word_vectors(tokens, *embeddings.weight.shape, seed))
