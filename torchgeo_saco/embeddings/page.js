// Search of embeddings on a page: a click on a cell or location shows how similar all others are.
// Copyright (c) torchgeo_saco Contributors. Licensed under the MIT License.
async function exploreEmbeddings(map, layers, data) {
  'use strict';
  const element = (id) => document.getElementById(id);

  async function unpacked(text, Kind) {
    const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream('deflate'));
    return new Kind(await new Response(stream).arrayBuffer());
  }

  const scores = await unpacked(data.scores, Int8Array);
  const common = await unpacked(data.common, Float32Array);
  const colormap = await unpacked(data.colormap, Uint8Array);
  const labels = await unpacked(data.labels, Uint16Array);
  const count = common.length;
  const size = data.scale.length;
  let chosen = -1;
  let similarities = null;

  // As ReducedEmbeddings.similarity does.
  function similarity(row) {
    const wanted = Float32Array.from(data.scale, (step, k) => scores[row * size + k] * step * step);
    const found = new Float32Array(count);
    for (let other = 0; other < count; other++) {
      let product = common[row] + common[other];
      for (let k = 0; k < size; k++) product += wanted[k] * scores[other * size + k];
      found[other] = product;
    }
    return found;
  }

  // Colours run from the 2nd percentile to 1, for all embeddings of an encoder have much in common.
  function colorsOf(found) {
    const sorted = Float32Array.from(found).sort();
    const low = sorted[Math.floor(0.02 * (count - 1))];
    const share = Number(element('share').value) / 100;
    const least = share >= 1 ? -Infinity : sorted[Math.floor((1 - share) * (count - 1))];
    const high = Math.max(low + 1e-6, sorted[count - 1]);
    element('low').textContent = low.toFixed(3);
    element('high').textContent = high.toFixed(3);
    const colors = new Uint8ClampedArray(4 * count);
    for (let row = 0; row < count; row++) {
      const level = Math.max(0, Math.min(255, Math.round(255 * (found[row] - low) / (high - low))));
      colors.set(colormap.subarray(3 * level, 3 * level + 3), 4 * row);
      colors[4 * row + 3] = found[row] >= least ? 255 : 0;
    }
    return colors;
  }

  const number = (value, digits) => value.toFixed(digits);
  function describe(lines) {
    element('info').replaceChildren(...lines.map((line) => {
      const paragraph = document.createElement('p');
      paragraph.textContent = line;
      return paragraph;
    }));
  }

  function opacity(id, change) {
    element(id).addEventListener('input', () => change(Number(element(id).value) / 100));
  }

  async function exploreMap() {
    const shown = await unpacked(data.shown, Int32Array);
    // Steps along rows are stored, which take less.
    for (let pixel = 1; pixel < shown.length; pixel++) shown[pixel] += shown[pixel - 1];
    const position = await unpacked(data.positions, Int32Array);
    const [[south, west], [north, east]] = data.bounds;
    const corner = map.options.crs.project(L.latLng(north, west));
    const opposite = map.options.crs.project(L.latLng(south, east));
    const marker = L.circleMarker([0, 0], {
      radius: 7, color: '#fff', weight: 3, fill: false, interactive: false,
    });
    const inner = L.circleMarker([0, 0], {
      radius: 7, color: '#c00', weight: 1.5, fill: false, interactive: false,
    });
    const canvas = document.createElement('canvas');
    [canvas.width, canvas.height] = [data.width, data.height];

    function draw() {
      if (similarities === null) return;
      const colors = colorsOf(similarities);
      const context = canvas.getContext('2d');
      const picture = context.createImageData(data.width, data.height);
      for (let pixel = 0; pixel < shown.length; pixel++) {
        const row = shown[pixel];
        if (row >= 0) picture.data.set(colors.subarray(4 * row, 4 * row + 4), 4 * pixel);
      }
      context.putImageData(picture, 0, 0);
      layers.similarity.setUrl(canvas.toDataURL());
    }

    map.on('click', (event) => {
      const point = map.options.crs.project(event.latlng);
      const column = Math.floor(data.width * (point.x - corner.x) / (opposite.x - corner.x));
      const row = Math.floor(data.height * (point.y - corner.y) / (opposite.y - corner.y));
      const inside = row >= 0 && column >= 0 && row < data.height && column < data.width;
      const found = inside ? shown[row * data.width + column] : -1;
      if (found < 0) {
        describe(['No embedding here; click on the map.']);
        return;
      }
      chosen = found;
      similarities = similarity(chosen);
      draw();
      if (!map.hasLayer(layers.similarity)) layers.similarity.addTo(map);
      marker.setLatLng(event.latlng).addTo(map);
      inner.setLatLng(event.latlng).addTo(map);
      const cell = position[chosen];
      const [y, x] = [Math.floor(cell / data.columns), cell % data.columns];
      const [a, , c, , e, f] = data.transform;
      describe([
        `row ${y}, column ${x}, cluster ${labels[chosen]}`,
        `${number(event.latlng.lat, 5)}\u00b0, ${number(event.latlng.lng, 5)}\u00b0 (latitude, longitude)`,
        `${number(c + a * (x + 0.5), data.digits)}, ${number(f + e * (y + 0.5), data.digits)} (centre, ${data.crs})`,
      ]);
    });
    element('share').addEventListener('input', draw);
    for (const name of Object.keys(layers)) {
      opacity(`opacity-${name}`, (share) => layers[name].setOpacity(share));
    }
  }

  function exploreTable() {
    const features = new Map();
    let shade = 0.8;
    let colors = null;
    const text = (row) => data.names[row];
    const hex = (channels) => `rgb(${channels[0]}, ${channels[1]}, ${channels[2]})`;
    function color(row) {
      const by = element('by').value;
      if (by === 'clusters') return data.clusters[labels[row] % data.clusters.length];
      if (by === 'similarity' && colors) return hex(colors.subarray(4 * row, 4 * row + 3));
      return data.components[row];
    }
    function style(row) {
      const hidden = element('by').value === 'similarity' && colors && !colors[4 * row + 3];
      return {
        color: row === chosen ? '#c00' : '#222', weight: row === chosen ? 4 : 1,
        fillColor: color(row), fillOpacity: hidden ? 0 : shade, radius: 7,
      };
    }
    function draw() {
      if (similarities !== null) colors = colorsOf(similarities);
      features.forEach((layer, row) => layer.setStyle(style(row)));
    }
    function choose(row) {
      chosen = row;
      similarities = similarity(row);
      element('by').value = 'similarity';
      draw();
      const order = Array.from(similarities.keys()).sort((i, j) => similarities[j] - similarities[i]);
      const list = document.createElement('ol');
      for (const other of order.filter((i) => i !== row).slice(0, 10)) {
        const item = document.createElement('li');
        item.textContent = `${text(other)}: ${number(similarities[other], 3)}`;
        list.append(item);
      }
      describe([`${text(row)}, cluster ${labels[row]}`, 'nearest:']);
      element('info').append(list);
    }
    const bounds = L.latLngBounds([]);
    data.features.forEach((geometry, row) => {
      if (geometry === null) return;
      const layer = L.geoJSON(geometry, {
        style: () => style(row), pointToLayer: (_, at) => L.circleMarker(at),
      }).addTo(map);
      layer.bindTooltip(text(row).replace(/[<&]/g, ' '));
      layer.on('click', () => choose(row));
      // What is smaller than a few pixels on the whole map has a circle as well.
      bounds.extend(layer.getBounds());
      const dot = L.circleMarker(layer.getBounds().getCenter(), style(row)).addTo(map);
      dot.on('click', () => choose(row));
      features.set(row, L.featureGroup([layer, dot]));
    });
    map.fitBounds(bounds.pad(0.1));
    element('share').addEventListener('input', draw);
    element('by').addEventListener('change', draw);
    opacity('opacity-locations', (share) => { shade = share; draw(); });
  }

  if (data.features) exploreTable(); else await exploreMap();
  window.embeddings = {
    similarity, get chosen() { return chosen; }, get similarities() { return similarities; },
  };
  document.body.dataset.ready = 'true';
}
