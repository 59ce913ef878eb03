"""One module a command of `ludus`; each has a `main` that takes the arguments after its name."""
