"""Where an environment's data lies that is not ours to give: what a user says, or a variable."""

import os
from pathlib import Path

from ludus.envs.definition import like


def data_folder(
    given: str, env_id: str, name: str, *, content: str, holds: str, without: str
) -> Path:
    """The folder of a data set.

    Args:
        given: What the user says; if empty, the variable NAME_DATA is read.
        env_id: Who needs it.
        name: Of the data set, such as "ALFWorld".
        content: What it is made of, such as "games".
        holds: What lies in the folder.
        without: An environment like it that needs no data.

    Raises:
        ValueError: If nobody says where it is, or there is no such folder.
    """
    like("data", given, "FOLDER")
    variable = f"{name.upper()}_DATA"
    folder = given or os.environ.get(variable, "")
    if not folder:
        raise ValueError(
            f"{env_id} needs {name}'s {content}: set {variable}, or data=, to the folder that "
            f"holds {holds} ({without} needs no data)"
        )
    if not Path(folder).is_dir():
        problem = "is not a folder" if Path(folder).exists() else "does not exist"
        raise ValueError(f"{name}'s data folder {folder!r} {problem}")
    return Path(folder)
