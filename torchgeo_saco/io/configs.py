# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Configuration files that the package brings."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

_PACKAGE = Path(__file__).parents[1]


def config_folder() -> Path:
    """Return the folder of the configuration files, in a wheel or in the repository."""
    installed = _PACKAGE / 'configs'
    return installed if installed.is_dir() else _PACKAGE.parent / 'configs'


def find_config(name: str) -> str:
    """Return the path of a configuration file.

    Args:
        name: Path of a file, or name of one of the package, such as ``saco.yaml`` or
            ``pretrain/moco.yaml``, with or without ``configs/`` before it.

    Returns:
        The path.

    Raises:
        FileNotFoundError: If there is no such file.
    """
    if Path(name).is_file():
        return name
    folder = config_folder()
    found = folder / Path(name).as_posix().removeprefix('configs/')
    if found.is_file():
        return str(found)
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob('*.yaml'))
    raise FileNotFoundError(
        f'{name} is neither a file nor a configuration of torchgeo_saco; those are '
        f'{", ".join(names)}'
    )


def resolve_configs(args: Sequence[str]) -> list[str]:
    """Replace names of configurations on a command line by their paths.

    Args:
        args: Arguments, with ``--config NAME`` or ``--config=NAME`` among them.

    Returns:
        The arguments.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If one is no YAML file of settings.
    """
    resolved: list[str] = []
    for word in args:
        option, sign, name = word.partition('=')
        if option in ('--config', '-c') and sign:
            word = f'{option}={_find_settings(name)}'
        elif resolved and resolved[-1] in ('--config', '-c'):
            word = _find_settings(word)
        resolved.append(word)
    return resolved


def parse_yaml(text: str, source: str) -> Any:
    """Parse YAML to plain values.

    Args:
        text: The YAML.
        source: Where it comes from, such as a file, for the message.

    Returns:
        The values.

    Raises:
        ValueError: If it is none.
    """
    # Not needed where no file is given.
    import yaml

    try:
        return yaml.safe_load(text)
    except RecursionError as error:
        raise ValueError(
            f'{source} is no YAML (brackets are nested too deep); correct it'
        ) from error
    except yaml.YAMLError as error:
        reason = ' '.join(str(error).split())
        raise ValueError(f'{source} is no YAML ({reason}); correct it') from error


def read_config(path: str) -> dict[str, Any]:
    """Read a file of settings by name.

    Args:
        path: The file.

    Returns:
        The settings; none of an empty file.

    Raises:
        ValueError: If it is no YAML, or holds something else.
    """
    try:
        text = Path(path).read_text('utf-8')
    except UnicodeDecodeError as error:
        raise ValueError(f'{path} is no YAML ({error}); correct it') from error
    content = parse_yaml(text, path)
    if content is not None and not isinstance(content, dict):
        raise ValueError(
            f'{path} holds a {type(content).__name__} where settings by name are expected; write '
            'name: value'
        )
    return content or {}


def _find_settings(name: str) -> str:
    """Return the path of a configuration file, and refuse one that holds no settings."""
    path = find_config(name)
    read_config(path)
    return path
