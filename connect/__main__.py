"""`python -m connect`, or `statechart-connect`."""

import sys


def main() -> None:
    """Run the command. Ctrl-C while it is being imported, or a second one, ends it without a traceback."""
    try:
        from connect.cli import commands

        commands.main()
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
