# The companion on a CPU, data included: docker build -t companion . && docker run --rm -it -p 8888:8888 companion
# Results land in the container; to keep them: docker run --rm -v "$PWD/build:/companion/build" companion make repro
FROM python:3.11-slim
RUN apt-get update \
    && apt-get install --yes --no-install-recommends git make \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /companion
COPY requirements.txt pyproject.toml Makefile README.md ./
COPY lib lib
ENV VIRTUAL_ENV=/opt/companion PATH=/opt/companion/bin:$PATH
RUN python -m venv $VIRTUAL_ENV && make setup TORCH=cpu
COPY . .
RUN make data
EXPOSE 8888
CMD ["make", "lab", "ARGS=--allow-root --ip=0.0.0.0 --no-browser"]
