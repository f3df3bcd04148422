"""PointMaze's grids: the four with their horizons and reference scores, and any other (light)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pydantic import JsonValue

from harness.errors import UserError

Cell = tuple[int, int]  # row from the top, column from the left
WALL, FREE, GOAL = "#", " ", "G"  # marks of layouts
D4RL_SHIFT = 0.2  # of maze2d's coordinates against cell centres


@dataclass(frozen=True)
class Maze:
    """A maze of gymnasium-robotics 1.4.2, on a grid of 1 x 1 cells centred on the origin.

    Attributes:
        name: our name, also part of task and dataset ids.
        title: for readers.
        grid: rows from the top; `#` is a wall.
        goal: the evaluation goal's cell.
        horizon: steps of an evaluation episode, and of the longest piece in the data.
        sparse: reference returns (minimum, maximum) of the sparse reward.
        dense: the same of the dense reward.
        registered: in whose place it is made, as in `PointMaze_<registered>-v3`.
    """

    name: str
    title: str
    grid: tuple[str, ...]
    goal: Cell
    horizon: int
    sparse: tuple[float, float]
    dense: tuple[float, float]
    registered: str = "UMaze"

    def free_cells(self) -> list[Cell]:
        """Cells without a wall, row by row."""
        return [
            (row, column)
            for row, line in enumerate(self.grid)
            for column, mark in enumerate(line)
            if mark != WALL
        ]

    def centre(self, cell: Cell) -> tuple[float, float]:
        """x (to the right) and y (up) of a cell's centre."""
        return cell[1] + 0.5 - len(self.grid[0]) / 2, len(self.grid) / 2 - cell[0] - 0.5

    def cell(self, x: float, y: float) -> Cell:
        """The cell that holds a position."""
        return int(len(self.grid) / 2 - y), int(x + len(self.grid[0]) / 2)

    def gymnasium_map(self, goal: Cell | None = None) -> list[list[int | str]]:
        """The grid as gymnasium-robotics' `maze_map`, with `g` at `goal`."""
        rows: list[list[int | str]] = [[int(mark == WALL) for mark in line] for line in self.grid]
        if goal is not None:
            rows[goal[0]][goal[1]] = "g"
        return rows


# Minimum and maximum: `ref_min_score` and `ref_max_score` of the public Minari datasets
# D4RL/pointmaze/*-v2, second-hand (quoted by public code that reads that metadata).
_UMAZE = Maze(
    name="umaze",
    title="UMaze",
    grid=(
        "#####",
        "#   #",
        "### #",
        "#   #",
        "#####",
    ),
    goal=(1, 1),
    horizon=300,
    sparse=(13.489999771118164, 218.6999969482422),
    dense=(59.25226974487305, 223.9688720703125),
)
_MEDIUM = Maze(
    name="medium",
    title="Medium",
    grid=(
        "########",
        "#  ##  #",
        "#  #   #",
        "##   ###",
        "#  #   #",
        "# #  # #",
        "#   #  #",
        "########",
    ),
    goal=(6, 6),
    horizon=600,
    sparse=(17.65999984741211, 361.04998779296875),
    dense=(49.2408447265625, 368.8089599609375),
    registered="Medium",
)
_LARGE = Maze(
    name="large",
    title="Large",
    grid=(
        "############",
        "#    #     #",
        "# ## # # # #",
        "#      #   #",
        "# #### ### #",
        "#  # #     #",
        "## # # # ###",
        "#  #   #   #",
        "############",
    ),
    goal=(7, 9),
    horizon=800,
    sparse=(3.549999952316284, 462.260009765625),
    dense=(27.165931701660156, 481.5344543457031),
    registered="Large",
)
_OPEN = Maze(
    name="open",
    title="Open",
    grid=(
        "#######",
        "#     #",
        "#     #",
        "#     #",
        "#######",
    ),
    goal=(2, 3),
    horizon=300,
    sparse=(7.199999809265137, 229.86000061035156),
    dense=(70.7329330444336, 229.4267120361328),
    registered="Open",
)

MAZES: dict[str, Maze] = {maze.name: maze for maze in (_UMAZE, _MEDIUM, _LARGE, _OPEN)}


def maze_of(params: Mapping[str, JsonValue]) -> Maze:
    """The maze that a dataset's parameters name, or spell out as `layout` and `horizon`."""
    name, layout, horizon = str(params["maze"]), params.get("layout"), params.get("horizon")
    if layout is None:
        return MAZES[name]
    assert isinstance(layout, list)
    assert isinstance(horizon, int)
    return read_layout(name, [str(row) for row in layout], horizon)


def read_layout(name: str, layout: Sequence[str], horizon: int) -> Maze:
    """A maze from its rows: `#` is a wall, a space is free, `G` is the evaluation goal.

    Raises UserError unless it is a closed rectangle with one goal that all its cells lead to.
    """
    rows, marks = list(layout), "".join(layout)
    if len({len(row) for row in rows}) != 1 or set(marks) - {WALL, FREE, GOAL}:
        raise UserError(
            f"{name}: a layout has rows of one length, made of '#' (wall), ' ' (free) and 'G' "
            f"(goal); found {rows}."
        )
    edge = rows[0] + rows[-1] + "".join(row[0] + row[-1] for row in rows)
    if set(edge) != {WALL}:
        raise UserError(f"{name}: the maze must be closed, but there is no wall all around it.")
    if marks.count(GOAL) != 1 or marks.count(FREE) == 0:
        raise UserError(
            f"{name}: a maze has one goal 'G' and at least one more free cell; found "
            f"{marks.count(GOAL)} goals and {marks.count(FREE)} free cells."
        )
    place = marks.index(GOAL)
    maze = Maze(
        name=name,
        title=name,
        grid=tuple(row.replace(GOAL, FREE) for row in rows),
        goal=(place // len(rows[0]), place % len(rows[0])),
        horizon=horizon,
        sparse=(0.0, float(horizon)),
        dense=(0.0, float(horizon)),
    )
    if cut_off := set(maze.free_cells()) - _reached(maze):
        raise UserError(f"{name}: there is no way to the goal from the cells {sorted(cut_off)}.")
    return maze


def _reached(maze: Maze) -> set[Cell]:
    """The cells that have a way to the goal."""
    free, found, front = set(maze.free_cells()), {maze.goal}, [maze.goal]
    while front:
        row, column = front.pop()
        around = {(row - 1, column), (row + 1, column), (row, column - 1), (row, column + 1)}
        new = (around & free) - found
        found |= new
        front += new
    return found
