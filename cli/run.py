"""whatsapp-container run"""

import os
import sys

import click


@click.command(short_help="Run the service in the foreground.")
def run() -> None:
    """Run the service in the foreground, as PID 1 in a container does.

    Exits with 2, naming every problem, when it cannot start; with 70 when a program could not be kept running.
    """
    from .service import CannotStart, start

    try:
        start(os.environ)
    except CannotStart as error:
        for problem in error.problems:
            click.echo(f"whatsapp-container: {problem}", err=True)
        sys.exit(2)
