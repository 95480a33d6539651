"""Storage on a real S3-compatible server."""

from __future__ import annotations

import base64
import hashlib
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from http import HTTPStatus

import pytest

from storage import (
    BucketMissing,
    ObjectNotFound,
    PublicBucket,
    S3Config,
    S3Storage,
    StorageError,
    StorageMisconfigured,
    StorageNotReachable,
)
from storage.client import PROMPT, connect
from tests.support.waiting import patience

PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 40


def fetched(url: str) -> bytes:
    """What anybody gets who opens a URL."""
    with urllib.request.urlopen(url, timeout=patience(5)) as response:
        return bytes(response.read())


def refusal(url: str) -> int:
    """The status with which a URL is refused."""
    with pytest.raises(urllib.error.HTTPError) as refused, urllib.request.urlopen(url, timeout=patience(5)):
        pass
    refused.value.close()
    return refused.value.code


def test_what_is_put_can_be_got(storage: S3Storage) -> None:
    stored = storage.put("images/1/0.png", PNG, content_type="image/png")

    assert storage.get("images/1/0.png") == PNG
    assert (stored.key, stored.bytes, stored.sha256) == ("images/1/0.png", len(PNG), hashlib.sha256(PNG).hexdigest())


def test_an_object_can_be_replaced(storage: S3Storage) -> None:
    storage.put("a", b"first", content_type="text/plain")
    storage.put("a", b"second", content_type="text/plain")

    assert storage.get("a") == b"second"


def test_an_object_keeps_its_type_its_metadata_and_its_checksum(storage: S3Storage, bucket: S3Config) -> None:
    storage.put("a.png", PNG, content_type="image/png", metadata={"job": "j1"})

    head = connect(bucket, bucket.endpoint, PROMPT).head_object(
        Bucket=bucket.bucket, Key="a.png", ChecksumMode="ENABLED"
    )
    assert head["ContentType"] == "image/png"
    assert head["CacheControl"] == "public, max-age=31536000, immutable"
    assert head["Metadata"] == {"job": "j1"}
    assert base64.b64decode(head["ChecksumSHA256"]) == hashlib.sha256(PNG).digest()


def test_metadata_that_s3_cannot_carry_is_an_error_of_ours(storage: S3Storage) -> None:
    with pytest.raises(StorageError, match="cannot take this request"):
        storage.put("a.png", PNG, content_type="image/png", metadata={"prompt": "ein grüner Kreis"})


def test_an_unknown_key_is_not_found(storage: S3Storage) -> None:
    with pytest.raises(ObjectNotFound):
        storage.get("nothing")


def test_a_prefix_lists_its_keys_in_order(storage: S3Storage) -> None:
    for key in ("images/2/0.png", "images/1/1.png", "images/1/0.png", "other"):
        storage.put(key, b"x", content_type="image/png")

    assert list(storage.list("images/")) == ["images/1/0.png", "images/1/1.png", "images/2/0.png"]
    assert list(storage.list("nothing/")) == []


def test_deleting_a_prefix_leaves_the_rest(storage: S3Storage) -> None:
    for key in ("images/1/0.png", "images/1/1.png", "images/10/0.png"):
        storage.put(key, b"x", content_type="image/png")

    assert storage.delete("images/1/") == 2
    assert list(storage.list("")) == ["images/10/0.png"]
    assert storage.delete("images/1/") == 0


def test_more_objects_than_one_request_takes_are_listed_and_deleted(storage: S3Storage) -> None:
    with ThreadPoolExecutor(8) as threads:
        keys = [f"many/{number:04}" for number in range(1001)]
        list(threads.map(lambda key: storage.put(key, b"x", content_type="text/plain"), keys))

    assert list(storage.list("many/")) == keys
    assert storage.delete("many/") == 1001
    assert list(storage.list("")) == []


def test_an_empty_prefix_deletes_nothing(storage: S3Storage) -> None:
    storage.put("a", b"x", content_type="text/plain")

    with pytest.raises(ValueError, match="every object"):
        storage.delete("")
    assert list(storage.list("")) == ["a"]


