"""Makes a Python environment with the packages that tests want, and prints its interpreter.

    python3 goldens/foreign/install.py inspect|trl|verl|lighteval|openai|rewards FOLDER

A folder that was made before is used again. TRL and verl bring PyTorch, of some gigabytes.
"""

import subprocess
import sys
import venv
from pathlib import Path

PACKAGES = {
    "inspect": ["inspect-ai==0.3.285", "openai==3.57.0"],
    "trl": ["trl==1.16.0", "rich"],
    # The last three are imported without being asked for.
    "verl": ["verl==0.9.1", "cachetools", "fastapi", "uvicorn"],
    # It hashes texts as later xxhash does not.
    "lighteval": ["lighteval==0.13.0", "xxhash<4"],
    "openai": ["openai==3.57.0"],
    # The last TRL with a trainer of process rewards, and what reads confidences.
    "rewards": ["trl==0.24.0", "inspect-ai==0.3.285", "openai==3.57.0"],
}
# OpenRLHF asks for CUDA; its data sets need none of that.
ALONE = {"rewards": ["openrlhf==0.8.5"]}

name, folder = sys.argv[1], Path(sys.argv[2])
python = folder / "bin" / "python"
done = folder / "installed.txt"
wanted = "\n".join(PACKAGES[name] + ALONE.get(name, []))
if not done.exists() or done.read_text() != wanted:
    venv.create(folder, with_pip=True, clear=True)
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, *PACKAGES[name]], check=True, stdout=sys.stderr)
    if name in ALONE:
        subprocess.run([*pip, "--no-deps", *ALONE[name]], check=True, stdout=sys.stderr)
    done.write_text(wanted)
print(python)
