"""A client of Logboom on the code that grpcio-tools generates from proto/: all that it takes where there is no library.

See docs/clients.md. Read it from the top: errors, calls, batches, appends, reads.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import grpc
import zstandard
from google.rpc import error_details_pb2, status_pb2
from logboom.v1 import streams_pb2 as pb
from logboom.v1 import streams_pb2_grpc


# ---------------------------------------------------------------------------------------------------------- errors


@dataclass
class LogboomError(Exception):
    """A refusal, as the server explains it. Programs decide by `reason` (docs/errors.md)."""

    reason: str
    message: str
    facts: dict[str, str] = field(default_factory=dict)
    retryable: bool = False
    retry_after_s: float = 0.0

    def __str__(self) -> str:
        return f"{self.message} ({self.reason})"


def explain(error: grpc.RpcError) -> LogboomError:
    """Reads the details that travel with a failed call."""
    trailers = dict(error.trailing_metadata() or ())
    status = status_pb2.Status.FromString(trailers.get("grpc-status-details-bin", b""))
    info, retry = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo()
    has_info = any(detail.Unpack(info) for detail in status.details)
    # Exactly where the same request may be sent again.
    retryable = any(detail.Unpack(retry) for detail in status.details)
    if has_info:
        delay_s = retry.retry_delay.ToTimedelta().total_seconds()
        return LogboomError(info.reason, status.message, dict(info.metadata), retryable, delay_s)
    # It did not reach a server, or gRPC itself ended it.
    retryable = error.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)
    return LogboomError(error.code().name, error.details() or "", {}, retryable)


# ----------------------------------------------------------------------------------------------------------- calls


class Client:
    """Any node serves every request: it passes on what another one leads. So one node is enough, and when it does not answer
    the next one is asked."""

    def __init__(
        self,
        addresses: Sequence[str],
        credentials: grpc.ChannelCredentials | None = None,
        token: str | None = None,
        deadline_s: float = 10.0,
        give_up_after_s: float = 60.0,
    ):
        self._addresses = list(addresses)
        self._credentials = credentials
        # Never over an unencrypted channel beyond this machine.
        self._metadata = [("authorization", f"Bearer {token}")] if token else []
        self._deadline_s = deadline_s
        self._give_up_after_s = give_up_after_s
        self._current = 0
        self._channel: grpc.Channel | None = None

    def stub(self) -> streams_pb2_grpc.StreamServiceStub:
        if self._channel is None:
            address = self._addresses[self._current]
            self._channel = (
                grpc.insecure_channel(address)
                if self._credentials is None
                else grpc.secure_channel(address, self._credentials)
            )
        return streams_pb2_grpc.StreamServiceStub(self._channel)

    def next_node(self) -> None:
        self.close()
        self._current = (self._current + 1) % len(self._addresses)

    def close(self) -> None:
        if self._channel is not None:
            self._channel.close()
            self._channel = None

    def call(self, method: str, request: Any) -> Any:
        """One answer. The request is sent again, where that can help, until it is answered or it takes too long. An append
        must carry a producer for this: otherwise one whose answer was lost is stored twice."""
        return self.retrying(
            lambda: getattr(self.stub(), method)(request, timeout=self._deadline_s, metadata=self._metadata)
        )

    def retrying(self, attempt: Callable[[], Any]) -> Any:
        until = time.monotonic() + self._give_up_after_s
        delay_s = 0.05
        while True:
            try:
                return attempt()
            except grpc.RpcError as failure:
                error = explain(failure)
                if not error.retryable or time.monotonic() > until:
                    raise error from failure
                if failure.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED):
                    self.next_node()
                time.sleep(max(error.retry_after_s, delay_s * random.uniform(0.5, 1)))
                delay_s = min(2 * delay_s, 2.0)


# --------------------------------------------------------------------------------------------------------- batches


def encode_batch(values: Sequence[bytes], compress: bool = False) -> pb.RecordBatch:
    """A batch is stored as it comes: compressed once, here, and unpacked by whoever reads it."""
    records = pb.RecordSet(records=[pb.Record(value=value) for value in values])
    if not compress:
        return pb.RecordBatch(records=records)
    encoded = records.SerializeToString()
    return pb.RecordBatch(
        codec=pb.CODEC_ZSTD,
        record_count=len(values),
        uncompressed_bytes=len(encoded),
        compressed=zstandard.compress(encoded),
    )


@dataclass(frozen=True)
class Record:
    seq: int
    append_time_unix_ms: int
    value: bytes
    producer_id: str | None
    record_number: int | None


ACCEPTED_CODECS = [pb.CODEC_ZSTD]


def records_of(piece: pb.BatchSlice) -> list[Record]:
    """The records of a stored batch that belong to the page: a window of it, in the order of their positions."""
    batch = piece.batch
    if batch.codec == pb.CODEC_ZSTD:
        encoded = zstandard.decompress(batch.compressed, max_output_size=batch.uncompressed_bytes)
        records = pb.RecordSet.FromString(encoded).records
    else:
        records = batch.records.records
    has_producer = piece.HasField("producer")
    window = range(piece.window_offset, piece.window_offset + piece.window_count)
    return [
        Record(
            seq=piece.first_seq + index,
            append_time_unix_ms=piece.append_time_unix_ms,
            value=records[index].value,
            producer_id=piece.producer.id if has_producer else None,
            record_number=piece.producer.first_record_number + index if has_producer else None,
        )
        for index in window
    ]


# --------------------------------------------------------------------------------------------------------- appends


class Producer:
    """Appends each of its records exactly once, also over restarts: it numbers them, and the server remembers how far it came.
    `next_record_number` says which of its records it is to go on with."""

    def __init__(self, client: Client, stream: str, producer_id: str):
        self._client = client
        self._stream = stream
        self._id = producer_id
        state = client.call("GetProducer", pb.GetProducerRequest(stream=stream, producer_id=producer_id))
        # A higher epoch locks out an earlier instance of this producer that may still be running.
        self._epoch = state.epoch + 1 if state.known else 0
        self.next_record_number = state.next_record_number

    def append(self, values: Sequence[bytes], compress: bool = False) -> pb.AppendResponse:
        request = pb.AppendRequest(
            stream=self._stream,
            batch=encode_batch(values, compress),
            producer=pb.ProducerPosition(
                id=self._id, epoch=self._epoch, first_record_number=self.next_record_number
            ),
        )
        # The very same request again, when the answer does not come: what is stored already is answered, not stored.
        answer = self._client.call("Append", request)
        self.next_record_number += len(values)
        return answer


def chunks_of(values: Iterable[bytes], records_max: int = 1000, bytes_max: int = 1 << 20) -> Iterator[list[bytes]]:
    """Batches below the limits of the server."""
    chunk: list[bytes] = []
    size = 0
    for value in values:
        if chunk and (len(chunk) == records_max or size + len(value) > bytes_max):
            yield chunk
            chunk, size = [], 0
        chunk.append(value)
        size += len(value)
    if chunk:
        yield chunk


# ----------------------------------------------------------------------------------------------------------- reads


def read(client: Client, stream: str, backward: bool = False, page_size: int = 1000, **start: int) -> Iterator[Record]:
    """All records from `start` (from_seq, since_unix_ms or last) to the end of the stream, page by page."""
    options: dict[str, Any] = {
        "stream": stream,
        "direction": pb.DIRECTION_BACKWARD if backward else pb.DIRECTION_FORWARD,
        "limit": page_size,
        "accept_codecs": ACCEPTED_CODECS,
    }
    request = pb.ReadRequest(**options, **start)
    while True:
        page = client.call("Read", request)
        # Backward, batches come newest first; each is still encoded oldest first.
        for piece in page.batches:
            records = records_of(piece)
            yield from reversed(records) if backward else records
        if page.end == pb.PAGE_END_STREAM:
            return
        request = pb.ReadRequest(**options, page_token=page.next_page_token)


def tail(client: Client, stream: str, **start: int) -> Iterator[Record]:
    """Records from `start` on, by default from now on, and what is appended later; for as long as it is read. A lost connection
    is made again, and nothing is missing or repeated."""
    request = pb.TailRequest(stream=stream, accept_codecs=ACCEPTED_CODECS, **start)
    while True:
        call = client.stub().Tail(request, metadata=client._metadata)
        try:
            for message in call:
                for piece in message.batches:
                    yield from records_of(piece)
                # Also of a message without records, which is a sign of life.
                request = pb.TailRequest(
                    stream=stream, accept_codecs=ACCEPTED_CODECS, page_token=message.next_page_token
                )
        except grpc.RpcError as failure:
            error = explain(failure)
            if not error.retryable:
                raise error from failure
            client.next_node()
            time.sleep(max(error.retry_after_s, 0.2))
        finally:
            call.cancel()
