# One container, one WhatsApp Web session. Google Chrome on amd64, Chromium elsewhere, or where BROWSER=chromium.
# docs/image.md says what each part weighs, and how to run it hardened.
ARG PYTHON_IMAGE=docker.io/library/python:3.11-slim-bookworm

# wa-js comes by npm; Node is not in the image. WITH_BUILDS=on adds the kept builds of WhatsApp Web (docs/versions.md),
# which take 260 MB.
FROM ${PYTHON_IMAGE} AS wa-js
ARG WITH_BUILDS=off
WORKDIR /build
COPY requirements-node.lock package.json package-lock.json .npmrc ./
RUN pip install --no-cache-dir --require-hashes -r requirements-node.lock \
 && npm ci --ignore-scripts "$([ "$WITH_BUILDS" = on ] && echo --include=optional || echo --omit=optional)"
# Of wa-js and of Swagger UI only the bundles are used; their source maps alone are larger. Scarf counts installations.
RUN find node_modules/@wppconnect/wa-js node_modules/swagger-ui-dist -type f ! -name package.json ! -iname '*license*' \
      ! -name NOTICE ! -name wppconnect-wa.js ! -name swagger-ui.css ! -name swagger-ui-bundle.js -delete \
 && rm -rf node_modules/@scarf \
 && find node_modules -type d -empty -delete \
 && rm -rf node_modules/.bin node_modules/.package-lock.json

# What is installed is what is locked; pip and setuptools stay behind in this stage.
FROM ${PYTHON_IMAGE} AS python-environment
WORKDIR /app
COPY requirements.lock ./
RUN python -m venv --without-pip /opt/venv \
 && pip --python /opt/venv/bin/python install --no-cache-dir --no-compile --no-deps --require-hashes -r requirements.lock
COPY setup.cfg pyproject.toml README.md LICENSE supervisord.conf ./
COPY whatsapp_contract ./whatsapp_contract
COPY browser_agent ./browser_agent
COPY scheduler ./scheduler
COPY workers ./workers
COPY web ./web
COPY webhooks ./webhooks
COPY cli ./cli
RUN pip --python /opt/venv/bin/python install --no-cache-dir --no-deps --no-build-isolation \
      --config-settings editable_mode=compat -e . \
 && pip --python /opt/venv/bin/python uninstall --yes setuptools wheel \
 && rm -rf build \
 && /opt/venv/bin/python -m compileall -q /app /opt/venv/lib

FROM ${PYTHON_IMAGE}
ARG BROWSER=auto
ARG TARGETARCH
SHELL ["/bin/bash", "-o", "pipefail", "-c"]
# What nobody reads or runs here is not even unpacked: manuals, translations, icons, and Mesa's drivers with their
# compiler, 160 MB that a browser without a GPU does not load.
RUN printf 'path-exclude=%s\n' '/usr/share/man/*' '/usr/share/info/*' '/usr/share/locale/*' '/usr/share/icons/*' \
      '/usr/share/lintian/*' '/usr/share/doc/*' '/usr/lib/chromium/locales/*' '/opt/google/chrome/locales/*' \
      '/usr/lib/*/libLLVM*' '/usr/lib/*/libz3*' '/usr/lib/*/dri/*' > /etc/dpkg/dpkg.cfg.d/slim \
 && printf 'path-include=%s\n' '/usr/share/doc/*/copyright' '/usr/share/icons/*.theme' '/usr/lib/chromium/locales/en-US*' \
      '/opt/google/chrome/locales/en-US*' >> /etc/dpkg/dpkg.cfg.d/slim
# Debian's packages are not pinned: its archive keeps only the newest, with what was mended.
# Redis, setpriv (util-linux), and fonts with emoji, Chinese, Japanese and Korean, for names of groups on screenshots.
# hadolint ignore=DL3008
RUN apt-get update \
 && apt-get install -y --no-install-recommends ca-certificates fonts-liberation fonts-noto-color-emoji fonts-wqy-zenhei \
      redis-server util-linux \
 && apt-get clean && rm -rf /var/lib/apt/lists/*
# TARGETARCH is BuildKit's; without it the machine's own counts.
# hadolint ignore=DL3008
RUN apt-get update \
 && if [ "$BROWSER" = chromium ] || [ "${TARGETARCH:-$(dpkg --print-architecture)}" != amd64 ]; then \
      apt-get install -y --no-install-recommends chromium \
      && ln -s /usr/lib/chromium/chromium /usr/local/bin/whatsapp-browser; \
    else \
      apt-get install -y --no-install-recommends curl \
      && curl -fsSL https://dl.google.com/linux/linux_signing_key.pub -o /usr/share/keyrings/google-chrome.asc \
      && echo "deb [arch=amd64 signed-by=/usr/share/keyrings/google-chrome.asc] https://dl.google.com/linux/chrome/deb/ stable main" \
         > /etc/apt/sources.list.d/google-chrome.list \
      && apt-get update \
      && apt-get install -y --no-install-recommends google-chrome-stable \
      && apt-get purge -y --auto-remove curl \
      && ln -s /opt/google/chrome/chrome /usr/local/bin/whatsapp-browser; \
    fi \
 && apt-get clean && rm -rf /var/lib/apt/lists/*
WORKDIR /app
COPY --from=python-environment /opt/venv /opt/venv
COPY --from=python-environment /app ./
COPY --from=wa-js /build/node_modules ./node_modules
COPY --from=wa-js /build/package.json ./

# What Python's own image brings for building.
RUN rm -rf /usr/local/lib/python3*/site-packages/{pip,setuptools,wheel}* /usr/local/lib/python3*/ensurepip \
      /usr/local/bin/{pip,wheel}*

ARG VERSION=0.1.0
ARG REVISION=unknown
ENV PATH=/opt/venv/bin:/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin \
    PUPPETEER_EXECUTABLE_PATH=/usr/local/bin/whatsapp-browser \
    DATA_DIR=/data \
    RUN_DIR=/run/whatsapp-container \
    HOME=/tmp \
    PYTHONDONTWRITEBYTECODE=1 \
    TZ=UTC
# A user of a number, so that an orchestrator can see that it is not root; any other will do. What it writes is below
# /data, /run and /tmp.
RUN groupadd --gid 10001 whatsapp \
 && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /tmp --shell /usr/sbin/nologin whatsapp \
 && install -d -o 10001 -g 10001 -m 0700 /data \
 && chmod 1777 /run \
 && install -d /usr/share/doc/whatsapp-container \
 && python -m cli.notices > /usr/share/doc/whatsapp-container/third-party.txt \
 && REVISION="$REVISION" python -m cli.versions > /etc/build-info.json
LABEL org.opencontainers.image.title="whatsapp-container" \
      org.opencontainers.image.description="Keeps one WhatsApp Web session alive and bridges it to a backend over Redis" \
      org.opencontainers.image.licenses="LicenseRef-proprietary" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION"
USER 10001:10001
VOLUME /data
EXPOSE 3100
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s --retries=3 CMD ["python", "-m", "cli.alive"]
CMD ["whatsapp-container", "run"]
