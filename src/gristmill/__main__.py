"""`python -m gristmill`, where the command is not on the path."""

from gristmill.cli import main

if __name__ == "__main__":
    main()
