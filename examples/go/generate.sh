#!/bin/sh
# Writes wire/: the Go code of the contract. Needs Go and a Python 3.11 or 3.12, for the same protoc that writes the
# Python code (proto/generate.sh says why). Building and running the example needs neither protoc nor Python.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
venv="${WIRE_VENV:-$root/.venv-wire}"
[ -x "$venv/bin/python" ] || { "${WIRE_PYTHON:-python3.11}" -m venv "$venv" && "$venv/bin/pip" install -q grpcio-tools==1.63.2 'setuptools<80'; }
plugins=$(mktemp -d)
trap 'rm -rf "$plugins"' EXIT
GOBIN="$plugins" go install google.golang.org/protobuf/cmd/protoc-gen-go@v1.36.11
GOBIN="$plugins" go install google.golang.org/grpc/cmd/protoc-gen-go-grpc@v1.5.1
module=sidelight.dev/examples/sender
set --
for name in recorder rows columns labels lifecycle; do
  mapping="Msidelight/v1/$name.proto=$module/wire"
  set -- "$@" "--go_opt=$mapping" "--go-grpc_opt=$mapping" "sidelight/v1/$name.proto"
done
# The M options put the code into this module; the contract's own go_package stays for those who publish one.
PATH="$plugins:$PATH" "$venv/bin/python" -m grpc_tools.protoc -I"$root/proto" \
  --go_out="$here" --go_opt=module="$module" --go-grpc_out="$here" --go-grpc_opt=module="$module" "$@"
