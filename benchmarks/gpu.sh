#!/usr/bin/env bash
# `benchmarks/gpu.py` on a bare machine: no network, no venv, the python3 that holds torch, wheels in wheels/ if any.
set -euo pipefail
cd "$(dirname "$0")/.."
site=$(mktemp -d)
if compgen -G 'wheels/*.whl' > /dev/null; then
  python3 -m pip install -q --no-index --no-deps --no-compile --no-cache-dir --target "$site" wheels/*.whl
fi
mkdir -p "$site/gristmill"
for room in corpus dedup filters mixing pipelines proxy_models training; do ln -sfn "$PWD/$room" "$site/gristmill/$room"; done
for file in gristmill/*; do ln -sf "$PWD/$file" "$site/gristmill/"; done
PYTHONPATH="$site:$PWD${PYTHONPATH:+:$PYTHONPATH}" python3 -m benchmarks.gpu "$@"
