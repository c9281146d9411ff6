#!/bin/sh
# Runs every sender against an agent of its own and checks that the agent counted what they sent. `make examples`.
# Without Node or Go that sender is skipped, and said so; with CI=true it is an error.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
cd "$here/.."
python="${PYTHON:-$PWD/.venv/bin/python}"
work=$(mktemp -d)
agent=
finish() {
  [ -z "$agent" ] || { kill "$agent" && wait "$agent"; } 2>/dev/null || true
  rm -rf "$work"
}
trap finish EXIT
trap 'exit 130' INT TERM

port=$("$python" -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
export SIDELIGHT_ENDPOINT="unix:$work/agent.sock" SIDELIGHT_STATE_DIR="$work/state" SIDELIGHT_HTTP="127.0.0.1:$port"
export OTEL_SDK_DISABLED=true
"$python" -m agent.cli run >"$work/agent.log" 2>&1 &
agent=$!
"$python" "$here/check.py" ready || { cat "$work/agent.log" >&2; exit 1; }

fail() { echo "examples: $*" >&2; cat "$work/agent.log" >&2; exit 1; }

# have TOOL SENDER: is it there? Missing: skipped on a person's machine, an error in CI.
have() {
  command -v "$1" >/dev/null && return 0
  [ "${CI:-}" != true ] || fail "$1 is missing"
  echo "examples: $1 is not installed: the $2 sender was skipped"
  return 1
}

# try MODEL COMMAND…: the agent takes everything; and a message without a model's name it refuses, which the sender says.
try() {
  model=$1
  shift
  "$@" "$model" || fail "$model: exit status $?"
  if "$@" '' >"$work/refused.log" 2>&1; then fail "$model: a refusal went unnoticed"; fi
  grep -q REASON_MODEL_MISSING "$work/refused.log" || { cat "$work/refused.log" >&2; fail "$model: the refusal was not said"; }
  sent="$sent $model=1503/1"
}

sent=
"$python" "$here/python/minimal.py" || fail "python: exit status $?"
sent="example-python=100/1"
if have node Node; then
  (cd "$here/node" && { [ node_modules/.package-lock.json -nt package-lock.json ] || npm ci --silent; })
  try example-node node "$here/node/send.js"
fi
if have go Go; then
  (cd "$here/go" && go build -o sender .)
  try example-go "$here/go/sender"
fi
# shellcheck disable=SC2086 # one word a model
"$python" "$here/check.py" counted $sent || fail "the agent counted otherwise"
