"""Forks, threads, event loops, closing: connections belong to who uses them."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
import traceback
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from invariants import assert_consistent
from pgqueue import AsyncQueue, Queue
from waiting import until

if TYPE_CHECKING:
    from collections.abc import Callable

    from conftest import Sql


def fork(work: Callable[[], object]) -> int:
    """Run in a child process; its exit code tells whether that worked."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            work()
            code = 0
        except BaseException:  # noqa: BLE001  nothing may leave the child
            traceback.print_exc()
        finally:
            os._exit(code)
    return child


def wait(children: list[int]) -> list[int]:
    return [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]


def backends(sql: Sql) -> int:
    return int(
        sql.value(
            "SELECT count(*) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
            " AND datname = current_database() AND application_name = 'pgqueue'"
        )
    )


def add_with_pid(queue: Queue) -> None:
    """Add jobs whose data says which server process added them."""
    queue.add("n")
    from pgqueue.db import pool  # noqa: PLC0415

    with pool.connection(queue._settings, queue) as connection:
        queue.add("pid", connection.info.backend_pid)


def test_a_child_adds_on_its_own_connection_and_the_parent_goes_on(
    dsn: str, sql: Sql
) -> None:
    with Queue("paint", dsn=dsn) as queue:
        add_with_pid(queue)
        assert wait([fork(lambda: add_with_pid(queue))]) == [0]
        add_with_pid(queue)
        mine, childs, again = (j.data for j in queue.jobs() if j.name == "pid")
    assert mine == again != childs
    assert_consistent(sql)


def test_eight_children_and_the_parent_share_no_connection(dsn: str, sql: Sql) -> None:
    with Queue("paint", dsn=dsn) as queue:
        add_with_pid(queue)

        def many() -> None:
            add_with_pid(queue)
            for _ in range(50):
                queue.add("n")

        children = [fork(many) for _ in range(8)]
        for _ in range(50):
            queue.add("n")
        assert wait(children) == [0] * 8
        add_with_pid(queue)
        jobs = queue.jobs(end=-1)
    pids = [job.data for job in jobs if job.name == "pid"]
    assert len(pids) == 10
    assert len(set(pids)) == 9
    assert len(jobs) == 10 * 2 + 9 * 50
    assert_consistent(sql)


def test_a_fork_while_other_threads_use_the_queue(dsn: str, sql: Sql) -> None:
    stop = threading.Event()
    with Queue("paint", dsn=dsn) as queue, ThreadPoolExecutor(4) as threads:

        def busy() -> None:
            while not stop.is_set():
                queue.add("n")

        running = [threads.submit(busy) for _ in range(4)]
        try:
            assert wait([fork(lambda: queue.add("child")) for _ in range(5)]) == [0] * 5
        finally:
            stop.set()
        assert [future.result() for future in running] == [None] * 4
        assert sum(job.name == "child" for job in queue.jobs(end=-1)) == 5
    assert_consistent(sql)


def test_an_async_queue_that_was_used_before_a_fork_works_in_the_child(
    dsn: str, sql: Sql
) -> None:
    queue = AsyncQueue("paint", dsn=dsn)

    async def add() -> None:
        await queue.add("n")
        from pgqueue.db import pool  # noqa: PLC0415

        async with pool.aconnection(queue._settings, queue) as connection:
            await queue.add("pid", connection.info.backend_pid)

    with asyncio.Runner() as parent:
        parent.run(add())
        assert wait([fork(lambda: asyncio.run(add())) for _ in range(2)]) == [0, 0]
        parent.run(add())
        parent.run(queue.close())
    with Queue("paint", dsn=dsn) as looking:
        pids = [job.data for job in looking.jobs() if job.name == "pid"]
    assert len(pids) == 4
    assert pids[0] == pids[3], "the parent's connection is still its own"
    assert len(set(pids)) == 3
    assert_consistent(sql)


