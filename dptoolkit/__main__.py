"""`python -m dptoolkit` is the command line."""

from dptoolkit.cli import main

if __name__ == "__main__":
    main()
