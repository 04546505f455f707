#!/usr/bin/env bash
# The tests of the Python package: `python/check.sh`, from anywhere in a clone; arguments go to pytest.
#
# The native module is built as `cargo test --workspace` builds everything else, in its profile and with its features, so that little is
# compiled for it alone. The package goes into an environment of its own with what tests/requirements.txt names. Without Python 3.10, or where
# PyPI cannot be reached, nothing is run, and a line says so.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
python=${PYTHON:-python3}

skip() {
  echo "   the Python package is not tested: $1"
  exit 0
}

"$python" -c 'import sys, venv; sys.exit(sys.version_info < (3, 10))' 2>/dev/null || skip "there is no Python 3.10 or later with venv"
environment=$(mktemp -d)
trap 'rm -rf "$environment"' EXIT
"$python" -m venv "$environment" || skip "no environment can be made"
pip=("$environment/bin/pip" --quiet --disable-pip-version-check)
timeout 60 "${pip[@]}" download --no-deps --dest "$environment/tried" iniconfig >/dev/null 2>&1 || skip "PyPI cannot be reached"
timeout 900 "${pip[@]}" install -r python/tests/requirements.txt

# transformers, from another Python or from PyPI, and what runs a notebook.
case ${ENTRACE_PYTHON_TORCH:-} in
  "") echo "   ENTRACE_PYTHON_TORCH is not set: the tests with transformers are skipped" ;;
  install) timeout 1800 "${pip[@]}" install torch transformers ;;
  *) "$ENTRACE_PYTHON_TORCH" -c 'import site; print("\n".join(site.getsitepackages()))' >"$("$environment/bin/python" -c 'import site; print(site.getsitepackages()[0])')/torch.pth" ;;
esac
if [ -n "${ENTRACE_PYTHON_NOTEBOOK:-}" ]; then
  timeout 900 "${pip[@]}" install nbclient==0.11.0 nbformat ipykernel
fi

# With the tests, whose dependencies ask for features of their own: without them other crates would be built.
cargo build --workspace --lib --tests
built=${CARGO_TARGET_DIR:-target}/debug
package=$("$environment/bin/python" -c 'import site; print(site.getsitepackages()[0])')/entrace
cp -r python/entrace "$package"
for library in "$built"/lib_entrace.so "$built"/lib_entrace.dylib; do
  [ ! -f "$library" ] || cp "$library" "$package/_entrace.abi3.so"
done
"$environment/bin/python" -m pytest -q -p no:cacheprovider python/tests "$@"
