"""`python -m vmstate_tools` is the `vmstate` command."""

from vmstate_tools.cli.main import main

if __name__ == "__main__":
    main()
