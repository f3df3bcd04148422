"""The four PointMaze grids, their evaluation goals, horizons and reference scores (light)."""

from __future__ import annotations

from dataclasses import dataclass

Cell = tuple[int, int]  # row from the top, column from the left
WALL = "#"


@dataclass(frozen=True)
class Maze:
    """One maze of gymnasium-robotics 1.4.2, on a grid of 1 x 1 cells centred on the origin.

    Attributes:
        name: our name, also part of task and dataset ids.
        title: gymnasium's name, as in `PointMaze_<title>-v3`.
        grid: rows from the top; `#` is a wall.
        goal: the evaluation goal's cell.
        horizon: steps of an evaluation episode, and of the longest piece in the data.
        sparse: reference returns (minimum, maximum) of the sparse reward.
        dense: the same of the dense reward.
    """

    name: str
    title: str
    grid: tuple[str, ...]
    goal: Cell
    horizon: int
    sparse: tuple[float, float]
    dense: tuple[float, float]

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
)

MAZES: dict[str, Maze] = {maze.name: maze for maze in (_UMAZE, _MEDIUM, _LARGE, _OPEN)}
