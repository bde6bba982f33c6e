"""Diagrams, widgets and checks for the notebooks."""