def test_a_large_object_is_copied_and_read_back(storage: S3Storage) -> None:
    content = bytes(64 << 20)
    storage.put("a", content, content_type="application/octet-stream")

    storage.copy("a", "b")
    found = storage.digest("b")

    assert (found.bytes, found.sha256) == (len(content), hashlib.sha256(content).hexdigest())


def test_what_is_not_there_is_not_copied(storage: S3Storage) -> None:
    with pytest.raises(ObjectNotFound):
        storage.copy("nothing", "b")
    with pytest.raises(ObjectNotFound):
        storage.digest("nothing")


def test_an_upload_url_takes_the_announced_size_alone(storage: S3Storage) -> None:
    url = storage.upload_url("a", content_type="text/plain", size_bytes=5)

    statuses = [sent(url, body) for body in (b"too long", b"short"[:4], b"right")]

    assert statuses == [HTTPStatus.FORBIDDEN, HTTPStatus.FORBIDDEN, HTTPStatus.OK]
    assert storage.get("a") == b"right"


def sent(url: str, body: bytes) -> int:
    """The status with which a PUT is answered."""
    request = urllib.request.Request(url, body, {"Content-Type": "text/plain"}, method="PUT")
    try:
        with urllib.request.urlopen(request, timeout=patience(5)) as response:
            return int(response.status)
    except urllib.error.HTTPError as error:
        error.close()
        return error.code


def test_a_presigned_url_opens_the_object_without_credentials(storage: S3Storage) -> None:
    storage.put("images/größe 1/+%.png", PNG, content_type="image/png")

    assert fetched(storage.url("images/größe 1/+%.png")) == PNG


def test_a_url_without_its_signature_or_with_another_key_is_refused(storage: S3Storage) -> None:
    for key in ("a.png", "b.png"):
        storage.put(key, PNG, content_type="image/png")
    url = storage.url("a.png")

    assert refusal(url.partition("?")[0]) == HTTPStatus.FORBIDDEN
    assert refusal(url.replace("/a.png", "/b.png")) == HTTPStatus.FORBIDDEN


def test_a_presigned_url_expires(bucket: S3Config) -> None:
    storage = S3Storage(replace(bucket, url_ttl_s=1))
    storage.put("a.png", PNG, content_type="image/png")
    url = storage.url("a.png")

    time.sleep(2.1)

    assert refusal(url) == HTTPStatus.FORBIDDEN
    assert fetched(storage.url("a.png")) == PNG


def test_a_presigned_url_names_the_endpoint_that_clients_reach(bucket: S3Config) -> None:
    assert bucket.endpoint is not None
    outside = bucket.endpoint.replace("127.0.0.1", "localhost")
    inside = S3Storage(replace(bucket, public_endpoint=outside))
    inside.put("a.png", PNG, content_type="image/png")

    url = inside.url("a.png")

    assert url.startswith(outside)
    assert fetched(url) == PNG


@pytest.mark.parametrize("base", ["https://cdn.example.com/pictures", "https://cdn.example.com/pictures/"])
def test_a_public_base_url_needs_no_signature(bucket: S3Config, base: str) -> None:
    storage = S3Storage(replace(bucket, public=PublicBucket("public", "images/", base)))

    assert storage.url("images/a b.png") == "https://cdn.example.com/pictures/images/a%20b.png"
    assert "X-Amz-Signature" in storage.url("batches/results.jsonl")


@pytest.fixture
def public(bucket: S3Config) -> Iterator[S3Config]:
    """The test's own bucket, and a public one."""
    config = replace(bucket, public=PublicBucket(f"{bucket.bucket}-public", "images/", "https://cdn.example.com"))
    S3Storage(config).ensure_buckets()
    yield config
    alone = S3Storage(replace(config, bucket=config.buckets[1], public=None))
    alone.delete("images/")
    alone._client.delete_bucket(Bucket=config.buckets[1])


