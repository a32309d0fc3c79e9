# The image of the router, in two variants that hold the same program:
#
#   docker build -t vllm-router:0.1.0 .                     on Node, the default
#   docker build -t vllm-router:0.1.0-bun --target bun .    on Bun
#
# It runs as uid 10001 and writes nothing: a read-only root file system is enough. docs/kubernetes.md says how to run it.

# What the program needs of others. Nothing of it is compiled, so no package may run a script. `optional` too is left out:
# a dependency names the compiler as an optional peer, and without that word it would be in the image.
FROM node:24.21.0-bookworm-slim AS dependencies
WORKDIR /build
COPY package.json package-lock.json ./
RUN npm ci --omit=dev --omit=optional --ignore-scripts --no-audit --no-fund

# TypeScript to JavaScript, once for both runtimes.
FROM node:24.21.0-bookworm-slim AS build
WORKDIR /build
COPY package.json package-lock.json ./
RUN npm ci --ignore-scripts --no-audit --no-fund
COPY tsconfig.json tsconfig.build.json ./
COPY app ./app
COPY http ./http
COPY middleware ./middleware
COPY policies ./policies
COPY sim ./sim
RUN node_modules/.bin/tsc -p tsconfig.build.json --declaration false

# Exactly what the project puts into the image. No simulator: without --demo it is never loaded.
FROM scratch AS program
COPY LICENSE /app/LICENSE
COPY --from=dependencies /build/node_modules /app/node_modules
COPY --from=build /build/dist/package.json /app/package.json
COPY --from=build /build/dist/app /app/app
# The page of the operations listener is sent as it is.
COPY --from=build /build/app/operations/page /app/app/operations/page
COPY --from=build /build/dist/http /app/http
COPY --from=build /build/dist/middleware /app/middleware
COPY --from=build /build/dist/policies /app/policies

FROM oven/bun:1.4.5-slim AS bun
# Not pinned to a version: Debian keeps only the newest one, and an old pin breaks the build.
RUN apt-get update \
  && apt-get install -y --no-install-recommends ca-certificates curl \
  && rm -rf /var/lib/apt/lists/*
COPY --from=program /app /app
ENV NODE_ENV=production \
  VLLM_ROUTER_HOST=0.0.0.0 \
  VLLM_ROUTER_PROMETHEUS_HOST=0.0.0.0
USER 10001:10001
EXPOSE 8080 29000
STOPSIGNAL SIGTERM
# Asks whether the router lives, not whether its workers do: no restart of the router heals a worker.
HEALTHCHECK --interval=10s --timeout=6s --start-period=20s --retries=6 \
  CMD ["bun", "/app/app/main.js", "health", "--url", "/liveness"]
ENTRYPOINT ["bun", "/app/app/main.js"]

FROM node:24.21.0-bookworm-slim AS node
# A router has no use for package managers; the guide's commands use curl.
RUN apt-get update \
  && apt-get install -y --no-install-recommends ca-certificates curl \
  && rm -rf /var/lib/apt/lists/* /usr/local/lib/node_modules /opt/yarn-* \
    /usr/local/bin/npm /usr/local/bin/npx /usr/local/bin/corepack /usr/local/bin/yarn /usr/local/bin/yarnpkg
COPY --from=program /app /app
ENV NODE_ENV=production \
  VLLM_ROUTER_HOST=0.0.0.0 \
  VLLM_ROUTER_PROMETHEUS_HOST=0.0.0.0
USER 10001:10001
EXPOSE 8080 29000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=6s --start-period=20s --retries=6 \
  CMD ["node", "/app/app/main.js", "health", "--url", "/liveness"]
ENTRYPOINT ["node", "/app/app/main.js"]
