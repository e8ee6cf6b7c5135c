"""Products, orders, and the mail that was sent about them."""

from __future__ import annotations

from flask_sqlalchemy import SQLAlchemy

db = SQLAlchemy()


class Product(db.Model):  # type: ignore[name-defined, misc]
    """Something there is a number of."""

    __tablename__ = "shop_product"

    id = db.Column(db.Integer, primary_key=True)
    name = db.Column(db.Text, unique=True, nullable=False)
    stock = db.Column(db.Integer, nullable=False)


class Order(db.Model):  # type: ignore[name-defined, misc]
    """What somebody bought."""

    __tablename__ = "shop_order"

    id = db.Column(db.Integer, primary_key=True)
    product_id = db.Column(db.ForeignKey("shop_product.id"), nullable=False)
    product = db.relationship(Product)
    quantity = db.Column(db.Integer, nullable=False)
    in_stock = db.Column(db.Boolean)
    shipped_with = db.Column(db.Text, nullable=False, default="")


class Mail(db.Model):  # type: ignore[name-defined, misc]
    """A letter; one of each kind for an order, however often its job runs."""

    __tablename__ = "shop_mail"

    order_id = db.Column(db.ForeignKey("shop_order.id"), primary_key=True)
    kind = db.Column(db.Text, primary_key=True)
