#!/bin/sh
# Writes the Python code of the contract. Generated with an old compiler on purpose: its output runs on every protobuf
# runtime from 4.25 on, a newer one's refuses older runtimes. Needs Python 3.11 or 3.12 (grpcio-tools 1.63.2 has no later wheel).
set -eu
cd "$(dirname "$0")/.."
venv="${WIRE_VENV:-.venv-wire}"
[ -x "$venv/bin/python" ] || { "${WIRE_PYTHON:-python3.11}" -m venv "$venv" && "$venv/bin/pip" install -q grpcio-tools==1.63.2 'setuptools<80'; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"$venv/bin/python" -m grpc_tools.protoc -Iproto --python_out="$work" --pyi_out="$work" proto/sidelight/v1/*.proto
public="recorder rows columns labels lifecycle"
put() { # package, folder, names
  package=$1 folder=$2
  shift 2
  mkdir -p "$folder"
  for name in "$@"; do
    for end in _pb2.py _pb2.pyi; do
      sed "s/^from sidelight\.v1 import /from $package import /" "$work/sidelight/v1/$name$end" > "$folder/$name$end"
    done
  done
}
put agent.wire agent/wire $public reference twin state
put sidelight.wire clients/python/src/sidelight/wire $public
