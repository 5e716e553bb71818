#!/usr/bin/env bash
# Brings an Emacs with eglot, which is part of it from version 29 on; prints its path.
set -euo pipefail
cd "$(dirname "$0")/../.."
. tests/setup/packages.sh

mkdir -p .cache
exec 9>.cache/emacs.lock
flock 9

need emacs emacs-nox
has_eglot() { emacs --batch --eval '(progn (package-initialize) (require (quote eglot)))' 9>&- >/dev/null 2>&1; }
has_eglot || install elpa-eglot
has_eglot || fail "this Emacs has no eglot: install Emacs 29 or later"
command -v emacs