def test_images_lie_in_the_public_bucket_and_everything_else_in_the_other(public: S3Config) -> None:
    storage = S3Storage(public)
    private, open_to_all = (S3Storage(replace(public, bucket=name, public=None)) for name in public.buckets)

    for key in ("images/1/0.png", "manifests/1/1.json", "adapters/1.safetensors", "batches/1/input.jsonl"):
        storage.put(key, PNG, content_type="image/png")

    assert list(open_to_all.list("")) == ["images/1/0.png"]
    assert len(list(private.list(""))) == 3
    assert storage.get("images/1/0.png") == storage.get("manifests/1/1.json") == PNG
    assert list(storage.list("images/")) == ["images/1/0.png"]
    assert storage.delete("images/1/") == 1
    assert list(open_to_all.list("")) == []


def test_a_public_bucket_that_is_missing_is_named(public: S3Config) -> None:
    assert public.public is not None
    storage = S3Storage(replace(public, create_bucket=False, public=replace(public.public, name="not-there")))

    for attempt in (storage.ensure_buckets, storage.check):
        with pytest.raises(BucketMissing, match=r"'not-there'.*STOKEHOLD_S3_PUBLIC_BUCKET"):
            attempt()


def test_a_missing_bucket_is_made_where_that_is_allowed(s3: S3Config) -> None:
    storage = S3Storage(replace(s3, bucket="made-at-start"))

    storage.ensure_buckets()
    storage.ensure_buckets()

    storage.check()


def test_a_missing_bucket_is_an_error_where_it_may_not_be_made(s3: S3Config) -> None:
    storage = S3Storage(replace(s3, create_bucket=False))

    for attempt in (storage.ensure_buckets, storage.check):
        with pytest.raises(BucketMissing, match=r"no bucket 'never-made'.*STOKEHOLD_S3_BUCKET"):
            attempt()
    with pytest.raises(BucketMissing):
        storage.put("a", b"x", content_type="text/plain")


def test_a_name_that_no_bucket_can_have_is_an_error(s3: S3Config) -> None:
    with pytest.raises(StorageError, match="Not a name"):
        S3Storage(replace(s3, bucket="Not a name")).ensure_buckets()


def test_an_unknown_access_key_names_its_setting(bucket: S3Config) -> None:
    with pytest.raises(StorageMisconfigured, match=r"'somebody'.*STOKEHOLD_S3_ACCESS_KEY"):
        S3Storage(replace(bucket, access_key="somebody")).ensure_buckets()


def test_a_wrong_secret_key_names_its_setting_and_keeps_the_secret(bucket: S3Config) -> None:
    with pytest.raises(StorageMisconfigured, match="STOKEHOLD_S3_SECRET_KEY") as failure:
        S3Storage(replace(bucket, secret_key="wrong-secret")).ensure_buckets()

    assert "wrong-secret" not in str(failure.value)
    assert "wrong-secret" not in repr(replace(bucket, secret_key="wrong-secret"))


def test_half_of_the_credentials_name_both_settings(bucket: S3Config) -> None:
    with pytest.raises(StorageMisconfigured, match="STOKEHOLD_S3_SECRET_KEY"):
        S3Storage(replace(bucket, secret_key=None))


@pytest.mark.parametrize("verb", ["check", "ensure_buckets"])
def test_an_endpoint_without_a_server_is_named(bucket: S3Config, verb: str) -> None:
    storage = S3Storage(replace(bucket, endpoint="http://127.0.0.1:1"))

    with pytest.raises(StorageNotReachable, match=r"http://127.0.0.1:1 does not answer.*STOKEHOLD_S3_ENDPOINT"):
        getattr(storage, verb)()


def test_an_endpoint_that_is_no_url_is_an_error_at_once(bucket: S3Config) -> None:
    with pytest.raises(StorageMisconfigured, match="STOKEHOLD_S3_ENDPOINT"):
        S3Storage(replace(bucket, endpoint="http://"))
