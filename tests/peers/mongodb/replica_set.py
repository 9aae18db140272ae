"""Makes a mongod on loopback a replica set of one node, and says whether it is primary.

    replica_set.py PORT NAME        exit status 0: it is the primary of a set

What `rs.initiate()` and `db.hello()` do in mongosh, without mongosh: two commands in OP_MSG
(https://www.mongodb.com/docs/manual/reference/mongodb-wire-protocol/).
"""

import socket
import struct
import sys

OP_MSG = 2013


def bson(fields: dict) -> bytes:
    """The BSON of a document of texts, 32-bit numbers, documents and lists."""
    body = b""
    for key, value in fields.items():
        name = key.encode() + b"\0"
        if isinstance(value, dict):
            body += b"\x03" + name + bson(value)
        elif isinstance(value, list):
            body += b"\x04" + name + bson({str(i): item for i, item in enumerate(value)})
        elif isinstance(value, str):
            text = value.encode() + b"\0"
            body += b"\x02" + name + struct.pack("<i", len(text)) + text
        else:
            body += b"\x10" + name + struct.pack("<i", value)
    return struct.pack("<i", len(body) + 5) + body + b"\0"


def ask(connection: socket.socket, command: dict) -> bytes:
    """Sends a command; the reply's document, not decoded."""
    body = struct.pack("<ib", 0, 0) + bson({**command, "$db": "admin"})
    connection.sendall(struct.pack("<iiii", 16 + len(body), 1, 0, OP_MSG) + body)
    with connection.makefile("rb") as replies:
        (length,) = struct.unpack("<i", replies.read(4))
        return replies.read(length - 4)[17:]


def main() -> int:
    port, name = sys.argv[1:]
    with socket.create_connection(("127.0.0.1", int(port)), timeout=5) as connection:
        member = {"_id": 0, "host": f"127.0.0.1:{port}"}
        # Refused when that was done before.
        ask(connection, {"replSetInitiate": {"_id": name, "members": [member]}})
        return b"\x08isWritablePrimary\0\x01" not in ask(connection, {"hello": 1})


if __name__ == "__main__":
    sys.exit(main())
