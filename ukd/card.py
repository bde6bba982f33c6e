"""The model card of the embedded encoder: read from its pretraining record and the committed runs, written by `ukd card`."""

from __future__ import annotations

import json

from ukd.config import data_folder
from ukd.finetune import FINE_TUNING
from ukd.results import fine_tuning_tables, markdown


def committed_encoder() -> dict:
    """The embedded encoder's pretraining record."""
    return json.loads((data_folder() / "encoder" / "pretraining.json").read_text(encoding="utf-8"))


def card(records: list[dict]) -> str:
    """How the encoder was made, its losses on held-out text, and its scores after fine-tuning, as Markdown."""
    said = committed_encoder()
    text, stages, asked = said["text"], said["stages"], said["minutes asked for"]
    steps = [(stage["epochs"][-1]["step"], stage["layers"]) for stage in stages]
    plan = ", then ".join(f"{count:,} of {layers} layers" for count, layers in steps)
    rows = [
        ["text", f"{text['documents']} documents, {text['passages']:,} passages (sha256 {text['sha256'][:12]}...), with probability "
                 f"{text['share']:.2f}; else the suite's unlabelled discourse"],
        ["layers, width, entries", f"{stages[-1]['layers']}, {said['width']}, {said['vocabulary']:,}"],
        ["steps", f"{sum(count for count, _ in steps):,} of {said['batch']} examples: {plan}"],
        ["minutes", f"{said['seconds'] / 60:.0f}" + (f" (asked for {asked:g})" if asked else "")],
        ["device", f"{said['device']}, {said['threads']} thread{'s' * (said['threads'] > 1)}, {said['precision']}"],
        ["made", f"{said['made'][:10]}, torch {said['versions']['torch']}, transformers {said['versions']['transformers']}"],
    ]  # fmt: skip
    rows += [["note", said["note"]]] if "note" in said else []
    losses = [
        [name, f"{said['unigram'][name]:.2f}", *(f"{s['held_out'][name]['masked words']:.2f}" for s in stages),
         f"{stages[-1]['held_out'][name]['second segment']:.2f}"]
        for name in said["unigram"]
    ]  # fmt: skip
    header = ["held-out text", "single words", *(f"{s['layers']} layers" for s in stages), "second segment"]
    tuned = [record for record in records if record["method"] == FINE_TUNING]
    explained = (
        "Losses on held-out text, in nats: of masked words, always guessing by the frequency of single words, and after each "
        "stage; of telling a right second segment from a wrong one at the end (guessing: 0.69)."
    )
    parts = [markdown(["what", "how it was made"], rows), explained, markdown(header, losses)]
    return "\n\n".join(parts + ([fine_tuning_tables(tuned)] if tuned else []))
