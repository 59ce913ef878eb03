"""`python -m ludus` is the program `ludus`."""

from ludus.cli import main

if __name__ == "__main__":
    main()
