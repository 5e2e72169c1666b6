"""The `vmstate` command: finds the subcommand, turns errors into exit codes.

A subcommand is imported when it is asked for, and `--help` needs none of them: it must answer
at once (0.15 s), while numpy alone takes 0.14 s to import.
"""

from __future__ import annotations

import os
import sys
import traceback
from importlib import import_module
from typing import TYPE_CHECKING, Any, Never, cast

import click
from click.exceptions import NoArgsIsHelpError

from vmstate_tools import __version__
from vmstate_tools.core.errors import HostError, UsageError, VmstateError
from vmstate_tools.reports.text import printable

if TYPE_CHECKING:
    from collections.abc import Sequence

COMMANDS = {
    "inspect": "Show what is in a snapshot: machine, memory, devices and their fields.",
    "verify": "Check snapshots without starting a VM.",
    "snapshot": "Take a snapshot of a running VM into the new directory DIR, without stopping it.",
    "list": "List snapshot directories, and whether their disks are still there.",
    "restore": "Start QEMU from a snapshot; it goes on after this command ends.",
    "convert": "Write a snapshot in another form: every page of memory once.",
    "edit": "Set fields of devices in a new stream that still loads.",
    "demo": "Show a snapshot being taken, read, checked and restored, on a guest of our own.",
}
"""What each subcommand does, in the order of `--help`. `NAME` is the attribute `command` of the
module vmstate_tools.cli.NAME; the text is the first line of its help."""

INTERRUPTED_EXIT_CODE = 130
BUG_EXIT_CODE = 70


class LazyGroup(click.Group):
    """A group that imports a subcommand when it is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 (click's signature)
        """Return the names in the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Import the module of a subcommand."""
        if cmd_name not in COMMANDS:
            return None
        return cast("click.Command", import_module(f"vmstate_tools.cli.{cmd_name}").command)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """List the subcommands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def invoke(self, ctx: click.Context) -> Any:  # noqa: ANN401 (click's signature)
        """Run the subcommand; catch what click would take for something else."""
        try:
            return super().invoke(ctx)
        except VmstateError as error:
            # Data that ends too early is an EOFError, which click takes for Ctrl-D.
            ctx.exit(_fail(str(error), error.exit_code))
        except KeyboardInterrupt as error:
            raise click.Abort from error  # click itself would print an empty line first
        except BrokenPipeError:
            # A reader that went away (`| head`) is no news to the user.
            # What Python still holds for stdout must have somewhere to go when it exits.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            ctx.exit(HostError.exit_code)


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="vmstate", message="%(prog)s %(version)s")
def vmstate() -> None:
    """Take, read, check and restore the state of QEMU virtual machines.

    SNAPSHOT is a snapshot directory or a state file, recognised by its content; `-` is standard
    input where one forward pass is enough. `vmstate COMMAND --help` tells more.
    """


def main() -> Never:
    """Run the command line and exit with its code."""
    for stream in (sys.stdout, sys.stderr):
        # A name in a snapshot may hold anything, and the terminal may know less than Unicode.
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    # numpy would start a thread on every core, for linear algebra that nobody here needs: 0.04 s.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Run the command line; return the exit code.

    The one place where an error becomes a line on stderr and a number (docs/exit-codes.md).
    """
    try:
        return vmstate.main(arguments, prog_name="vmstate", standalone_mode=False) or 0
    except (click.Abort, KeyboardInterrupt):
        return _fail("interrupted", INTERRUPTED_EXIT_CODE)
    except Exception as error:  # noqa: BLE001 (every error ends here, in a line or a traceback)
        return _explain(error)


def _explain(error: Exception) -> int:
    match error:
        case NoArgsIsHelpError():
            error.show()
            return UsageError.exit_code
        case click.ClickException():
            return _fail(_usage_message(error), UsageError.exit_code)
        case MemoryError():
            return _fail("not enough memory", HostError.exit_code)
        case OSError():
            return _fail(_host_message(error), _host_exit_code(error))
    traceback.print_exception(error)
    return BUG_EXIT_CODE


def _fail(message: str, exit_code: int) -> int:
    click.echo(f"vmstate: {printable(message)}", err=True)
    return exit_code


def _usage_message(error: click.ClickException) -> str:
    context = error.ctx if isinstance(error, click.UsageError) else None
    help_hint = f" ({context.command_path} --help tells more)" if context else ""
    return " ".join(error.format_message().split()).removesuffix(".") + help_hint


def _host_message(error: OSError) -> str:
    place = "" if error.filename is None else f"{error.filename}: "
    return f"{place}{error.strerror or error}"


def _host_exit_code(error: OSError) -> int:
    named_wrongly = FileNotFoundError | FileExistsError | IsADirectoryError | NotADirectoryError
    return (UsageError if isinstance(error, named_wrongly) else HostError).exit_code
