"""D4RL's waypoint controller: plan over the grid, then a PD law from waypoint to waypoint.

Source read for facts: D4RL d4rl/pointmaze/waypoint_controller.py @ 89141a6.
Deviation: breadth-first search in place of tabular Q-iteration; both give a shortest path, ties may
fall differently.
"""

from __future__ import annotations

import math
from collections import deque

import numpy as np

from harness.tasks.mazes import WALL, Cell, Maze

P_GAIN = 10.0
D_GAIN = -1.0
ARRIVAL_DISTANCE = 0.1  # to a waypoint or to the goal
ARRIVAL_DISPLACEMENT = 0.1  # of the last step; the speed limit of 5 makes 0.05 the most there is
JITTER = 0.2  # waypoints lie up to this much below and left of their cell's centre

Point = tuple[float, float]


def shortest_path(maze: Maze, start: Cell, goal: Cell) -> list[Cell]:
    """Cells of a shortest way through the maze, `start` left out and `goal` last."""
    distance = {goal: 0}
    queue = deque([goal])
    while queue:
        cell = queue.popleft()
        for neighbour in _neighbours(maze, cell):
            if neighbour not in distance:
                distance[neighbour] = distance[cell] + 1
                queue.append(neighbour)
    path = [start]
    while path[-1] != goal:
        path.append(min(_neighbours(maze, path[-1]), key=distance.__getitem__))
    return path[1:]


def _neighbours(maze: Maze, cell: Cell) -> list[Cell]:
    row, column = cell
    around = [(row - 1, column), (row + 1, column), (row, column - 1), (row, column + 1)]
    return [(r, c) for r, c in around if maze.grid[r][c] != WALL]


class WaypointController:
    """Drives the point to the centre of a goal cell."""

    def __init__(self, maze: Maze, rng: np.random.Generator) -> None:
        self._maze = maze
        self._rng = rng
        self._waypoints: list[Point] = []
        self._previous: Point = (0.0, 0.0)

    def head_for(self, goal: Cell, position: Point) -> None:
        """Plan a way from `position` to the centre of `goal`."""
        start = self._maze.cell(*position)
        cells = shortest_path(self._maze, start, goal)
        jitter = self._rng.uniform(0.0, JITTER, size=(len(cells), 2)).tolist()
        self._waypoints = []
        for cell, (dx, dy) in zip(cells, jitter, strict=True):
            x, y = self._maze.centre(cell)
            self._waypoints.append((x - dx, y - dy))
        self._waypoints[-1:] = [self._maze.centre(goal)]  # the goal itself has no jitter
        self._waypoints.reverse()  # the next one is last
        self._previous = self._maze.centre(start)

    def act(self, position: Point, velocity: Point) -> tuple[Point, bool]:
        """The action (force, each in [-1, 1]) and whether the point has arrived at the goal."""
        x, y = position
        slow = math.dist(position, self._previous) < ARRIVAL_DISPLACEMENT
        self._previous = position
        arrived = slow and math.dist(position, self._waypoints[0]) < ARRIVAL_DISTANCE
        target_x, target_y = self._waypoints[0 if arrived else -1]
        action = (
            _clip(P_GAIN * (target_x - x) + D_GAIN * velocity[0]),
            _clip(P_GAIN * (target_y - y) + D_GAIN * velocity[1]),
        )
        at_waypoint = slow and math.dist(position, self._waypoints[-1]) < ARRIVAL_DISTANCE
        if at_waypoint and len(self._waypoints) > 1:
            self._waypoints.pop()
        return action, arrived


def _clip(force: float) -> float:
    return -1.0 if force < -1.0 else 1.0 if force > 1.0 else force
