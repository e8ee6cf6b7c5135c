"""Create the tables and put three lamps on the shelf: `python -m shop.prepare`.

Running it again does nothing.
"""

from __future__ import annotations

import asyncio

from sqlalchemy.dialects.postgresql import insert

from shop.models import Base, Product, engine


async def prepare() -> None:
    """Make what is not there yet."""
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
        lamps = insert(Product).values(name="lamp", stock=3)
        await connection.execute(lamps.on_conflict_do_nothing())
    await engine.dispose()


if __name__ == "__main__":
    asyncio.run(prepare())
