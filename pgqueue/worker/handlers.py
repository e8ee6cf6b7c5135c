"""Which function runs which jobs of a worker, and what becomes of the others."""

from __future__ import annotations

import inspect
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from pgqueue import options, telemetry
from pgqueue.errors import ConfigError, NoHandler
from pgqueue.shells.tasks import AsyncTask, Task
from pgqueue.worker.outcome import Outcome

if TYPE_CHECKING:
    from collections.abc import Callable

    from pgqueue.worker.active_job import ActiveJob
    from pgqueue.worker.emitter import Emitter

    Handler = Callable[[ActiveJob], Any]

FIRST_HOLD: Final = 1.0
LONGEST_HOLD: Final = 600.0
"""How long a job that nobody here handles is held, in seconds."""

BOUNCES: Final = 50.0
"""So many jobs a second of one name are looked at again, at most; others are held for
longer, up to `LONGEST_HOLD`."""

ALARM: Final = 60.0
MAX_NAMES: Final = 1000


def is_async(handler: object) -> bool:
    """Whether a handler is `async def`, or an object with such a `__call__`."""
    call = getattr(handler, "__call__", None)  # noqa: B004
    return inspect.iscoroutinefunction(handler) or inspect.iscoroutinefunction(call)


def decorated_name(name: object, write: str) -> str:
    """Return the name that a decorator got.

    Args:
        name: what it got; the function itself, if its parentheses were left out.
        write: what to write then, with {} in the place of a name.

    Raises:
        ConfigError: it is none.
    """
    if callable(name):
        proposed = getattr(name, "__name__", "name")
        raise ConfigError.bad("name", name, f"a text: {write.format(proposed)}")
    return options.check_name(name, "name")


def queue_names(queues: object) -> tuple[str, ...]:
    """Return the names of the queues that a worker is made for, each once.

    Raises:
        ConfigError: there is none, or one is no name.
    """
    if not isinstance(queues, (str, Iterable)):
        allowed = "the name of a queue, or several; the handler comes after them"
        raise ConfigError.bad("queues", queues, allowed)
    names = [queues] if isinstance(queues, str) else list(queues)
    if not names:
        raise ConfigError.bad("queues", queues, "at least one name")
    return tuple(dict.fromkeys(options.check_name(one, "queue name") for one in names))


def check_handler(handler: object, takes: str = "the job") -> None:
    """Raise unless *handler* can be called with a job and returns its result.

    Raises:
        ConfigError: it is no function, takes other arguments, or is a generator.
    """
    allowed = f"a function of one argument, {takes}"
    if not callable(handler):
        raise ConfigError.bad("handler", handler, allowed)
    if isinstance(handler, (Task, AsyncTask)):
        name = handler.name
        raise ConfigError.bad(
            "handler",
            name,
            f"{allowed}; {name} takes its own arguments: worker.register({name}), or "
            f"{name}.handle as the handler",
        )
    if inspect.isgeneratorfunction(handler) or inspect.isasyncgenfunction(handler):
        raise ConfigError.bad(
            "handler", handler, f"{allowed}, that returns, not yields"
        )
    try:
        inspect.signature(handler).bind(None)
    except TypeError as error:
        given = inspect.signature(handler)
        raise ConfigError.bad(
            "handler", handler, f"{allowed}; this one takes {given} ({error})"
        ) from None
    except ValueError:
        # Written in C without a signature: its first call will tell.
        return


@dataclass(slots=True)
class Handlers:
    """The functions of a worker.

    Attributes:
        default: runs the jobs whose name is not in `named`; None: nobody does.
    """

    default: Handler | None = None
    named: dict[str, Handler] = field(default_factory=dict)

    def find(self, name: str) -> Handler | None:
        """Return what runs the jobs of a name."""
        return self.named.get(name, self.default)

    def register(self, name: str, handler: Handler) -> None:
        """Let a function run the jobs of a name.

        Raises:
            ConfigError: it does not take a job, or another one has the name.
        """
        options.check_name(name, "name")
        check_handler(handler)
        if name in self.named:
            raise ConfigError.bad("name", name, "one handler for each name")
        self.named[name] = handler

    def kinds(self) -> set[bool]:
        """Return whether there are `async def` handlers (True), and others (False)."""
        known = [*self.named.values(), self.default]
        return {is_async(one) for one in known if one is not None}

    def one(self, *, asynchronous: bool) -> Handler:
        """Return one function that runs every job of that kind of handler."""
        if self.default is not None and not self.named:
            return self.default

        async def run_async(job: ActiveJob) -> Any:
            return await self.named.get(job.name, self.default)(job)  # type: ignore[misc]

        def run(job: ActiveJob) -> Any:
            return self.named.get(job.name, self.default)(job)  # type: ignore[misc]

        return run_async if asynchronous else run


class Refusals:
    """Jobs that were claimed and whose name nobody here handles.

    They are held like delayed jobs, without an attempt used, so that another worker may
    take them and none of them keeps this one from its work. The more there are, the
    longer each is held: looking at them stays cheap.
    """

    def __init__(self, handlers: Handlers, emitter: Emitter) -> None:
        self._handlers = handlers
        self._emitter = emitter
        self._next: OrderedDict[tuple[str, str], float] = OrderedDict()
        self._told: dict[tuple[str, str], float] = {}

    def refuse(self, job: ActiveJob, now: float) -> Outcome | None:
        """Return what becomes of a job that nobody handles; None for the others."""
        if self._handlers.find(job.name) is not None:
            return None
        place = (job.queue, job.name)
        turn = max(self._next.pop(place, 0.0) + 1 / BOUNCES, now + FIRST_HOLD)
        turn = self._next[place] = min(turn, now + LONGEST_HOLD)
        if len(self._next) > MAX_NAMES:
            oldest, _ = self._next.popitem(last=False)
            self._told.pop(oldest, None)
        if now - self._told.get(place, float("-inf")) >= ALARM:
            self._told[place] = now
            problem = NoHandler(job.id, job.queue, job.name, self._handlers.named)
            telemetry.emit(
                "job.unhandled",
                queue=job.queue,
                name=job.name,
                job_id=job.id,
                reason=str(problem),
            )
            self._emitter.emit("error", problem)
        job.refused = True
        return Outcome("released", delay=turn - now)
