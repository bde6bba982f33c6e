"""Pretrain an encoder on a text file and on the synthetic suite's discourse, resumably."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from data.encoder.make.pretrain import pretrain_encoder
from data.encoder.make.settings import NARROW_12
from ukd.config.runtime import choose_runtime

TEXT = "a paragraph a line, an empty line between documents; plain, .gz or .xz"
OUT = "new folder for the encoder, as from_pretrained takes it"
SHARE = "probability that an example is a passage of the text; the others are discourse"


def main(
    text: Annotated[Path, typer.Option(help=TEXT)],
    out: Annotated[Path, typer.Option(help=OUT)],
    minutes: Annotated[float | None, typer.Option(help="about the time to take", min=0)] = None,
    steps: Annotated[int | None, typer.Option(help="in place of minutes", min=1)] = None,
    share: Annotated[float, typer.Option(help=SHARE)] = NARROW_12.text_share,
    width: Annotated[int, typer.Option(help="hidden units")] = NARROW_12.width,
    seed: Annotated[int, typer.Option(help="of weights and text", min=0)] = 1,
    precision: Annotated[str, typer.Option(help="auto, float32, bf16, fp16")] = "auto",
) -> None:
    """Pretrain an encoder like the bundled one. A second call goes on where the first stopped."""
    try:
        config = replace(NARROW_12, text_share=share, width=width)
        runtime = choose_runtime(precision)
        made = pretrain_encoder(
            text, out, config=config, steps=steps, minutes=minutes, seed=seed, runtime=runtime
        )
    except (ValueError, FileExistsError) as error:
        raise typer.BadParameter(str(error)) from error
    typer.echo(made)


if __name__ == "__main__":
    typer.run(main)
