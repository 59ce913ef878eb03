"""Engines: where tokens are sampled and scored."""
