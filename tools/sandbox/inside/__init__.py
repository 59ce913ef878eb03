"""What runs inside a sandbox. Standard library only, and no import of `ludus` from outside.

A backend shows this folder, and nothing else of Ludus, to its interpreter as
`ludus/tools/sandbox/inside`. `server` forks a `supervisor` for each session, which `confine`s and
starts a `worker`, the only process that runs an agent's code.
"""
