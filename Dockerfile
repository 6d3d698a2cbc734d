# The server and the command line in one image: docs/deploy.md.
#
#   docker build -t logboom .

FROM node:24-bookworm-slim AS build
WORKDIR /build
# All native packages come with binaries; no script of a package is run.
COPY package.json package-lock.json .npmrc ./
RUN npm ci --ignore-scripts --loglevel=error
COPY tsconfig.json tsconfig.build.json ./
COPY src src
RUN npm run build && rm dist/.tsbuildinfo
# What runs needs neither the tools, nor binaries for other platforms, nor the sources and types of packages.
RUN npm prune --omit=dev --ignore-scripts --loglevel=error \
  && find node_modules -type d -path '*/prebuilds/*' ! -name "linux-$(node -p process.arch)*" -prune -exec rm -r {} + \
  && find node_modules -type f \( -name '*.map' -o -name '*.d.ts' -o -name '*.d.cts' -o -name '*.d.mts' -o -name '*.md' \) -delete

FROM node:24-bookworm-slim
LABEL org.opencontainers.image.title="Logboom" \
  org.opencontainers.image.description="A replicated, partitioned log server" \
  org.opencontainers.image.licenses="Apache-2.0"
ENV NODE_ENV=production
COPY --from=build /build/node_modules /opt/logboom/node_modules
COPY --from=build /build/dist /opt/logboom/dist
COPY package.json LICENSE /opt/logboom/
COPY bin /opt/logboom/bin
COPY proto /opt/logboom/proto
COPY docker/health-check.cjs /opt/logboom/docker/
# A volume that is mounted for the first time belongs to whom the directory belongs to. dataDir is `data` below the working
# directory, by default and not by a variable, which would win over a configuration file.
RUN ln -s ../../../opt/logboom/bin/logboom.cjs /usr/local/bin/logboom \
  && install -d -o node -g node -m 0700 /var/lib/logboom /snapshots
WORKDIR /var/lib/logboom
VOLUME /var/lib/logboom
USER node
EXPOSE 7400 7401 7402
# Whether a restart would help; whether a node serves is another question, see the compose file.
HEALTHCHECK --interval=10s --timeout=5s --start-period=5m --retries=3 \
  CMD ["node", "/opt/logboom/docker/health-check.cjs", "/healthz"]
# Process 1 is the node itself, which answers SIGTERM by handing over, draining and flushing. Give a stop a minute.
STOPSIGNAL SIGTERM
ENTRYPOINT ["logboom"]
CMD ["server"]
