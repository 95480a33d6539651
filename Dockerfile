# One image for the API, the light worker and the workers. On Linux torch brings its own CUDA libraries.
FROM python:3.12-slim

# torch takes memory in large pages.
ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 HF_HOME=/cache THP_MEM_ALLOC_ENABLE=1
WORKDIR /app

# torch.compile needs a compiler, and so do fast swaps on a CPU.
RUN apt-get update && apt-get install --no-install-recommends --yes g++ && rm -rf /var/lib/apt/lists/*

COPY requirements.lock requirements.txt requirements-api.txt requirements-worker.txt requirements-stack.txt ./
RUN pip install --no-cache-dir --no-deps --require-hashes -r requirements.lock \
    && pip install --no-cache-dir -r requirements.txt

# What may be written belongs to the user that runs; a new named volume takes over the folder's owner.
RUN useradd --system --uid 10001 --no-create-home stokehold \
    && mkdir /cache \
    && chown stokehold /cache
COPY . .
USER stokehold

EXPOSE 8000
