# One container, one WhatsApp Web session. Google Chrome on amd64, Chromium elsewhere, or where BROWSER=chromium.
ARG PYTHON_IMAGE=docker.io/library/python:3.11-slim-bookworm

# wa-js comes by npm; Node is not in the image. WITH_BUILDS=on adds the kept builds of WhatsApp Web (docs/versions.md),
# which take 260 MB.
FROM ${PYTHON_IMAGE} AS wa-js
ARG WITH_BUILDS=off
WORKDIR /build
COPY requirements-node.lock package.json package-lock.json .npmrc ./
RUN pip install --no-cache-dir --require-hashes -r requirements-node.lock \
 && npm ci --ignore-scripts "$([ "$WITH_BUILDS" = on ] && echo --include=optional || echo --omit=optional)"

FROM ${PYTHON_IMAGE} AS python-environment
WORKDIR /app
COPY requirements.lock ./
RUN python -m venv /opt/venv \
 && /opt/venv/bin/pip install --no-cache-dir --require-hashes -r requirements.lock

FROM ${PYTHON_IMAGE}
ARG BROWSER=auto
ARG TARGETARCH
SHELL ["/bin/bash", "-o", "pipefail", "-c"]
RUN apt-get update \
 && apt-get install -y --no-install-recommends ca-certificates curl fonts-liberation redis-server util-linux \
 && if [ "$BROWSER" = chromium ] || [ "${TARGETARCH:-$(dpkg --print-architecture)}" != amd64 ]; then \
      apt-get install -y --no-install-recommends chromium; \
    else \
      curl -fsSL https://dl.google.com/linux/linux_signing_key.pub -o /usr/share/keyrings/google-chrome.asc \
      && echo "deb [arch=amd64 signed-by=/usr/share/keyrings/google-chrome.asc] https://dl.google.com/linux/chrome/deb/ stable main" \
         > /etc/apt/sources.list.d/google-chrome.list \
      && apt-get update \
      && apt-get install -y --no-install-recommends google-chrome-stable; \
    fi \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /app
COPY --from=python-environment /opt/venv /opt/venv
COPY --from=wa-js /build/node_modules ./node_modules
COPY setup.cfg pyproject.toml README.md LICENSE supervisord.conf ./
COPY whatsapp_contract ./whatsapp_contract
COPY browser_agent ./browser_agent
COPY scheduler ./scheduler
COPY workers ./workers
COPY web ./web
COPY cli ./cli
RUN /opt/venv/bin/pip install --no-cache-dir --no-deps --no-build-isolation --config-settings editable_mode=compat -e . \
 && /opt/venv/bin/python -m compileall -q .
# supervisorctl, run by exec, expands RUN_DIR from this environment.
ENV PATH=/opt/venv/bin:/usr/local/bin:/usr/bin:/bin \
    DATA_DIR=/data \
    RUN_DIR=/run/whatsapp-container \
    REDIS_AUTOSTART=false \
    RUN_AS=0 \
    TZ=UTC
VOLUME /data
EXPOSE 3100
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s --retries=3 \
  CMD ["python", "-c", "import os, urllib.request; urllib.request.urlopen(f'http://127.0.0.1:{os.environ.get(\"PORT\") or 3100}/healthz', timeout=4)"]
CMD ["whatsapp-container", "run"]
