"""Run the cells of a notebook as its kernel would, and print what each showed, as JSON."""

from __future__ import annotations

import json
import sys
import warnings
from pathlib import Path

from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output


class Kernel:
    """All that tells a notebook's shell from a prompt's."""


def main(path: str) -> None:
    # every warning a reader would see is an error; deprecations are hidden from her but for those in her own cells
    warnings.simplefilter("error")
    warnings.filterwarnings("ignore", category=DeprecationWarning, module="(?!__main__$)")
    warnings.filterwarnings("ignore", message="invalid escape sequence", category=SyntaxWarning)
    shell = InteractiveShell.instance(colors="NoColor", xmode="Minimal")
    shell.kernel = Kernel()
    shown = []
    for cell in json.loads(Path(path).read_text(encoding="utf-8"))["cells"]:
        if cell["cell_type"] != "code":
            continue
        with capture_output() as captured:
            done = shell.run_cell("".join(cell["source"]), store_history=True)
        if not done.success:
            sys.stderr.write(captured.stdout)
            sys.exit(1)
        displays = [
            {**output.data, "display_id": (output.transient or {}).get("display_id"), "update": output.update}
            for output in captured.outputs
        ]
        value = done.result
        html = value._repr_html_() if hasattr(value, "_repr_html_") else None
        shown.append({"stdout": captured.stdout, "displays": displays, "text": repr(value), "html": html})
    sys.__stdout__.write(json.dumps(shown))


if __name__ == "__main__":
    main(sys.argv[1])