def test_a_child_that_exits_the_ordinary_way_disturbs_nobody(dsn: str) -> None:
    script = (
        "import os, sys\n"
        "from pgqueue import Queue\n"
        "queue = Queue('paint', dsn=sys.argv[1])\n"
        "queue.add('n')\n"
        "if os.fork() == 0:\n"
        "    queue.add('n')\n"
        "    sys.exit(0)\n"
        "assert os.wait()[1] == 0\n"
        "queue.add('n')\n"
        "assert queue.count() == 3\n"
    )
    done = run_python(script, dsn)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def run_python(script: str, dsn: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", "-c", script, dsn],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.mark.parametrize("close", ["queue.close()", "pass"])
def test_a_script_ends_without_a_warning(dsn: str, close: str) -> None:
    script = (
        "import sys\n"
        "from pgqueue import Queue\n"
        "queue = Queue('paint', dsn=sys.argv[1])\n"
        f"queue.add('n')\n{close}\n"
    )
    done = run_python(script, dsn)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("close", ["await queue.close()", "pass"])
def test_an_async_script_ends_without_a_warning(dsn: str, close: str) -> None:
    script = (
        "import asyncio, sys\n"
        "from pgqueue import AsyncQueue\n"
        "async def main():\n"
        "    queue = AsyncQueue('paint', dsn=sys.argv[1])\n"
        "    await asyncio.gather(*(queue.add('n') for _ in range(20)))\n"
        f"    {close}\n"
        "for _ in range(3):\n"
        "    asyncio.run(main())\n"
    )
    done = run_python(script, dsn)
    assert (done.returncode, done.stderr) == (0, "")


def test_sixteen_threads_use_one_queue(dsn: str, sql: Sql) -> None:
    with Queue("paint", dsn=dsn) as queue, ThreadPoolExecutor(16) as threads:

        def work(thread: int) -> int:
            for n in range(50):
                job = queue.add("n", [thread, n])
                assert queue.get(job.id).data == [thread, n]
                queue.count()
                if n % 2:
                    assert queue.remove(job.id)
                else:
                    queue.jobs(limit=1)
            return thread

        assert list(threads.map(work, range(16))) == list(range(16))
        assert queue.count() == 16 * 25
        assert backends(sql) <= 10
    assert_consistent(sql)


async def test_many_tasks_use_one_queue(dsn: str, sql: Sql) -> None:
    async with AsyncQueue("paint", dsn=dsn) as queue:
        jobs = await asyncio.gather(*(queue.add("n", n) for n in range(300)))
        assert sorted(job.data for job in jobs) == list(range(300))
        assert backends(sql) <= 10
    until(lambda: backends(sql) == 0)


def test_several_event_loops_one_after_another_leave_no_connections(
    dsn: str, sql: Sql
) -> None:
    """Nobody closes in sync code that calls `asyncio.run` for every add."""
    queue = AsyncQueue("paint", dsn=dsn)

    async def add() -> None:
        await asyncio.gather(*(queue.add("n") for _ in range(3)))

    for _ in range(30):
        asyncio.run(add())
    until(lambda: backends(sql) <= 3)
    assert sql.value("SELECT count(*) FROM pgqueue.job") == 90

    async def close() -> None:
        await queue.add("n")
        await queue.close()

    asyncio.run(close())
    until(lambda: backends(sql) == 0)


def test_event_loops_in_several_threads_at_once(dsn: str, sql: Sql) -> None:
    queue = AsyncQueue("paint", dsn=dsn)

    async def add() -> None:
        for _ in range(5):
            await queue.add("n")
        await queue.close()

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda _: asyncio.run(add()), range(40)))
    assert sql.value("SELECT count(*) FROM pgqueue.job") == 200


def test_closing_gives_the_connections_back_and_use_opens_them_again(
    dsn: str, sql: Sql
) -> None:
    queue = Queue("paint", dsn=dsn)
    for _ in range(3):
        queue.add("n")
        assert backends(sql) == 1
        queue.close()
        until(lambda: backends(sql) == 0)
    queue.close()


def test_queues_share_connections_until_the_last_one_closes(dsn: str, sql: Sql) -> None:
    one, other = Queue("a", dsn=dsn), Queue("b", dsn=dsn)
    one.add("n")
    other.add("n")
    assert backends(sql) == 1
    one.close()
    other.add("n")
    other.close()
    until(lambda: backends(sql) == 0)


def test_closing_while_other_threads_work_breaks_nothing(dsn: str, sql: Sql) -> None:
    queue = Queue("paint", dsn=dsn)
    with ThreadPoolExecutor(8) as threads:

        def work(_: int) -> None:
            for n in range(20):
                queue.add("n")
                if n % 5 == 0:
                    queue.close()

        list(threads.map(work, range(8)))
    queue.close()
    assert sql.value("SELECT count(*) FROM pgqueue.job") == 160


async def test_a_cancelled_call_gives_its_connection_back(dsn: str, sql: Sql) -> None:
    async with AsyncQueue("paint", dsn=dsn) as queue:
        await queue.add("n")
        with psycopg.connect(dsn) as connection:
            connection.execute("LOCK pgqueue.job")
            for _ in range(15):  # more than there are connections
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(0.05):
                        await queue.add("n")
        assert (await queue.add("n")).id
        assert await queue.count() == 2
    assert_consistent(sql)


def test_our_connections_do_not_depend_on_the_databases_isolation(
    dsn: str, sql: Sql
) -> None:
    name: Any = sql.value("SELECT current_database()")
    sql.run(f"ALTER DATABASE {name} SET default_transaction_isolation = serializable")
    try:
        with Queue("paint", dsn=dsn) as queue, ThreadPoolExecutor(8) as threads:

            def work(thread: int) -> None:
                for _ in range(20):
                    queue.add("n", key=f"k{thread % 2}")
                    queue.add("n")
                    queue.drain()

            list(threads.map(work, range(8)))
    finally:
        sql.run(f"ALTER DATABASE {name} RESET default_transaction_isolation")
    assert_consistent(sql)
