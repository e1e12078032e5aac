#!/bin/sh
# Installs slimnb from the directory that this file lies in, without the network:  sh install.sh [PLACE]
# PLACE, a new directory, is ~/slimnb unless named. PYTHON names another Python than python3.
set -eu
kit=$(cd "$(dirname "$0")" && pwd)
place=${1:-$HOME/slimnb}
python=${PYTHON:-python3}

fail() { echo "install.sh: $1" >&2; exit 1; }

[ ! -e "$place" ] || fail "$place is there already: name another place, or move it away"
here=$("$python" -c 'import platform, sys; print(f"{sys.version_info[0]}.{sys.version_info[1]} {platform.system()} {platform.machine()}")') ||
  fail "no Python called $python: PYTHON=python3.11 sh install.sh"
grep -qxF "$here" "$kit/made-for" || fail "this kit is made for Python $(paste -sd, "$kit/made-for"), not $here: PYTHON=... names another"

echo "Checking the files ..."
(cd "$kit" && sha256sum --quiet --check SHA256SUMS) || fail "files of the kit are damaged: copy it anew"

echo "Installing into $place ..."
mkdir -p "$(dirname "$place")"
cp -R "$kit/slimnb" "$place"
place=$(cd "$place" && pwd)
"$python" -m venv "$place/.venv"
# No settings of this machine's pip, and no index: what is not in the kit is an error.
PIP_CONFIG_FILE=/dev/null "$place/.venv/bin/python" -m pip --isolated install --quiet --disable-pip-version-check \
  --no-index --find-links "$kit/wheels" --constraint "$place/constraints.txt" --editable "$place[all]"

for model in "$kit/models"/*; do
  target=$("$place/.venv/bin/python" -c 'from slimnb.io.places import home; print(home() / "models")')/$(basename "$model")
  if [ ! -d "$target" ]; then
    mkdir -p "$(dirname "$target")"
    cp -R "$model" "$target.copying"
    mv "$target.copying" "$target"
  fi
done
touch "$place/.venv/.ready" # so that make does not set up again

HF_HUB_OFFLINE=1 "$place/.venv/bin/slimnb" doctor || echo "Installed; a line with NO above says what to do."
echo "Go on:  cd $place && make notebooks"
