"""A small table: rows of the same columns."""

import json

from keras_resnets.files import write_whole


class Table:
    """Rows with named columns, to print, save or hand to pandas.

    Args:
        rows: list of dicts with the same keys.

    Example:

    >>> print(Table([{"layer": "conv1", "macs": 1200}, {"layer": "fc", "macs": 30}]))
    layer   macs
    conv1  1,200
    fc        30
    """

    def __init__(self, rows):
        self.rows = list(rows)

    def __len__(self):
        return len(self.rows)

    def __iter__(self):
        return iter(self.rows)

    def column(self, name):
        """The values of one column."""
        return [row[name] for row in self.rows]

    def to_markdown(self):
        """The table as GitHub's Markdown."""
        head, *body = self._cells()
        rule = ["---" if left else "---:" for left in self._left()]
        return "\n".join(f"| {' | '.join(row)} |" for row in [head, rule, *body])

    def to_json(self, path=None):
        """The rows as JSON text; written to `path` too, if given."""
        text = json.dumps(self.rows, indent=1)
        if path is not None:
            with write_whole(path) as place:
                place.write_text(text, encoding="utf-8")
        return text

    def to_dataframe(self):
        """The rows as a `pandas.DataFrame`."""
        try:
            import pandas
        except ImportError as error:
            raise ImportError("A data frame needs pandas: pip install pandas") from error
        return pandas.DataFrame(self.rows)

    def __str__(self):
        cells, left = self._cells(), self._left()
        widths = [max(map(len, column)) for column in zip(*cells)]
        lines = [
            "  ".join(c.ljust(w) if le else c.rjust(w) for c, w, le in zip(row, widths, left))
            for row in cells
        ]
        return "\n".join(line.rstrip() for line in lines)

    def _left(self):
        """Whether each column is text, and so flush left."""
        return [all(isinstance(value, str) for value in self.column(name)) for name in self.rows[0]]

    def _cells(self):
        return [[*self.rows[0]], *([_text(value) for value in row.values()] for row in self.rows)]


def _text(value):
    if value is None:
        return "-"
    if isinstance(value, bool | str):
        return str(value)
    if isinstance(value, tuple | list):
        return "x".join(map(str, value))
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:.4g}"
