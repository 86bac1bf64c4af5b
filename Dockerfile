# The image: the program with its interpreter and its libraries, and nothing else. No shell, no package manager.
# Build it with `make image`, or with any tool that reads this file. Stage `files` is what the binary and the packages
# of a release are made of, so that they have the same program in them.

ARG PYTHON_IMAGE=docker.io/library/python:3.11-slim-bookworm

FROM ${PYTHON_IMAGE} AS build
# A mirror of PyPI, and a proxy's certificate, where there are such.
ARG PIP_INDEX_URL
ARG PIP_CERT
WORKDIR /build
RUN { command -v objcopy && command -v cc && test -e /usr/include/zstd.h; } >/dev/null || \
    { apt-get update && apt-get install -y --no-install-recommends binutils gcc libc6-dev libzstd-dev; }
COPY packaging/binary/requirements.txt packaging/binary/
RUN python3 -m venv /venv && /venv/bin/python -m pip install --no-cache-dir --require-hashes --only-binary :all: \
    --requirement packaging/binary/requirements.txt
COPY carpsidecar carpsidecar
COPY cmd cmd
COPY packaging/binary packaging/binary
# What git would say.
ARG COMMIT=unknown
ARG SOURCE_DATE_EPOCH=0
RUN export CARPSIDECAR_COMMIT="${COMMIT}" SOURCE_DATE_EPOCH="${SOURCE_DATE_EPOCH}" && \
    /venv/bin/python packaging/binary/tree.py /root-of-image/usr/lib/carpsidecar && \
    /venv/bin/python packaging/binary/build.py /carpsidecar /root-of-image/usr/lib/carpsidecar && \
    ln -s usr/lib/carpsidecar/carpsidecar /root-of-image/carpsidecar && \
    ln -s usr/lib/carpsidecar/carpsidecar /root-of-image/ucarp && \
    mkdir /root-of-image/usr/bin /root-of-image/etc && \
    ln -s ../lib/carpsidecar/carpsidecar /root-of-image/usr/bin/carpsidecar && \
    printf 'root:x:0:0::/:/\ncarpsidecar:x:64112:64112::/:/\n' >/root-of-image/etc/passwd && \
    printf 'root:x:0:\ncarpsidecar:x:64112:\n' >/root-of-image/etc/group && \
    mkdir -m 1777 /root-of-image/tmp

FROM scratch AS files
COPY --from=build /carpsidecar /carpsidecar
COPY --from=build /root-of-image/usr/lib/carpsidecar /tree

FROM scratch
ARG VERSION=unknown
ARG COMMIT=unknown
LABEL org.opencontainers.image.title="carpsidecar" \
    org.opencontainers.image.description="Float an IP address over machines: CARP, wire-compatible with ucarp and the BSDs" \
    org.opencontainers.image.licenses="Apache-2.0" \
    org.opencontainers.image.version="${VERSION}" \
    org.opencontainers.image.revision="${COMMIT}"
COPY --from=build /root-of-image /
# Root, but by number and without its power: it needs CAP_NET_ADMIN and CAP_NET_RAW and drops all others itself. Another
# user would have to be given the two as ambient capabilities, which Kubernetes can not do; where the runtime can
# (Podman), any number works. The reporter needs no capability: in a container of its own it is user `carpsidecar`.
USER 0:0
ENTRYPOINT ["/carpsidecar"]
CMD ["run"]
