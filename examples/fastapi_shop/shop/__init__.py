"""A shop on FastAPI, SQLAlchemy and pgqueue."""
