#!/bin/sh
# Installs this project with extras into a virtual environment:
#
#   scripts/install.sh .venv/bin/python test,check
#
# By uv, which takes a fraction of pip's time; by pip where uv gets no packages, such as from an index that only pip is
# configured for.
set -eu
python=$1 extras=$2
export PIP_DISABLE_PIP_VERSION_CHECK=1

with_uv() {
  "$python" -m pip install -q 'uv>=0.5' || return 1
  # The system's certificates, as pip trusts them.
  UV_SYSTEM_CERTS=1 UV_NATIVE_TLS=1 UV_PYTHON_DOWNLOADS=never \
    "$python" -m uv pip install -q --compile-bytecode --python "$python" -e ".[$extras]"
}

with_uv || "$python" -m pip install -q -e ".[$extras]"
