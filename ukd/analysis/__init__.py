"""Analysis: the store of runs, and the tables and figures that are derived from it."""
