"""The senders in other languages: what of them can be judged without their toolchains. `make examples` runs them."""

from __future__ import annotations

import ast
import importlib
import json
import re
from pathlib import Path

import pytest
from google.protobuf import descriptor_pb2

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples"
CONTRACT = ("recorder", "rows", "columns", "labels", "lifecycle")


def _go_descriptor(source: str) -> descriptor_pb2.FileDescriptorProto:
    """The description of the .proto file that protoc-gen-go wrote into its code as quoted strings."""
    block = re.search(r'rawDesc = "" \+\n((?:\t".*"(?: \+)?\n)+)', source)
    assert block is not None
    quoted = re.findall(r'"((?:[^"\\]|\\.)*)"', block.group(1))
    # Go's quoting, as far as bytes of a description need it, is also Python's.
    raw = b"".join(ast.literal_eval(f'b"{part}"') for part in quoted)
    return descriptor_pb2.FileDescriptorProto.FromString(raw)


def _without_json_names(file: descriptor_pb2.FileDescriptorProto) -> descriptor_pb2.FileDescriptorProto:
    """protoc gives the names it derives for JSON to plugins only: without them both descriptions are alike."""
    pending = list(file.message_type)
    while pending:
        message = pending.pop()
        pending.extend(message.nested_type)
        for field in message.field:
            field.ClearField("json_name")
    return file


@pytest.mark.parametrize("name", CONTRACT)
def test_the_go_code_is_made_from_the_contract_as_it_is(name: str) -> None:
    """The committed Go code and the agent's own describe the same messages: see examples/go/generate.sh."""
    source = (EXAMPLES / "go" / "wire" / f"{name}.pb.go").read_text(encoding="utf-8")
    ours = importlib.import_module(f"agent.wire.{name}_pb2").DESCRIPTOR.serialized_pb
    assert _without_json_names(_go_descriptor(source)) == descriptor_pb2.FileDescriptorProto.FromString(ours)


def test_the_lock_file_names_no_registry() -> None:
    """A mirror must work as well as the public registry; every package still has its checksum."""
    lock = json.loads((EXAMPLES / "node" / "package-lock.json").read_text())
    packages = {name: entry for name, entry in lock["packages"].items() if name}
    assert packages
    assert not [name for name, entry in packages.items() if "resolved" in entry]
    assert not [name for name, entry in packages.items() if "integrity" not in entry]


def test_no_sender_uses_a_sidelight_library() -> None:
    """What they show is that the .proto files are enough: their only dependencies are gRPC's own."""
    package = json.loads((EXAMPLES / "node" / "package.json").read_text())
    assert set(package["dependencies"]) == {"@grpc/grpc-js", "@grpc/proto-loader"}
    lines = (EXAMPLES / "go" / "go.mod").read_text().splitlines()
    direct = {line.split()[0] for line in lines if line.startswith("\t") and not line.endswith("// indirect")}
    assert direct == {"google.golang.org/grpc", "google.golang.org/protobuf"}
