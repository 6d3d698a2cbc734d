"""A command line on logboom_client.py, to try it out:

    python logboom_cli.py append web access.log --producer web-1
    python logboom_cli.py read web --backward
    python logboom_cli.py tail web -n 10
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import sys
from pathlib import Path

import grpc
from logboom.v1 import streams_pb2 as pb
from logboom_client import Client, LogboomError, Producer, chunks_of, read, tail


def append(client: Client, args: argparse.Namespace) -> None:
    client.call("CreateStream", pb.CreateStreamRequest(name=args.stream, if_not_exists=True))
    producer = Producer(client, args.stream, args.producer)
    already = producer.next_record_number
    repeated = 0
    with open(args.file, "rb") as file:
        lines = (line.removesuffix(b"\n") for line in file)
        # The number of a line is its record number: what an earlier run has appended is skipped.
        for chunk in chunks_of(itertools.islice(lines, already, None), args.batch):
            repeated += producer.append(chunk, args.zstd).repeated
    appended = producer.next_record_number - already
    print(json.dumps({"appended": appended, "skipped": already, "repeated_batches": repeated}))


def show(records) -> None:
    for record in records:
        sys.stdout.buffer.write(record.value + b"\n")
    sys.stdout.buffer.flush()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--address", default=os.environ.get("LOGBOOM_ADDRESS", "127.0.0.1:7400"), help="HOST:PORT,...")
    parser.add_argument("--tls-ca", help="authority of the server's certificate, PEM")
    parser.add_argument("--token-file", help="file that holds the token")
    commands = parser.add_subparsers(dest="command", required=True)
    for name in ("append", "read", "tail"):
        command = commands.add_parser(name)
        command.add_argument("stream")
        if name == "append":
            command.add_argument("file")
            command.add_argument("--producer", required=True)
            command.add_argument("--batch", type=int, default=1000, help="records in a batch")
            command.add_argument("--zstd", action="store_true", help="compress batches")
            continue
        command.add_argument("--from", type=int, dest="from_seq", help="position of the first record")
        if name == "read":
            command.add_argument("--backward", action="store_true")
            command.add_argument("--page", type=int, default=1000, help="records in a page")
        else:
            command.add_argument("-n", type=int, help="end after so many records")
    args = parser.parse_args()

    token = Path(args.token_file).read_text().strip() if args.token_file else None
    if token and not args.tls_ca:
        parser.error("--token-file needs --tls-ca: a token is not sent unencrypted")
    credentials = grpc.ssl_channel_credentials(Path(args.tls_ca).read_bytes()) if args.tls_ca else None
    client = Client(args.address.split(","), credentials, token)
    try:
        if args.command == "append":
            append(client, args)
        else:
            start = {} if args.from_seq is None else {"from_seq": args.from_seq}
            if args.command == "read":
                show(read(client, args.stream, args.backward, args.page, **start))
            else:
                show(itertools.islice(tail(client, args.stream, **start), args.n))
    except LogboomError as error:
        print(json.dumps({"reason": error.reason, "message": error.message, "facts": error.facts}), file=sys.stderr)
        return 1
    finally:
        client.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
