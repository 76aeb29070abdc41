# Build: docker build -t pgweir .
# Run:   docker run -p 6432:6432 -v ./pgweir.toml:/etc/pgweir/pgweir.toml:ro pgweir
# The configuration must listen on the container's address: listen_addr = "0.0.0.0".

FROM rust:1.95-slim-bookworm AS build
RUN apt-get update \
    && apt-get install -y --no-install-recommends gcc libc6-dev libclang-dev \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /pgweir
# Dependencies first, with nothing of our own: this layer lasts until Cargo.lock changes.
COPY Cargo.toml Cargo.lock ./
RUN mkdir src \
    && echo 'fn main() {}' > src/main.rs \
    && touch src/lib.rs \
    && cargo build --release --locked \
    && rm -rf src
COPY src src
# Cargo goes by time stamps, and the empty files above were younger than ours.
RUN find src -name '*.rs' -exec touch {} + \
    && cargo build --release --locked \
    && strip --strip-debug target/release/pgweir

# The program that asks PAM. It alone is linked with libpam, which Debian's image has.
FROM rust:1.95-slim-bookworm AS pam
RUN apt-get update \
    && apt-get install -y --no-install-recommends gcc libc6-dev libpam0g-dev \
    && rm -rf /var/lib/apt/lists/*
COPY pam /pam
RUN cargo build --release --locked --manifest-path /pam/Cargo.toml

FROM debian:bookworm-slim
RUN useradd --system --uid 6432 --no-create-home --shell /usr/sbin/nologin pgweir \
    && install -d -o pgweir -g pgweir /run/pgweir /etc/pgweir
COPY --from=build /pgweir/target/release/pgweir /usr/local/bin/pgweir
COPY --from=pam /pam/target/release/pgweir-pam /usr/local/bin/pgweir-pam
USER pgweir
EXPOSE 6432
# SIGINT lets what is under way finish and then stops, which fits the short grace of containers;
# SIGTERM would wait for clients to leave by themselves.
STOPSIGNAL SIGINT
ENTRYPOINT ["pgweir"]
CMD ["run", "-c", "/etc/pgweir/pgweir.toml"]
