"""Shows schedules, for the commands of `schedule`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.text import Text

from pgqueue.cli.output import Output, compact, instant, number, one_line, table

if TYPE_CHECKING:
    from pgqueue.schedule import Schedule


def plain(schedule: Schedule, count: int = 5) -> dict[str, Any]:
    """Return what --json prints about a schedule."""
    runs = [at.isoformat() for at in schedule.next_runs(count)]
    return {**schedule.to_dict(), "ended": schedule.ended, "next_runs": runs}


def cadence(schedule: Schedule) -> str:
    """Return when it fires, in a few words."""
    rule = schedule.rule
    if rule.cron is None:
        return f"every {rule.every:g} s"
    return rule.cron if rule.tz is None else f"{rule.cron} ({rule.tz})"


def state(schedule: Schedule) -> Text:
    """Return the next occurrence, or why there is none."""
    if schedule.next_at is not None:
        return Text(instant(schedule.next_at))
    return Text("paused", "yellow") if schedule.paused else Text("ended", "dim")


def show_schedules(found: list[Schedule]) -> None:
    """Print a table of schedules."""
    shown = table(
        "key", "cadence", "next", "runs", "job", right=["runs"], wide=["key", "job"]
    )
    for one in found:
        shown.add_row(
            one_line(one.key, "bold"),
            one_line(cadence(one)),
            state(one),
            number(one.iteration),
            one_line(one.name),
        )
    Output().show(shown)


def show_schedule(schedule: Schedule, count: int) -> None:
    """Print everything about one schedule."""
    rule = schedule.rule
    shown = table("", "", wide=[""])
    shown.show_header = False
    rows = {
        "schedule": schedule.key,
        "queue": schedule.queue,
        "cadence": cadence(schedule),
        "start": instant(rule.start),
        "end": instant(rule.end),
        "limit": rule.limit,
        "offset": f"{rule.offset:g} s" if rule.offset else None,
        "missed": rule.missed,
        "job": schedule.name,
        "data": compact(schedule.data),
        "runs": schedule.iteration,
        "last": instant(schedule.last_at),
        "next": state(schedule).plain,
    }
    for name, value in rows.items():
        if value not in (None, ""):
            shown.add_row(Text(name, "dim"), one_line(str(value)))
    for at in schedule.next_runs(count)[1:]:
        shown.add_row("", instant(at))
    Output().show(shown)
