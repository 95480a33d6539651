# One image for the API, the light worker and the workers. On Linux torch brings its own CUDA libraries.
FROM python:3.12-slim

ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 HF_HOME=/cache
WORKDIR /app

COPY requirements-api.txt requirements.txt ./
RUN pip install --no-cache-dir -r requirements.txt

# What may be written belongs to the user that runs; a new named volume takes over the folder's owner.
RUN useradd --system --uid 10001 --no-create-home stokehold \
    && mkdir /cache /data \
    && chown stokehold /cache /data
COPY . .
USER stokehold

EXPOSE 8000
