#!/bin/sh
# Makes the virtual environment .venv and installs requirements.txt into it.
# Called by the Makefile, which repeats it only when requirements.txt or pyproject.toml changed.
# PYTHON=python3.12 chooses the interpreter; otherwise the first one that can do it is taken.
set -eu

stop() {
    printf 'peftlab: %s\n' "$1" >&2
    exit 1
}

is_new_enough() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; }
can_make_venv() { "$1" -c 'import ensurepip, venv' 2>/dev/null; }

if ! is_new_enough .venv/bin/python || ! .venv/bin/python -m pip --version >/dev/null 2>&1; then
    chosen=''
    without_venv=''
    for candidate in ${PYTHON:-python3 python3.14 python3.13 python3.12 python3.11 python}; do
        if is_new_enough "$candidate"; then
            if can_make_venv "$candidate"; then
                chosen=$candidate
                break
            fi
            without_venv=${without_venv:-$candidate}
        fi
    done
    if [ -z "$chosen" ] && [ -n "$without_venv" ]; then
        stop "$without_venv cannot make virtual environments: install its venv module (on Debian and Ubuntu: apt-get install python3-venv), or choose another interpreter with PYTHON=python3.12 make setup."
    elif [ -z "$chosen" ]; then
        stop "Python 3.11 or newer is needed, and ${PYTHON:-python3} is not one: install it, then name it with PYTHON=python3.12 make setup."
    fi
    "$chosen" -m venv --clear .venv ||
        stop "$chosen -m venv failed (its message is above): choose another interpreter with PYTHON=python3.12 make setup."
fi

.venv/bin/python tools/install.py ||
    stop "pip could not install requirements.txt (its message is above): check the network and the free disk space (3 GB, 8 GB with CUDA), then run the same command again; it goes on where it stopped."
touch .venv/peftlab-installed
