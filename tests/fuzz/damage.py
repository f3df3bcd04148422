"""Ways to damage a file. Each takes a generator and changes one file in place, seeded."""

from __future__ import annotations

import csv
import io
import json
import random
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import yaml

Damage = Callable[[random.Random, Path], None]

DEEP: Any = []
for _ in range(60):
    DEEP = [DEEP]
VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 2**31, 2**63, 10**30, 10**400, 0.5, -0.0, 1e308),
    *(
        float("nan"),
        float("inf"),
        "",
        "fast",
        "1",
        "../../x",
        "/etc/passwd",
        "a\nb",
        "\x00",
        "é" * 300,
    ),
    *([], {}, [[]], [None], {"a": {}}, {"": 1}, ["a", 1], DEEP),
)
SNIPPETS = (
    *(b"!!bool maybe", b"!!timestamp yesterday", b"!!binary x", b"!!python/object:os.system x"),
    *(b"!!float x", b"!!int x", b"!!set {a}", b"!!omap [a]", b"&a [*a]", b"*nowhere", b"<<: *a"),
    *(b"? [a]", b"? !!binary YQ==", b"- ", b": ", b"{", b"[", b"}", b'"', b"\x00", b"\xff\xfe"),
    *(b"NaN", b"1e999", b"-", b"9" * 5000, b"[" * 3000, b"\n---\n", b"%YAML 9.9\n", b"\t", b","),
)


def bytes_of(rng: random.Random, path: Path) -> None:
    """Flip, cut, repeat, splice or insert bytes."""
    content = path.read_bytes()
    for _ in range(rng.choice((1, 1, 1, 5))):
        start = rng.randrange(len(content) + 1)
        end = min(len(content), start + rng.choice((1, 1, 8, 64, 4096)))
        before, piece, after = content[:start], content[start:end], content[end:]
        content = rng.choice(
            (
                before + bytes(byte ^ (1 << rng.randrange(8)) for byte in piece) + after,
                before + after,
                before,
                before + piece + piece + after,
                before + rng.choice(SNIPPETS) + after,
                before + rng.choice(SNIPPETS) + piece + after,
                after + before,
            )
        )
    path.write_bytes(content)


def json_of(rng: random.Random, path: Path) -> None:
    """Exchange, add, repeat or drop a value of a JSON file."""
    path.write_text(json.dumps(_changed(rng, json.loads(path.read_bytes()))))


def yaml_of(rng: random.Random, path: Path) -> None:
    """The same of a YAML file."""
    content = _changed(rng, yaml.safe_load(path.read_bytes()))
    path.write_text(yaml.safe_dump(content, sort_keys=False))


def csv_of(rng: random.Random, path: Path) -> None:
    """Exchange cells, drop, repeat or swap rows and columns."""
    rows = list(csv.reader(io.StringIO(path.read_text())))
    row = rng.randrange(len(rows))
    column = rng.randrange(len(rows[0]))
    match rng.randrange(6):
        case 0:
            rows[row][column] = str(rng.choice(VALUES))
        case 1:
            del rows[row]
        case 2:
            rows.insert(row, list(rows[row]))
        case 3:
            rows = [cells[:column] + cells[column + 1 :] for cells in rows]
        case 4:
            rng.shuffle(rows)
        case _:
            rows[row].append("1")
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    path.write_text(text.getvalue())


def tar_of(rng: random.Random, path: Path) -> None:
    """Repeat, cut, rename, replace or drop a member of an archive."""
    with tarfile.open(path, "r:xz") as archive:
        members = [(member.name, archive.extractfile(member).read()) for member in archive]  # type: ignore[union-attr]
    index = rng.randrange(len(members))
    name, content = members[index]
    match rng.randrange(6):
        case 0:
            members.append((name, content))
        case 1:
            members[index] = (name, content[: rng.randrange(len(content) + 1)])
        case 2:
            names = (
                "../../outside",
                "/tmp/outside",
                "a/../x",
                "x",
                "a-1/seed-9/spec.json",
                "a/b/c/d",
                "",
            )
            members[index] = (rng.choice(names), content)
        case 3:
            members[index] = (name, rng.choice(SNIPPETS))
        case 4:
            del members[index]
        case _:
            members[index] = (name, rng.choice(members)[1])
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:xz", preset=0) as archive:
        for name, content in members:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            member.type = rng.choice((tarfile.REGTYPE,) * 20 + (tarfile.SYMTYPE, tarfile.DIRTYPE))
            member.linkname = "/etc/passwd"
            archive.addfile(member, io.BytesIO(content))
    path.write_bytes(packed.getvalue())


def hdf5_of(rng: random.Random, path: Path) -> None:
    """Exchange, reshape or drop a dataset or an attribute of an HDF5 file."""
    with h5py.File(path, "r+") as file:
        names: list[str] = []
        file.visititems(lambda name, item: names.append(name))
        name = rng.choice(sorted(names))
        item = file[name]
        attributes = sorted(item.attrs)
        if attributes and rng.random() < 0.5:
            attribute = rng.choice(attributes)
            value = rng.choice((None, "text", -1, 2**40, 1.5, np.nan, [1, 2]))
            del item.attrs[attribute]
            if value is not None:
                item.attrs[attribute] = value
            return
        array = item[()] if isinstance(item, h5py.Dataset) else None
        del file[name]
        if array is None or rng.random() < 0.2:
            return
        odd = array.astype(np.float64)
        if odd.size:
            odd.flat[rng.randrange(odd.size)] = rng.choice((np.nan, np.inf, 1e300, 7.5, -1.0))
        file[name] = rng.choice(
            (
                odd,
                array[:-1],
                array[:0],
                array[None],
                array.reshape(-1),
                array.astype("S3"),
                array.astype(np.complex64),
                array.astype(np.int8),
                np.float64(1.0),
                np.concatenate([array, array]),
                h5py.Empty("f4"),
            )
        )


def _changed(rng: random.Random, tree: Any) -> Any:
    """The tree with a change somewhere."""
    if isinstance(tree, dict | list) and tree and rng.random() < 0.85:
        keys = [*tree] if isinstance(tree, dict) else [*range(len(tree))]
        key = rng.choice(keys)
        match rng.randrange(12):
            case 0:
                del tree[key]
            case 1 if isinstance(tree, dict):
                tree[rng.choice(("extra", "", "a/b", "0", str(key) + "x"))] = rng.choice(VALUES)
            case 1:
                tree.append(tree[key])
            case 2:
                tree[key] = tree[rng.choice(keys)]
            case _:
                tree[key] = _changed(rng, tree[key])
        return tree
    if isinstance(tree, int | float) and rng.random() < 0.3:
        return rng.choice((-tree, tree + 1, tree * 10, str(tree)))
    return rng.choice(VALUES)
