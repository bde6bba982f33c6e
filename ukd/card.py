"""The model cards of the encoders that come with the kit: read from their pretraining records."""

from __future__ import annotations

import json

from ukd.results import markdown
from ukd.teacher import EMBEDDED, embedded_encoder


def committed_encoder(name: str = EMBEDDED) -> dict:
    """An encoder's pretraining record."""
    return json.loads((embedded_encoder(name) / "pretraining.json").read_text(encoding="utf-8"))


def card(name: str = EMBEDDED) -> str:
    """How an encoder was made and its losses on held-out text, as Markdown."""
    said = committed_encoder(name)
    text, stages, asked, start = said["text"], said["stages"], said["minutes asked for"], said.get("start")
    packed = said.get("packed")  # of which the record's passages were only counted
    passages = "" if packed else f", {text['passages']:,} passages"
    rows = [
        ["text", f"{text['documents']} documents{passages} (sha256 {text['sha256'][:12]}...)"
                 + (f", with probability {text['share']:.2f}; else the suite's unlabelled discourse" if text["share"] < 1 else "")],
        ["layers, width, entries", f"{stages[-1]['layers']}, {said['width']}, {said['vocabulary']:,}"],
        ["steps", _steps(said)],
        *([["tokens", f"{_count(said) * said['batch'] * said['length'] / 1e6:,.0f} million, no padding"]] if packed else []),
        ["minutes", f"{said['seconds'] / 60:.0f}" + (f" (asked for {asked:g})" if asked else "")],
        ["device", f"{said['device']}, {said['threads']} thread{'s' * (said['threads'] > 1)}, {said['precision']}"],
        ["made", f"{said['made'][:10]}, torch {said['versions']['torch']}, transformers {said['versions']['transformers']}"],
    ]  # fmt: skip
    rows += [["starts from", f"the encoder made on {start['made'][:10]}, steps: {_steps(start)}"]] if start else []
    rows += [["words", "first set to what words stand next to in this text (Levy and Goldberg 2014)"]] if said.get("new words") else []
    if wrong := said.get("wrong segments"):
        pieces = "tokens" if packed else "words"
        kinds = {"other": "another's", "shuffled": f"two {pieces} exchanged", "exchanged": "two of a kind", "replaced": "one replaced"}
        spoilt = ", ".join(f"{kinds[kind]} {share:g}" for kind, share in wrong.items() if share)
        rows.append(["second segment", f"{spoilt}; else the right one"])
    rows += [["note", said["note"]]] if "note" in said else []
    states = ([("start", start["stages"][-1])] if start else []) + [(f"{stage['layers']} layers", stage) for stage in stages]
    losses = [
        [name, f"{said['unigram'][name]:.2f}", *(f"{stage['held_out'][name]['masked words']:.2f}" for _, stage in states),
         f"{stages[-1]['held_out'][name]['second segment']:.2f}"]
        for name in said["unigram"]
    ]  # fmt: skip
    first = "at the start, " if start else ""
    explained = (
        f"Losses on held-out text, in nats: of the words asked for (most are masked, others shown, right or wrong), always guessing by the "
        f"frequency of single words in all that it read, {first}and after each stage; of telling a right second segment from a wrong one "
        "at the end (guessing: 0.69)."
    )
    header = ["held-out text", "single words", *(name for name, _ in states), "second segment"]
    return "\n\n".join([markdown(["what", "how it was made"], rows), explained, markdown(header, losses)])


def _count(said: dict) -> int:
    """Optimiser steps in all."""
    return sum(stage["epochs"][-1]["step"] for stage in said["stages"])


def _steps(said: dict) -> str:
    """Optimiser steps in all, and of each stage."""
    stages = ", then ".join(f"{stage['epochs'][-1]['step']:,} of {stage['layers']} layers" for stage in said["stages"])
    many = f"{said['batch'] * said['length']:,} tokens" if said.get("packed") else f"{said['batch']} examples"
    return f"{_count(said):,} of {many}: {stages}"
