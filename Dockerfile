# One image for web processes and workers: `run …` or `worker …` is its command.

FROM node:22-trixie-slim AS front
WORKDIR /source
COPY package.json package-lock.json .npmrc ./
RUN npm ci --omit=dev --no-progress

FROM python:3.13-slim-trixie AS build
WORKDIR /source
COPY requirements.txt ./
RUN python3 -m venv /opt/transfer-portal
RUN /opt/transfer-portal/bin/pip install --no-cache-dir --disable-pip-version-check --no-deps --require-hashes -r requirements.txt
COPY . .
COPY --from=front /source/node_modules node_modules
RUN python3 hatch_build.py
RUN /opt/transfer-portal/bin/pip install --no-cache-dir --disable-pip-version-check --no-deps .
RUN mkdir -p made/data made/files

FROM python:3.13-slim-trixie
LABEL org.opencontainers.image.title="Transfer Portal" \
    org.opencontainers.image.description="A web portal that runs rclone transfers and shows their progress live" \
    org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /opt/transfer-portal /opt/transfer-portal
COPY --from=build --chown=10001:10001 /source/made/data /var/lib/transfer-portal
COPY --from=build --chown=10001:10001 /source/made/files /srv/files
ENV PATH=/opt/transfer-portal/bin:$PATH \
    HOME=/var/lib/transfer-portal \
    PYTHONUNBUFFERED=1 \
    PORTAL_HOST=0.0.0.0 \
    PORTAL_DATA_DIR=/var/lib/transfer-portal \
    PORTAL_TRANSFER_ROOTS=/srv/files \
    PORTAL_LOG_FORMAT=json
USER 10001:10001
VOLUME ["/var/lib/transfer-portal", "/srv/files"]
EXPOSE 8000
STOPSIGNAL SIGTERM
# Of a web process. A worker serves nothing: for it, deploy/compose.yaml asks the database instead.
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s \
    CMD ["python3", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8000/healthz', timeout=3)"]
ENTRYPOINT ["portal"]
CMD ["run"]
