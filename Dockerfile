# The agent's image. Nothing here needs root, a shell or a compiler at run time; docs/deploy.md says how to run it with
# a read-only root. The base is pinned by tag: pin it by digest where you build (`docker buildx imagetools inspect`).

FROM python:3.12-slim-bookworm AS build
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY agent agent
COPY collectors collectors
# The feedback set (SIDELIGHT_CAPTURE) needs pyarrow, whose wheel is 55 MB and 171 MB unpacked, where everything else
# together is 29 and 90: so it is not in the image that every pod pulls, but in a second one, which who wants it builds:
#   docker build --build-arg EXTRAS=capture,redis --build-arg PACKAGES=s3fs -t sidelight-agent:0.1.0-capture .
# PACKAGES: what fsspec needs for the place (s3fs, gcsfs, adlfs). redis, for SIDELIGHT_LABEL_STORE, is half a megabyte.
ARG EXTRAS=redis
ARG PACKAGES=
# Every dependency has a wheel: one that had to be compiled is a mistake to see here, not a compiler to install.
RUN python -m pip wheel --no-cache-dir --no-deps --wheel-dir /wheels . \
 && python -m pip wheel --no-cache-dir --only-binary :all: --wheel-dir /wheels \
    "$(ls /wheels/sidelight_agent-*.whl)${EXTRAS:+[$EXTRAS]}" $PACKAGES
RUN python -m venv --without-pip /opt/sidelight \
 && python -m pip --python /opt/sidelight/bin/python install --no-cache-dir --no-index --find-links /wheels \
    "sidelight-agent${EXTRAS:+[$EXTRAS]}" $PACKAGES

FROM python:3.12-slim-bookworm
LABEL org.opencontainers.image.title="sidelight-agent" \
      org.opencontainers.image.description="An observability sidecar for machine-learning models" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.source="https://sidelight.dev" \
      org.opencontainers.image.base.name="docker.io/library/python:3.12-slim-bookworm"
# The base comes without compiled bytecode, and a read-only root cannot keep any: without this line each start
# compiles the standard library anew, about half a second of the one second a start may take.
# The folders belong to the agent's group, so that a model server of that group can open the socket.
RUN python -m compileall -q /usr/local/lib/python3.12 \
 && install -d -o 65532 -g 65532 -m 0700 /var/lib/sidelight \
 && install -d -o 65532 -g 65532 -m 2770 /run/sidelight
COPY --from=build /opt/sidelight /opt/sidelight
COPY deploy/healthcheck.py /opt/sidelight/healthcheck.py
ENV PATH=/opt/sidelight/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    TMPDIR=/var/lib/sidelight \
    SIDELIGHT_ENDPOINT=unix:/run/sidelight/agent.sock \
    SIDELIGHT_STATE_DIR=/var/lib/sidelight
VOLUME ["/var/lib/sidelight", "/run/sidelight"]
USER 65532:65532
EXPOSE 8686
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=3s --start-period=10s --retries=3 \
  CMD ["/opt/sidelight/bin/python", "-I", "/opt/sidelight/healthcheck.py"]
ENTRYPOINT ["sidelight"]
CMD ["run"]
