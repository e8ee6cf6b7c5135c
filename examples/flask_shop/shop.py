"""A shop: an order and its receipt's job are there together, or not at all.

export DATABASE_URL=postgresql://localhost/shop
flask --app shop pgqueue migrate
flask --app shop init-db
flask --app shop run
flask --app shop pgqueue worker      # in another terminal
curl -d item=brush -d price=12 localhost:5000/orders
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from flask import Flask, jsonify, request
from flask_sqlalchemy import SQLAlchemy

from pgqueue.flask import PgQueue

if TYPE_CHECKING:
    from pgqueue import ActiveJob

db = SQLAlchemy()
jobs = PgQueue(session=db.session)
mail = jobs.queue("mail")


class Order(db.Model):  # type: ignore[name-defined, misc]
    """What somebody bought."""

    id = db.Column(db.Integer, primary_key=True)
    item = db.Column(db.Text, nullable=False)
    price = db.Column(db.Integer, nullable=False)
    receipt = db.Column(db.Text)


@jobs.handler("mail", "receipt")
def receipt(job: ActiveJob) -> None:
    """Write the receipt; at most once, however often the job runs."""
    order = db.session.get(Order, job.data["order"])
    if order is not None and order.receipt is None:
        order.receipt = f"{order.item}: {order.price}"
        db.session.commit()


class Declined(Exception):
    """The payment was declined."""


def pay(price: int, limit: int = 1000) -> None:
    """Take the money; a price over the limit is declined."""
    if price > limit:
        raise Declined


def create_app(**config: Any) -> Flask:
    """Make the application."""
    app = Flask(__name__)
    dsn = os.environ.get("DATABASE_URL", "postgresql:///shop")
    app.config["SQLALCHEMY_DATABASE_URI"] = dsn.replace("://", "+psycopg://", 1)
    app.config.update(config)
    db.init_app(app)
    jobs.init_app(app)

    @app.cli.command("init-db")
    def init_db() -> None:
        """Create the tables."""
        db.create_all()

    @app.post("/orders")
    def place() -> Any:
        order = Order(item=request.form["item"], price=int(request.form["price"]))
        db.session.add(order)
        db.session.flush()
        mail.add("receipt", {"order": order.id}, attempts=5, backoff=10)
        pay(order.price)  # raises: neither the order nor the job will exist
        db.session.commit()
        return jsonify(id=order.id), 201

    @app.errorhandler(Declined)
    def declined(error: Declined) -> Any:  # noqa: ARG001
        return jsonify(error="the payment was declined"), 402

    @app.get("/orders/<int:order_id>")
    def show(order_id: int) -> Any:
        order = db.get_or_404(Order, order_id)
        return jsonify(item=order.item, price=order.price, receipt=order.receipt)

    return app
