# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Upload of an exported folder to a hub."""

import os
from pathlib import Path


def push_folder(folder: Path, repository: str) -> str:
    """Upload all files of a folder as one commit of a repository of models, made where it is not.

    The token is that of ``hf auth login`` or of the variable ``HF_TOKEN``, and the hub that of
    ``HF_ENDPOINT``.

    Args:
        folder: The folder.
        repository: Name of the repository, ``owner/name``.

    Returns:
        Address of the repository.

    Raises:
        ValueError: If the hub refuses it or cannot be reached.
    """
    from huggingface_hub import HfApi

    api = HfApi(endpoint=os.environ.get('HF_ENDPOINT'))
    try:
        address = api.create_repo(repository, exist_ok=True)
        api.upload_folder(
            repo_id=repository, folder_path=folder, commit_message='Export of torchgeo_saco'
        )
    except Exception as error:  # Errors of its HTTP client have no base of their own.
        status = getattr(getattr(error, 'response', None), 'status_code', None)
        reason = type(error).__name__ if status is None else f'HTTP status {status}'
        raise ValueError(
            f'{folder} is written, but cannot be pushed to {repository} ({reason}); check the name '
            'of the repository, the token (hf auth login) and the connection, and upload it by: '
            f'hf upload {repository} {folder}'
        ) from error
    return str(address)
