# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Tables of points in the form that ``torchgeo-saco sample`` writes."""

import geopandas
import shapely

SPRING_2019 = ('2019-04-08', '2019-04-22')
SUMMER_2019 = ('2019-07-08', '2019-07-22')
SPRING_2020 = ('2020-04-08', '2020-04-22')


def points(*rows) -> geopandas.GeoDataFrame:
    """Table of rows (location, window, (longitude, latitude))."""
    columns = [
        {'location': location, 'city': '', 'year': 0, 'season': 0, 'start': start, 'end': end}
        for location, (start, end), _ in rows
    ]
    geometry = [shapely.Point(*point) for *_, point in rows]
    return geopandas.GeoDataFrame(columns, geometry=geometry, crs=4326)
