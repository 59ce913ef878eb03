"""TextWorld's generated games: compiled once, kept in a cache, played as environments.

Needs the extra `textworld`. Nothing of TextWorld is imported until an environment is made.
"""
