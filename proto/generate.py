"""Generates `connect/wire/connect_wire_pb2.py` and its stub from `connect_wire.proto`.

`python proto/generate.py` writes the files; `python proto/generate.py --check` compares them and exits with 1 if they differ.
It needs the pinned grpcio-tools of `requirements/proto.txt`, which `make proto` installs: the generated code fails to import with
a protobuf runtime older than the generator's, so another generator makes other code.
"""

import sys
import tempfile
from importlib import resources
from pathlib import Path

from grpc_tools import protoc

PROTO = Path(__file__).parent / "connect_wire.proto"
TARGET = PROTO.parent.parent / "connect" / "wire"


def generate(into: Path) -> list[Path]:
    """Run protoc. Returns the files that it wrote under *into*."""
    well_known = resources.files("grpc_tools") / "_proto"
    arguments = [
        "protoc",
        # A path of our own: the descriptor pool refuses a second file of the same name.
        f"--proto_path=statechart_connect={PROTO.parent}",
        f"--proto_path={well_known}",
        f"--python_out={into}",
        f"--pyi_out={into}",
        "statechart_connect/connect_wire.proto",
    ]
    if protoc.main(arguments) != 0:
        sys.exit("protoc failed: see its message above")
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
