"""A small suite of five tasks, and unlabelled text, written by grammars."""

from ukd.grammar.base import Grammar
from ukd.grammar.discourse import discourse
from ukd.grammar.suite import SEED, TASKS, build, examples

__all__ = ["Grammar", "SEED", "TASKS", "build", "discourse", "examples"]
