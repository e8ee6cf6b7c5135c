"""`manage.py pgqueue …`: the command `pgqueue` on the database of the site."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from pgqueue.django.command import main


class Command(BaseCommand):
    """Hands everything on: the commands read their options themselves."""

    help = "All commands of pgqueue on this site's database: worker, queue, job …"
    requires_system_checks = ()

    def add_arguments(self, parser: Any) -> None:
        """Take whatever comes."""
        parser.add_argument("arguments", nargs=argparse.REMAINDER)

    def run_from_argv(self, argv: list[str]) -> None:
        """Run from the command line, and end with the command's code."""
        sys.exit(main(argv[2:]))

    def handle(self, *_: Any, arguments: list[str], **__: Any) -> None:
        """Run from `call_command("pgqueue", "queue", "ls")`."""
        code = main([str(each) for each in arguments])
        if code:
            raise CommandError(f"pgqueue ended with {code}", returncode=code)
