"""Products, orders, and the mail that was sent about them; and where they are."""

from __future__ import annotations

import os

from sqlalchemy import ForeignKey, UniqueConstraint
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

dsn = os.environ.get("DATABASE_URL", "postgresql:///shop")
engine = create_async_engine(dsn.replace("://", "+psycopg://", 1))
# An order is still read after its commit, and an async session cannot load it then.
Session = async_sessionmaker(engine, expire_on_commit=False)


class Base(DeclarativeBase):
    """What the shop keeps."""


class Product(Base):
    """Something there is a number of."""

    __tablename__ = "shop_product"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    stock: Mapped[int]


class Order(Base):
    """What somebody bought."""

    __tablename__ = "shop_order"

    id: Mapped[int] = mapped_column(primary_key=True)
    product_id: Mapped[int] = mapped_column(ForeignKey("shop_product.id"))
    quantity: Mapped[int]
    in_stock: Mapped[bool | None]
    shipped_with: Mapped[str] = mapped_column(default="")


class Mail(Base):
    """A letter; one of each kind for an order, however often its job runs."""

    __tablename__ = "shop_mail"
    __table_args__ = (UniqueConstraint("order_id", "kind"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    order_id: Mapped[int] = mapped_column(ForeignKey("shop_order.id"))
    kind: Mapped[str]
