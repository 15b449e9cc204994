"""Generate `connect/wire/connect_wire_pb2.py` and its stub from `connect_wire.proto`.

`python proto/generate.py` writes them; `python proto/generate.py --check` compares instead and exits 1 where they differ.
Needs the pinned grpcio-tools of `requirements/proto.txt` (`make proto` sees to it): the generated code checks at import that
the protobuf runtime is not older than the one it was generated for, so the generator's version is part of the result.
"""

import sys
import tempfile
from importlib import resources
from pathlib import Path

from grpc_tools import protoc

PROTO = Path(__file__).parent / "connect_wire.proto"
TARGET = PROTO.parent.parent / "connect" / "wire"


def generate(into: Path) -> list[Path]:
    """Run protoc; returns the files written under *into*."""
    well_known = resources.files("grpc_tools") / "_proto"
    arguments = [
        "protoc",
        # Registered under a path of our own: the pool refuses two files of one name.
        f"--proto_path=statechart_connect={PROTO.parent}",
        f"--proto_path={well_known}",
        f"--python_out={into}",
        f"--pyi_out={into}",
        "statechart_connect/connect_wire.proto",
    ]
    if protoc.main(arguments) != 0:
        sys.exit("protoc failed; its message is above")
    return sorted(into.glob("statechart_connect/connect_wire_pb2.py*"))


def main() -> None:
    check = "--check" in sys.argv[1:]
    with tempfile.TemporaryDirectory() as scratch:
        for made in generate(Path(scratch)):
            committed = TARGET / made.name
            if not check:
                committed.write_text(made.read_text())
            elif not committed.exists() or committed.read_text() != made.read_text():
                sys.exit(f"{committed} is stale: run `make proto`")


if __name__ == "__main__":
    main()
