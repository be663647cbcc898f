# One image for the market feeder, the user feeder, the worker, the schedule and nats-server; which of
# them it is, the command says. For x86-64 and ARM64: every dependency is there as a wheel for both.
#
#   docker build --build-arg PYTHON_IMAGE=python:3.11-slim-bookworm@sha256:<digest> .
#
# The digest is asked for, because a tag is another image tomorrow. `docker buildx imagetools inspect
# python:3.11-slim-bookworm` shows that of the list, which holds for both architectures.
#
# `python -m deploy.image` executes these steps without a container engine, as far as that goes.
ARG PYTHON_IMAGE=python:3.11-slim-bookworm

FROM ${PYTHON_IMAGE} AS builder
ARG PYTHON_IMAGE
RUN case "$PYTHON_IMAGE" in *@sha256:*) ;; *) echo "PYTHON_IMAGE must name a digest: ...@sha256:..." >&2; exit 1 ;; esac
WORKDIR /build
COPY requirements-image.txt ./
# Nothing but hashed wheels; pip stays outside of what is installed. At start nothing can be compiled
# any more, since the file system is read-only, and no clock is asked whether it should be.
RUN python -m venv --without-pip /opt/venv \
    && python -m pip --python /opt/venv/bin/python --disable-pip-version-check install --quiet \
        --no-cache-dir --no-compile --require-hashes --only-binary=:all: -r requirements-image.txt \
    && python -m compileall -q --invalidation-mode unchecked-hash /opt/venv/lib
WORKDIR /app
COPY protocol ./protocol
COPY venue ./venue
COPY runtime ./runtime
COPY feeder ./feeder
COPY functions ./functions
COPY executor ./executor
COPY infra/nats ./infra/nats
RUN python -m compileall -q --invalidation-mode unchecked-hash . && chmod -R a=rX /app

FROM ${PYTHON_IMAGE}
ARG PYTHON_IMAGE
ARG REVISION=unknown
LABEL org.opencontainers.image.title="streaming-executor" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.base.name="${PYTHON_IMAGE}" \
      org.opencontainers.image.revision="${REVISION}"
# Nothing here installs anything: the base image's pip goes, and with it what it could be used for.
RUN python -m pip --disable-pip-version-check uninstall --quiet --yes pip setuptools \
    && mkdir -p /var/lib/jetstream && chown 10001:10001 /var/lib/jetstream
COPY --from=builder /opt/venv /opt/venv
COPY --from=builder /app /app
# METRICS_HOST: a container's own loopback is nobody else's. METRICS_PORT: one for all, unless it is set.
ENV PATH=/opt/venv/bin:${PATH} \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    METRICS_HOST=0.0.0.0 \
    METRICS_PORT=9100 \
    NATS_STORE_DIR=/var/lib/jetstream
WORKDIR /app
# A number, so that an orchestrator can see that it is not root.
USER 10001:10001
# The one place that is written to, and by nats-server alone; declared, so that a volume there is ours.
VOLUME ["/var/lib/jetstream"]
STOPSIGNAL SIGTERM
# nats-server answers elsewhere: `python -m runtime.probe 8222`.
HEALTHCHECK --interval=15s --timeout=5s --start-period=60s --retries=4 CMD ["python", "-m", "runtime.probe"]
CMD ["python", "-m", "feeder"]
