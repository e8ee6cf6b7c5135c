"""Run benchmarks: `python -m benchmarks [name …] [--rounds N] [--seconds N]`."""

from __future__ import annotations

import argparse
import importlib
import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import psycopg

from benchmarks.lab import Lab
from pgqueue import migrate
from pgqueue.embedded import EmbeddedServer

NAMES: Final = (
    "bulk_add",
    "add_one",
    "drain",
    "latency",
    "delayed",
    "backlog",
    "mixed",
    "groups",
    "memory",
)
EXTRA: Final = ("peers", "against")
"""Only when asked for by name: need packages, or a commit, that others do not."""

RESULTS: Final = Path(__file__).with_name("results.jsonl")

SERVER: Final = {
    "fsync": "on",
    "synchronous_commit": "on",
    "max_wal_size": "8GB",
    "checkpoint_timeout": "30min",
}
"""Checkpoints happen between the runs, not in one of them."""


def main() -> int:
    """Run what was asked for; the status says whether all bounds were met."""
    options = parse()
    met = True
    with EmbeddedServer(settings=SERVER) as server:
        for name in options.names:
            module = importlib.import_module(f"benchmarks.{name}")
            lab = Lab(
                dsn=make_database(server, name),
                make=lambda database: make_database(server, database),
                make_empty=lambda database: make_empty(server, database),
                rounds=options.rounds,
                seconds=options.seconds,
                scale=options.scale,
                against=options.against,
            )
            for report in module.run(lab):
                met &= report.ok
                record(report.line(), options)
                print(report.text(), file=sys.stderr, flush=True)
    return 0 if met else 1


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="name", help=", ".join(NAMES))
    parser.add_argument("--rounds", type=int, default=3, help="runs of each side")
    parser.add_argument("--seconds", type=float, default=60.0, help="length of mixed")
    parser.add_argument("--scale", type=float, default=1.0, help="times the jobs")
    parser.add_argument("--against", default="", help="a commit, for `against`")
    parser.add_argument("--note", default="", help="kept with the results")
    options = parser.parse_args()
    options.names = options.names or list(NAMES)
    for name in options.names:
        if name not in NAMES + EXTRA:
            parser.error(f"{name}: not one of {', '.join(NAMES + EXTRA)}")
    return options


def make_database(server: EmbeddedServer, name: str) -> str:
    """Create a migrated database and return its DSN."""
    dsn = make_empty(server, name)
    migrate.upgrade(dsn)
    return dsn


def make_empty(server: EmbeddedServer, name: str) -> str:
    """Create a database and return its DSN."""
    with psycopg.connect(server.dsn(), autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"')
    return server.dsn(name)


def record(line: dict[str, Any], options: argparse.Namespace) -> None:
    """Print one report as JSON and append it, with its circumstances, to the file."""
    print(json.dumps(line), flush=True)
    about = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": commit(),
        "python": sys.version.split()[0],
        "cpus": os.cpu_count(),
        "load": round(os.getloadavg()[0], 1),
        "rounds": options.rounds,
        "scale": options.scale,
        "note": options.note,
    }
    with RESULTS.open("a") as file:
        file.write(json.dumps({**line, **about}) + "\n")


def commit() -> str:
    """Return the commit that was measured."""
    done = subprocess.run(
        ["git", "describe", "--always", "--dirty"],  # noqa: S607
        check=False,
        capture_output=True,
        text=True,
    )
    return done.stdout.strip()


if __name__ == "__main__":
    sys.exit(main())
