"""The paths below /moto-api, which are not part of AWS."""

from moto.moto_api._internal import urls


def remove_all():
    """Removes moto's own, which read and change its state without credentials."""
    urls.url_paths.clear()


def serve(path, respond):
    """Adds a path, a regular expression. The sandbox asks these."""
    urls.url_paths[f"{{0}}/moto-api/{path}$"] = respond
