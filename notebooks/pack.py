"""Pack tb_widgets into one file that a notebook puts on its path, and lay the notebooks that use it beside it.

    python notebooks/pack.py [FOLDER]    (default: dist)

The file is a zip of pure Python, from which Python imports without unpacking or installing anything. The same source
gives the same bytes.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

REPOSITORY = Path(__file__).resolve().parents[1]
NAME = "tb_widgets.zip"
LONG_AGO = (1980, 1, 1, 0, 0, 0)  # the earliest time that a zip can hold
READABLE = 0o644 << 16


def pack(folder: Path) -> Path:
    """Write ``tb_widgets.zip`` into a folder, with the notebooks that use it, and return the zip's path."""
    files = [REPOSITORY / "LICENSE"]
    files += [path for path in (REPOSITORY / "tb_widgets").rglob("*") if path.is_file()]
    folder.mkdir(parents=True, exist_ok=True)
    packed = folder / NAME
    with ZipFile(packed, "w", ZIP_DEFLATED) as archive:
        for path in sorted(files):
            if "__pycache__" in path.parts or path.suffix == ".pyc":
                continue
            entry = ZipInfo(path.relative_to(REPOSITORY).as_posix(), LONG_AGO)
            entry.compress_type, entry.external_attr = ZIP_DEFLATED, READABLE
            archive.writestr(entry, path.read_bytes())
    for notebook in ("template", "training"):
        shutil.copy(REPOSITORY / "notebooks" / f"{notebook}.ipynb", folder)
    return packed


if __name__ == "__main__":
    print(pack(Path(sys.argv[1] if len(sys.argv) > 1 else REPOSITORY / "dist")))
