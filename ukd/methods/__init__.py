"""The table of methods, their loss terms, the hidden space."""
