# Pin the base by digest where images are built for production: --build-arg BASE=python:3.13-slim-bookworm@sha256:...
ARG BASE=python:3.13-slim-bookworm
# The same with a C compiler, which compiles the core and stays behind.
ARG BUILD_BASE=python:3.13-bookworm

FROM ${BUILD_BASE} AS build
WORKDIR /src
RUN python -m venv /opt/dovetail
COPY requirements.lock ./
RUN /opt/dovetail/bin/pip install --no-cache-dir --require-hashes --only-binary :all: -r requirements.lock
# The build tools come from the same lock as the tests' and stay in this stage.
COPY requirements-dev.lock ./
RUN python -m venv /opt/build \
    && /opt/build/bin/pip install --no-cache-dir --require-hashes --only-binary :all: -r requirements-dev.lock
COPY pyproject.toml hatch_build.py README.md LICENSE ./
COPY scoring scoring
COPY scheduler scheduler
RUN HATCH_BUILD_HOOKS_ENABLE=1 /opt/build/bin/python -m pip wheel --no-cache-dir --no-deps --no-build-isolation --wheel-dir /wheel . \
    && /opt/dovetail/bin/pip install --no-cache-dir --no-deps /wheel/*.whl
# It only saves time at start, and packages may ship files for other versions of Python, which do not compile.
RUN /opt/dovetail/bin/python -m compileall -q /opt/dovetail/lib || true

FROM ${BASE}
COPY --from=build /opt/dovetail /opt/dovetail
ENV PATH=/opt/dovetail/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
USER 65532:65532
ENTRYPOINT ["dovetail"]
CMD ["run"]
