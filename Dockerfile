# The image of an example, and the pattern for yours: pgqueue in a virtual environment,
# the application's modules in the working directory, no root. APP is the folder of these;
# EXTRAS of pgqueue and other PACKAGES are what it needs.
#
# The command is in exec form, so the worker itself is process 1 and gets SIGTERM. It
# installs its own handlers and reaps its own children: no init is needed.
ARG PYTHON_IMAGE=python:3.13-slim

FROM ${PYTHON_IMAGE} AS build
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY alembic alembic
COPY pgqueue pgqueue
ARG EXTRAS=cli,binary
ARG PACKAGES=
RUN python -m venv /opt/pgqueue \
    && /opt/pgqueue/bin/pip install --no-cache-dir --quiet ".[${EXTRAS}]" ${PACKAGES}

FROM ${PYTHON_IMAGE}
RUN useradd --system --uid 10001 --no-create-home --shell /usr/sbin/nologin pgqueue
COPY --from=build /opt/pgqueue /opt/pgqueue
ENV PATH=/opt/pgqueue/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
WORKDIR /app
ARG APP=examples/paint
COPY ${APP} .
# By number, so that Kubernetes can see that it is not root.
USER 10001
CMD ["pgqueue", "worker", "jobs:worker"]
