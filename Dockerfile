# One image for the service, the worker, beat and the migrations; the command says which.

FROM python:3.13-slim AS build
ENV UV_LINK_MODE=copy UV_PYTHON_DOWNLOADS=never UV_COMPILE_BYTECODE=1
RUN pip install --no-cache-dir uv
WORKDIR /perimage
# First what changes rarely: this layer is built again only when the lock changes.
COPY pyproject.toml uv.lock README.md ./
COPY sdk/pyproject.toml sdk/README.md sdk/
RUN uv sync --frozen --no-dev --no-install-workspace
COPY . .
RUN uv sync --frozen --no-dev --no-editable

FROM python:3.13-slim
RUN useradd --system --uid 10001 --create-home perimage && install -d -o perimage /var/lib/perimage
COPY --from=build /perimage/.venv /perimage/.venv
ENV PATH=/perimage/.venv/bin:$PATH PYTHONUNBUFFERED=1
WORKDIR /home/perimage
USER perimage
EXPOSE 8765
CMD ["perimage", "--help"]
