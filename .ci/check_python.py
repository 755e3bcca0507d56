"""Refuse a Python that a dependency has no wheels for, before anything is downloaded.

Runs on any Python from 2.7 on, since it must be able to refuse all of them. The versions are those of
`requires-python` in `pyproject.toml`; free-threaded builds and other interpreters than CPython have no wheels either.
"""

import os
import re
import sys
import sysconfig


def refusal(pyproject, version, implementation, free_threaded):
    """Return why this Python is refused, or None when it is supported.

    Parameters
    ----------
    pyproject : str
        Text of `pyproject.toml`, which has `requires-python = ">=A.B,<C.D"`.
    version : tuple of int
        (major, minor) of this Python.
    implementation : str
        Name of the interpreter, such as "cpython".
    free_threaded : bool
        Whether this build runs without the global interpreter lock.

    Returns
    -------
    str or None
    """
    bounds = re.search(r'requires-python = ">=(\d+)\.(\d+),<(\d+)\.(\d+)"', pyproject).groups()
    lowest, excluded = (int(bounds[0]), int(bounds[1])), (int(bounds[2]), int(bounds[3]))
    if lowest <= version < excluded and implementation == "cpython" and not free_threaded:
        return None
    # no f-string: this runs on Python 2 as well
    return (
        "expected CPython %d.%d to %d.%d, for which every dependency has wheels; found %s %d.%d%s at %s; "  # noqa: UP031
        "set PYTHON=/path/to/python%d.%d"
        % (
            lowest[0], lowest[1], excluded[0], excluded[1] - 1, implementation, version[0], version[1],
            " (free-threaded)" if free_threaded else "", sys.executable, lowest[0], lowest[1],
        )
    )  # fmt: skip


def main():
    """Exit with the refusal, if there is one."""
    root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    with open(os.path.join(root, "pyproject.toml")) as handle:
        pyproject = handle.read()
    implementation = getattr(getattr(sys, "implementation", None), "name", "python")
    free_threaded = bool(sysconfig.get_config_var("Py_GIL_DISABLED"))
    sys.exit(refusal(pyproject, tuple(sys.version_info[:2]), implementation, free_threaded))


if __name__ == "__main__":
    main()
