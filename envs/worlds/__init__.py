"""Simulated worlds an agent acts in by text."""
