"""ALFWorld's text world as a native engine: same files, same words, thousands of times faster.

`engine.Game` and `engine.Play` are the engine, `expert.Expert` plans, `houses.draw` makes new
houses, `env` has the environments, `parity` compares with the reference engine. How it works and
what was found out about the reference: `docs/household.md`.
"""
