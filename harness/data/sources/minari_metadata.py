"""What a Minari dataset says of itself, checked for being what it is called."""

from __future__ import annotations

from pathlib import Path

from pydantic import (
    AliasPath,
    BaseModel,
    ConfigDict,
    Field,
    Json,
    JsonValue,
    PositiveInt,
    ValidationError,
)

from harness.errors import UserError

METADATA_FILE = "metadata.json"


class RecordedIn(BaseModel):
    """The part that is used of a gymnasium `EnvSpec`."""

    model_config = ConfigDict(strict=True)

    id: str | None = None
    arguments: dict[str, JsonValue] = Field({}, validation_alias=AliasPath("kwargs"))
    max_episode_steps: PositiveInt | None = None


class Metadata(BaseModel):
    """The part that is used of `metadata.json`; what is absent or null is None."""

    model_config = ConfigDict(strict=True)

    dataset_id: str | None = None
    minari_version: str | None = None
    algorithm_name: str | None = None
    description: str | None = None
    env_spec: Json[RecordedIn | None] | None = None


def metadata_of(data_file: Path) -> Metadata:
    """What the dataset of a data file says. Raises UserError for what is not Minari's."""
    path = data_file.parent / METADATA_FILE
    remedy = "Correct it there, or copy it anew."
    try:
        return Metadata.model_validate_json(path.read_bytes())
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error}). Copy it anew.") from error
    except ValidationError as error:
        found = error.errors()[0]
        where = f"'{'.'.join(map(str, found['loc']))}'" if found["loc"] else "what it holds"
        raise UserError(
            f"{path}: {where} is not as Minari writes it ({found['msg']}). {remedy}"
        ) from error
