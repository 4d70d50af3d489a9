"""List every experiment with the question that it answers and the time that it takes.

An experiment's docstring starts with its question and has a line ``Time: ...``; a file
without one is a part of others. The files are read, not imported: the list is there at
once.
"""

import ast
from pathlib import Path


def experiments() -> list[tuple[str, str, str]]:
    """Name, question and time of each experiment, by name."""
    found = []
    for path in sorted(Path(__file__).parent.glob("*.py")):
        docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
        question, _, rest = docstring.partition("\n")
        times = [line for line in rest.splitlines() if line.startswith("Time: ")]
        if times:
            found.append((path.stem, question, times[0].removeprefix("Time: ")))
    return found


def main() -> None:
    for name, question, time in experiments():
        print(f"python -m experiments.{name}\n    {question}\n    {time}\n")
    print(
        "Each takes --help; those that train or measure take --smoke, a run of seconds."
    )


if __name__ == "__main__":
    main()
