"""Files that are there whole or not at all."""

import contextlib
import os
from pathlib import Path


@contextlib.contextmanager
def write_whole(path):
    """A place beside `path` to write to, which becomes `path` when the block ends without error.

    Who is cut off leaves no half a file, and what was there before stays until the new one is
    complete.

    Args:
        path: str or path of the file, whose folder exists.

    Returns:
        A context manager that gives the `Path` to write to; it ends in the name of `path`.

    Example:

    >>> import os, tempfile
    >>> folder = tempfile.mkdtemp()
    >>> with write_whole(os.path.join(folder, "table.md")) as place:
    ...     _ = place.write_text("| a | b |")
    >>> os.listdir(folder)
    ['table.md']
    """
    path = Path(path)
    temporary = path.with_name(f".{os.getpid()}.part.{path.name}")
    try:
        yield temporary
        with open(temporary, "rb") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
