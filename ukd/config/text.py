"""Text that several parts of the package write."""

from __future__ import annotations


def markdown_table(header: list[str], rows: list[list[str]]) -> str:
    """A Markdown table with aligned columns."""
    widths = []
    for cells in zip(header, *rows, strict=True):
        widths.append(max(len(cell) for cell in cells))
    rule = "|" + "|".join("-" * (width + 2) for width in widths) + "|"
    lines = [_line(header, widths), rule]
    lines += [_line(row, widths) for row in rows]
    return "\n".join(lines)


def _line(cells: list[str], widths: list[int]) -> str:
    padded = [cell.ljust(width) for cell, width in zip(cells, widths, strict=True)]
    return "| " + " | ".join(padded) + " |"
