"""Write the synthetic suite anew; the same seed gives the same files."""

from pathlib import Path
from typing import Annotated

import typer

from data.synthetic.make.suite import SEED, build


def main(
    out: Annotated[Path, typer.Option(help="folder to write to; files in it are replaced")],
    seed: Annotated[int, typer.Option(help="of the examples", min=0)] = SEED,
) -> None:
    """Write the five tasks of the synthetic suite. The default seed gives the committed files."""
    build(out, seed)
    typer.echo(out)


if __name__ == "__main__":
    typer.run(main)
