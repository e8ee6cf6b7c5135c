"""A shop on Flask, Flask-SQLAlchemy and pgqueue."""

from __future__ import annotations

import os
from typing import Any

from flask import Flask
from sqlalchemy.dialects.postgresql import insert

from shop.jobs import jobs
from shop.models import Product, db
from shop.views import orders


def create_app(**config: Any) -> Flask:
    """Make the application; DATABASE_URL says where its PostgreSQL is."""
    app = Flask(__name__)
    dsn = os.environ.get("DATABASE_URL", "postgresql:///shop")
    app.config["SQLALCHEMY_DATABASE_URI"] = dsn.replace("://", "+psycopg://", 1)
    # How long after an order its reminder is due, in seconds.
    app.config["REMINDER_DELAY"] = float(os.environ.get("REMINDER_DELAY", "172800"))
    app.config.update(config)
    db.init_app(app)
    jobs.init_app(app)
    app.register_blueprint(orders)

    @app.cli.command("prepare")
    def prepare() -> None:
        """Create the tables, and put three lamps on the shelf."""
        db.create_all()
        lamps = insert(Product).values(name="lamp", stock=3)
        db.session.execute(lamps.on_conflict_do_nothing())
        db.session.commit()

    return app
