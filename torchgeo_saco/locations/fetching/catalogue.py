# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Search of a STAC API, and patience with servers that fail."""

import threading
from collections.abc import Callable
from typing import Any

from ...runtime.checks import check_range
from ...runtime.extras import import_extra
from .items import Item
from .points import DateWindow, TargetLocation

# Seconds after which a server counts as silent.
_TIMEOUT = 60.0

# Answers that may be another one the next time, https://www.rfc-editor.org/rfc/rfc9110
_PASSING = (408, 425, 429)

#: Changes what the catalogue sends, in place, such as addresses that must be signed.
Modifier = Callable[[Any], None]


class FetchError(OSError):
    """Imagery that could not be fetched; the message says which, and how to go on."""


class Patience:
    """Repeats what fails, with pauses that double."""

    def __init__(self, tries: int, pause: float, stop: threading.Event | None = None) -> None:
        """Initialize a new Patience.

        Args:
            tries: How often to try in all.
            pause: Seconds before the second try.
            stop: Once this is set, nothing is repeated.

        Raises:
            ValueError: If an argument is out of range.
        """
        self.tries = check_range('tries', tries, 'int [1, inf)')
        self.pause = check_range('pause', pause, '[0, 3600]')
        self.stop = stop or threading.Event()

    def __call__[Result](
        self, action: Callable[[], Result], failures: tuple[type[Exception], ...]
    ) -> Result:
        """Result of an action.

        Args:
            action: What to do.
            failures: Errors after which to try again.

        Returns:
            What the action returns.

        Raises:
            FetchError: If every try failed.
        """
        for number in range(self.tries):
            try:
                return action()
            except failures as error:
                last = error
            if number + 1 < self.tries and self.stop.wait(self.pause * 2**number):
                break
        raise FetchError(f'{_plain(last)}, after {number + 1} tries') from last


class Catalogue:
    """One collection of a STAC API."""

    def __init__(
        self, url: str, collection: str, patience: Patience, modifier: Modifier | None = None
    ) -> None:
        """Connect, and look whether the collection is there.

        Args:
            url: Address of the landing page.
            collection: Identifier of the collection.
            patience: How to deal with failures.
            modifier: Applied to what the catalogue sends.

        Raises:
            ImportError: If the optional packages are missing.
            FetchError: If the server does not answer.
            ValueError: If it is no STAC API, or has no such collection.
        """
        require_stac()
        import pystac_client
        from pystac_client.stac_api_io import StacApiIO

        self.url = url
        self.collection = collection
        self.patience = patience
        # Failures are dealt with here, those in the middle of an answer, too.
        self._io = StacApiIO(timeout=_TIMEOUT, max_retries=None)
        self._failures = (pystac_client.exceptions.APIError, KeyError, TypeError, ValueError)
        try:
            page = self._request(lambda: self._io.read_json(url))
        except FetchError as error:
            raise FetchError(
                f'{url} does not answer; look at the address and the network, then give the same '
                f'command again ({error})'
            ) from error
        search = [link for link in page.get('links', []) if link.get('rel') == 'search']
        if not search or not page.get('conformsTo'):
            raise ValueError(
                f'{url} is no STAC API that can be searched; give the address of its landing page, '
                'such as https://earth-search.aws.element84.com/v1'
            )
        self._client = self._request(
            lambda: pystac_client.Client.open(url, modifier=modifier, stac_io=self._io)
        )
        # A link without a method is one of GET, says the specification.
        self._method = 'POST' if 'POST' in {link.get('method') for link in search} else 'GET'
        self._require_collection(page)

    def search(self, location: TargetLocation, window: DateWindow, max_cloud: float) -> list[Item]:
        """Items that contain a point, of some days.

        Args:
            location: The point.
            window: The days.
            max_cloud: Share of cloud in percent; cloudier items are skipped by servers that can.

        Returns:
            Items as they came.

        Raises:
            FetchError: If the server fails again and again.
        """
        point = {'type': 'Point', 'coordinates': [location.longitude, location.latitude]}
        query = None
        if self._client.conforms_to('QUERY'):
            query = {'eo:cloud_cover': {'lt': max_cloud}}
        search = self._client.search(
            method=self._method,
            collections=[self.collection],
            intersects=point,
            datetime=f'{window.start}T00:00:00Z/{window.end}T23:59:59Z',
            query=query,
        )
        return self._request(lambda: list(search.items_as_dicts()))

    def _require_collection(self, page: Item) -> None:
        """Refuse a collection that is not there; a search would find nothing, and not say why."""
        address = f'{self.url.rstrip("/")}/collections/{self.collection}'
        for link in page['links']:
            if link.get('rel') == 'data':
                address = f'{link["href"].rstrip("/")}/{self.collection}'
        if self._request(lambda: self._io.read_json(address), absent=True) is None:
            raise ValueError(
                f'{self.url} has no collection {self.collection!r}; those it has are listed at '
                f'{address.rpartition("/")[0]}'
            )

    def _request(self, action: Callable[[], Any], absent: bool = False) -> Any:
        """Answer of the server; None where it says that there is no such thing, if that may be."""

        def answer() -> Any:
            try:
                return action()
            except self._failures as error:
                code = getattr(error, 'status_code', None) or 0
                if code == 404 and absent:
                    return None
                if 400 <= code < 500 and code not in _PASSING:
                    raise _Refusal(f'{self.url} refuses what is asked: {_plain(error)}') from error
                raise

        return self.patience(answer, self._failures)


class _Refusal(FetchError):
    """An answer that no further try will change."""


def require_stac() -> None:
    """Refuse to begin without the optional packages.

    Raises:
        ImportError: If one is missing; the message says how to install it.
    """
    for name in ('pystac_client', 'odc.stac', 'filelock'):
        import_extra(name, 'stac', 'fetching')


def _plain(error: Exception) -> str:
    """Shorten an error to one line."""
    text = ' '.join(str(error).split()) or type(error).__name__
    return text if len(text) <= 300 else f'{text[:300]}...'
