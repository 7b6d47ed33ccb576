#!/bin/bash
# Installs LiteLLM's proxy into a virtualenv of its own, once, and prints its folder. Safe to repeat.
# The folder is named after the lock file, so that another version gets another one.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
python=${PYTHON:-python3}
digest=$("$python" -c 'import hashlib, sys; print(hashlib.sha256(open(sys.argv[1], "rb").read()).hexdigest()[:12])' "$here/requirements.lock")
folder=${XDG_CACHE_HOME:-$HOME/.cache}/quartermaster/litellm-$digest
if [ ! -e "$folder/complete" ]; then
  echo "Installing LiteLLM into $folder …" >&2
  "$python" -m venv --clear "$folder" >&2
  uv=$here/../../.venv/bin/uv
  if [ -x "$uv" ]; then
    # Compiled, because it starts in a third of the time then.
    "$uv" pip sync --quiet --require-hashes --compile-bytecode --python "$folder/bin/python" "$here/requirements.lock" >&2
  else
    "$folder/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes -r "$here/requirements.lock" >&2
  fi
  touch "$folder/complete"
fi
echo "$folder"
