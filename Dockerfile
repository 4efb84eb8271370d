# Node.js, the bundle and its documentation on a base without a shell or a package manager. docs/install-container.md
# has the commands. Pin both base images by digest where you build: --build-arg BASE_IMAGE=...@sha256:...
ARG BUILD_IMAGE=docker.io/library/node:24-bookworm-slim
# glibc, libstdc++, CA certificates and time zones.
ARG BASE_IMAGE=gcr.io/distroless/cc-debian12:latest

FROM ${BUILD_IMAGE} AS build
ARG SOURCE_DATE_EPOCH=0
WORKDIR /build
COPY package.json package-lock.json ./
# The bundler needs no install scripts; those of the development packages fetch servers for tests.
RUN npm ci --ignore-scripts --no-audit --no-fund
COPY . .
RUN npm run bundle && node release/stage.ts /opt/gitaly-exporter

FROM ${BASE_IMAGE}
ARG REVISION=unknown
LABEL org.opencontainers.image.title="gitaly-exporter" \
      org.opencontainers.image.description="Prometheus exporter for GitLab's Git storage: Praefect and Gitaly" \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.licenses="MIT"
COPY --from=build /usr/local/bin/node /usr/local/bin/node
COPY --from=build /opt/gitaly-exporter /opt/gitaly-exporter
# glibc gives each thread its own arena, which keeps the memory of a burst (40 MB less, and no slow growth).
ENV MALLOC_ARENA_MAX=2
# Not root: it writes no file, and reads only files that other users may read too.
USER 65534:65534
EXPOSE 9656
HEALTHCHECK --interval=30s --timeout=5s --start-period=10s \
  CMD ["/usr/local/bin/node", "/opt/gitaly-exporter/bin/gitaly-exporter.js", "healthcheck"]
# A small young generation: memory of a first load of a large database is returned to the system (60 MB less).
ENTRYPOINT ["/usr/local/bin/node", "--max-semi-space-size=4", "/opt/gitaly-exporter/bin/gitaly-exporter.js"]
CMD ["serve"]
