#!/usr/bin/env bash
# Installs @tensorflow/tfjs-node-gpu in this folder and builds its C++ binding on a TensorFlow that
# is already here, or on the tensorflow-cpu wheel. See README.md. Safe to run again at any time.
set -euo pipefail

here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
package="$here/node_modules/@tensorflow/tfjs-node-gpu"
wheel_version=2.21.0
python="${PYTHON:-python3}"
compiler="${CXX:-g++}"
cache="${TENSORFLOW_CACHE:-$here/tensorflow}"

say() { printf 'setup:tensorflow: %s\n' "$*"; }
fail() {
  printf 'setup:tensorflow: %s\n' "$*" >&2
  exit 1
}

need() {
  command -v "$1" >/dev/null || fail "$1 is not installed; $2"
}

has_libraries() {
  [[ -f "$1/libtensorflow_cc.so.2" && -f "$1/libtensorflow_framework.so.2" && -d "$1/include" ]]
}

# Prints the folder of an installed Python package tensorflow, without importing it (that is slow).
find_installed() {
  command -v "$python" >/dev/null || return 0
  (cd / && "$python" -) <<'PYTHON' || true
import importlib.util

spec = importlib.util.find_spec("tensorflow")
if spec is not None and spec.submodule_search_locations:
    print(spec.submodule_search_locations[0])
PYTHON
}

# Fetches the wheel and unpacks what a C++ program needs of it: two libraries and the headers.
unpack_wheel() {
  need "$python" "it fetches the tensorflow-cpu wheel; or name a TensorFlow: TF=/path/to/tensorflow"
  download="$(mktemp -d)"
  trap 'rm -rf "$download"' EXIT
  local fetch=("$python" -m pip download --quiet --disable-pip-version-check --no-deps
    --only-binary=:all: --dest "$download")
  say "fetching tensorflow-cpu $wheel_version (about 270 MB)"
  # The libraries do not depend on Python's version: any Linux wheel will do if none is for this one.
  "${fetch[@]}" "tensorflow-cpu==$wheel_version" 2>"$download/why" ||
    "${fetch[@]}" --python-version 3.11 --platform manylinux_2_27_x86_64 \
      "tensorflow-cpu==$wheel_version" 2>>"$download/why" ||
    fail "pip could not fetch tensorflow-cpu $wheel_version: $(tail -n 2 "$download/why")
Install TensorFlow in some way and name its folder: TF=/path/to/tensorflow npm run setup:tensorflow"
  mkdir -p "$cache"
  "$python" - "$download"/*.whl "$1.partial" <<'PYTHON'
import sys
import zipfile

LIBRARIES = ("tensorflow/libtensorflow_cc.so.2", "tensorflow/libtensorflow_framework.so.2")
with zipfile.ZipFile(sys.argv[1]) as wheel:
    names = [n for n in wheel.namelist() if n in LIBRARIES or n.startswith("tensorflow/include/")]
    wheel.extractall(sys.argv[2], names)
PYTHON
  rm -rf "$1"
  mv "$1.partial" "$1"
}

# Sets `tensorflow` to the folder that holds libtensorflow_cc.so.2 and include/.
choose_tensorflow() {
  if [[ -n "${TF:-}" ]]; then
    has_libraries "$TF" || fail "TF=$TF holds no libtensorflow_cc.so.2 with headers in include/;
name the folder 'tensorflow' inside site-packages"
    tensorflow="$(cd "$TF" && pwd)"
    return
  fi
  local installed
  installed="$(find_installed)"
  if [[ -n "$installed" ]] && has_libraries "$installed"; then
    tensorflow="$installed"
    return
  fi
  [[ -z "$installed" ]] || say "$installed has no libtensorflow_cc.so.2; it is left alone"
  local unpacked="$cache/tensorflow-cpu-$wheel_version"
  has_libraries "$unpacked/tensorflow" || unpack_wheel "$unpacked"
  tensorflow="$unpacked/tensorflow"
}

build() {
  say "building the binding on $tensorflow"
  mkdir -p "$package/lib/napi-v8"
  (
    cd "$package"
    "$compiler" -O2 -shared -fPIC -std=c++17 -DNAPI_VERSION=8 \
      -I"$here/node_modules/node-api-headers/include" -I. -I"$tensorflow/include" \
      binding/tfjs_backend.cc binding/tfjs_binding.cc -o lib/napi-v8/tfjs_binding.node \
      "$tensorflow/libtensorflow_cc.so.2" "$tensorflow/libtensorflow_framework.so.2" \
      -Wl,-rpath,"$tensorflow"
  ) || fail "the compiler refused; the messages above say why"
}

[[ "$(uname -s)" == Linux ]] || fail "this recipe is for Linux; on $(uname -s) use ONNX Runtime"
need node "install Node 20.19 or later"
need npm "it comes with Node"
need "$compiler" "on Debian: apt-get install g++"
tensorflow=
choose_tensorflow
say "installing @tensorflow/tfjs-node-gpu, without its download script"
(cd "$here" && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error)
build
node "$here/verify.cjs"
