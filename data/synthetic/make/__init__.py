"""A small suite of five tasks, and unlabelled text, written by grammars."""

from data.synthetic.make.base import Grammar
from data.synthetic.make.discourse import discourse
from data.synthetic.make.suite import SEED, TASKS, build, examples

__all__ = ["Grammar", "SEED", "TASKS", "build", "discourse", "examples"]
