"""Ludus: a gym and a trainer for language agents."""

__version__ = "0.1.0"
