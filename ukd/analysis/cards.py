"""Tables that one JSON record gives: the encoder's model card, and a benchmark."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ukd.config.text import markdown_table as markdown

CARD_LOSSES = (
    "Losses on held-out text, in nats, of the words asked for. Most of these are masked; others "
    "are shown, right or wrong. Compared: guessing by the frequency of single words in all that "
    "was read, and the network after each stage. Last: telling a right second segment from a "
    "wrong one at the end (guessing: 0.69)."
)
WRONG_SEGMENTS = {
    "other": "another's",
    "shuffled": "two words exchanged",
    "exchanged": "two of a kind",
    "replaced": "one replaced",
}
BENCHMARK_COLUMNS = (
    "seconds of / seconds of",
    "ratio: median (quartiles)",
    "limit",
    "limit met?",
    "a step, or the whole",
)


def card(record: Mapping) -> str:
    """How an encoder was made and its losses on held-out text, as Markdown.

    record: the encoder's `pretraining.json`.
    """
    stages = record["stages"]
    losses = []
    for name, unigram in record["unigram"].items():
        after = [f"{stage['held_out'][name]['masked words']:.2f}" for stage in stages]
        second = f"{stages[-1]['held_out'][name]['second segment']:.2f}"
        losses.append([name, f"{unigram:.2f}", *after, second])
    depths = [f"{stage['layers']} layers" for stage in stages]
    header = ["held-out text", "single words", *depths, "second segment"]
    made = markdown(["what", "how it was made"], _making(record))
    return "\n\n".join([made, CARD_LOSSES, markdown(header, losses)])


def _making(record: Mapping) -> list[list[str]]:
    """Rows (what, how) of the model card."""
    text = record["text"]
    described = (
        f"{text['documents']} documents, {text['passages']:,} passages "
        f"(sha256 {text['sha256'][:12]}...)"
    )
    if text["share"] < 1:
        described += (
            f", with probability {text['share']:.2f}; else the suite's unlabelled discourse"
        )
    minutes = f"{record['seconds'] / 60:.0f}"
    if record["minutes asked for"]:
        minutes += f" (asked for {record['minutes asked for']:g})"
    threads = f"{record['threads']} thread{'s' * (record['threads'] > 1)}"
    versions = record["versions"]
    rows = [
        ["text", described],
        [
            "layers, width, entries",
            f"{record['stages'][-1]['layers']}, {record['width']}, {record['vocabulary']:,}",
        ],
        ["steps", _steps(record)],
        ["minutes", minutes],
        ["device", f"{record['device']}, {threads}, {record['precision']}"],
        [
            "made",
            f"{record['made'][:10]}, torch {versions['torch']}, "
            f"transformers {versions['transformers']}",
        ],
    ]
    if wrong := record.get("wrong segments"):
        kinds = [f"{WRONG_SEGMENTS[kind]} {share:g}" for kind, share in wrong.items() if share]
        rows.append(["second segment", f"{', '.join(kinds)}; else the right one"])
    if "note" in record:
        rows.append(["note", record["note"]])
    return rows


def _steps(record: Mapping) -> str:
    """Optimiser steps in all, and of each stage."""
    steps = [stage["epochs"][-1]["step"] for stage in record["stages"]]
    parts = []
    for count, stage in zip(steps, record["stages"], strict=True):
        parts.append(f"{count:,} of {stage['layers']} layers")
    return f"{sum(steps):,} of {record['batch']} examples: {', then '.join(parts)}"


def benchmark_table(record: Mapping) -> str:
    """A benchmark's ratios as Markdown, with what else it holds below.

    record: as `python -m benchmarks` writes it.
    """
    rows = [ratio_row(ratio) for ratio in record["ratios"]]
    cache = record["cache"]
    tokens = record["tokens in a batch"]
    exponents = _list(record["exponents"], "{:.2f}")
    lines = [
        f"A kept example takes {cache['bytes an example']} bytes (4 T C = {cache['4 T C']}). "
        f"Exponents of the loss's cost: {exponents}.",
        f"Milliseconds of a step: {_list(record['parts of a step'], '{:.2g}')}.",
        f"{record['device']}, {record['threads']} threads; task {record['task']}, batch "
        f"{record['batch']}, {min(tokens)} to {max(tokens)} tokens; made {record['made'][:10]}.",
    ]
    return "\n\n".join([markdown(BENCHMARK_COLUMNS, rows), *lines])


def ratio_row(ratio: Mapping) -> list[str]:
    """A ratio of seconds in words: name, value, limit, whether it is kept, seconds of both."""
    spread = "n=1"
    if ratio["repeats"] > 1:
        spread = f"{ratio['low']:.2f} to {ratio['high']:.2f}, n={ratio['repeats']}"
    each = [f"{name} {_duration(seconds)}" for name, seconds in ratio["seconds"].items()]
    return [
        ratio["name"],
        f"{ratio['median']:.3g} ({spread})",
        ratio["limit"],
        "yes" if within(ratio["median"], ratio["limit"]) else "no",
        ", ".join(each),
    ]


def within(value: float, limit: str) -> bool:
    """Whether a value keeps a limit, "at most X" or "at least X"."""
    bound = float(limit.split()[-1])
    return value <= bound if limit.startswith("at most") else value >= bound


def _duration(seconds: float) -> str:
    return f"{1000 * seconds:.3g} ms" if seconds < 10 else f"{seconds:.0f} s"


def _list(values: Mapping[str, float], form: str) -> str:
    words: Iterable[str] = (f"{name} {form.format(value)}" for name, value in values.items())
    return ", ".join(words)
