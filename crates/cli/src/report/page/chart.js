// Lines over time, with a band and shaded stretches; a heat map of the week; a small line.

const tidy = max => {
  const size = 10 ** Math.floor(Math.log10(max || 1));
  return [1, 1.5, 2, 3, 4, 5, 7.5, 10].map(n => n * size).find(n => n >= max * 0.999);
};

/** Times at which a grid line helps, and how to write them. */
function ticks(from, to, pixels) {
  const steps = [60, 300, 900, 1800, 3600, 10800, 21600, 43200, 86400, 172800, 345600, 604800, 1209600, 2592000];
  const step = steps.find(s => (to - from) / s * 80 <= pixels) ?? steps.at(-1) * Math.ceil((to - from) / steps.at(-1) / 8);
  const days = new Intl.DateTimeFormat('en', { timeZone: 'UTC', weekday: 'short', day: 'numeric', month: 'short' });
  const list = [];
  // Weeks begin on Mondays, and so do the grid lines that are days apart.
  const monday = 4 * 86400;
  for (let t = Math.ceil((from - monday) / step) * step + monday; t <= to; t += step) {
    const midnight = t % 86400 === 0;
    list.push([t, midnight ? days.format(t * 1000) : new Date(t * 1000).toISOString().slice(11, 16)]);
  }
  return list;
}

/** The path of a line; gaps where nothing is known. */
function trace(values, x, y) {
  let path = '', pen = false;
  values.forEach((value, i) => {
    if (value === null) { pen = false; return; }
    path += (pen ? 'L' : 'M') + x(i).toFixed(1) + ' ' + y(value).toFixed(1);
    pen = true;
  });
  return path;
}

/**
 * A chart of series over time. `series`: [{name, values, tone, dashed}]; `band`: {low, high}; `shades`: [{from, to, severity, text}].
 * With `lanes` incidents stand below the lines, a lane for each severity, because there are too many to lie under them.
 * The cursor follows the pointer, and the arrow keys where the chart has the focus.
 */
function chart({ title, unit, origin, width, series, band, shades = [], lanes = false, height = 190, format = number }) {
  const length = series[0].values.length;
  const keys = series.map(s => el('span', { class: `key ${s.tone} ${s.dashed ? 'dashed' : ''}` }, s.name));
  if (band) keys.push(el('span', { class: 'key band' }, '98 of 100 usual windows'));
  if (shades.length) keys.push(...SEVERITIES.filter(s => shades.some(shade => shade.severity === s)).map(s => el('span', { class: 'key shade ' + s }, s + ' incident')));
  const holder = el('div');
  const figure = el('figure', { class: 'card' }, el('figcaption', {}, el('b', {}, title), el('span', { class: 'soft' }, unit), keys), holder);
  let at = -1;

  function draw(pixels) {
    const rows = lanes ? SEVERITIES.filter(s => shades.some(shade => shade.severity === s)) : [];
    const left = 46, right = 8, top = 8, bottom = 22 + rows.length * 8;
    const inner = Math.max(60, pixels - left - right);
    const from = origin, to = origin + length * width;
    const x = i => left + (i + 0.5) / length * inner;
    const xt = t => left + Math.min(1, Math.max(0, (t - from) / (to - from))) * inner;
    let max = Math.max(...series.flatMap(s => s.values.map(v => v ?? 0)));
    // A band far above everything that ever came would flatten the line it is there for.
    if (band) max = Math.max(max, Math.min(max * 2.5, Math.max(...band.high.map(v => v ?? 0))));
    max = tidy(max || 1);
    const y = v => top + (1 - Math.min(1, v / max)) * (height - top - bottom);
    const picture = svg('svg', { viewBox: `0 0 ${pixels} ${height}`, height, tabindex: 0, role: 'img', 'aria-label': `${title}, ${unit}. Arrow keys move through time.` });
    for (const part of [0, 0.5, 1]) {
      picture.append(svg('line', { class: 'grid', x1: left, x2: left + inner, y1: y(max * part), y2: y(max * part) }),
        svg('text', { x: left - 6, y: y(max * part) + 4, 'text-anchor': 'end' }, format(max * part)));
    }
    let free = left;
    for (const [t, text] of ticks(from, to, inner)) {
      const place = xt(t), half = text.length * 3.1;
      picture.append(svg('line', { class: 'grid', x1: place, x2: place, y1: top, y2: height - bottom }));
      // A label that would run into the one before it, or out of the picture, is left out.
      if (place - half < free || place + half > pixels) continue;
      picture.append(svg('text', { x: place, y: height - 6, 'text-anchor': 'middle' }, text));
      free = place + half + 6;
    }
    rows.forEach((severity, row) => {
      for (const shade of shades.filter(s => s.severity === severity)) {
        const a = xt(shade.from);
        picture.append(svg('rect', { class: 'mark ' + severity, x: a, width: Math.max(3, xt(shade.to) - a), y: height - bottom + 4 + row * 8, height: 5, rx: 2 }));
      }
    });
    for (const shade of lanes ? [] : shades) {
      const [a, b] = [xt(shade.from), xt(shade.to)];
      picture.append(svg('rect', { class: 'shadow ' + shade.severity, x: a, width: Math.max(2.5, b - a), y: top, height: height - top - bottom }),
        svg('line', { class: 'shadow-edge ' + shade.severity, x1: a, x2: Math.max(a + 2.5, b), y1: top, y2: top }));
    }
    if (band) {
      let path = '';
      for (let i = 0; i < length; i++) {
        if (band.low[i] === null || band.high[i] === null) continue;
        const start = i;
        while (i + 1 < length && band.low[i + 1] !== null && band.high[i + 1] !== null) i++;
        const run = Array.from({ length: i - start + 1 }, (_, k) => start + k);
        path += 'M' + run.map(k => `${x(k).toFixed(1)} ${y(band.high[k]).toFixed(1)}`).join('L') +
          'L' + run.reverse().map(k => `${x(k).toFixed(1)} ${y(band.low[k]).toFixed(1)}`).join('L') + 'Z';
      }
      picture.append(svg('path', { class: 'area', d: path }));
    }
    for (const s of series) picture.append(svg('path', { class: `stroke ${s.tone} ${s.dashed ? 'dashed' : ''}`, d: trace(s.values, x, y) }));
    const cursor = svg('line', { class: 'cursor', y1: top, y2: height - bottom, visibility: 'hidden' });
    picture.append(cursor);

    const point = (i, px, py) => {
      at = Math.max(0, Math.min(length - 1, i));
      cursor.setAttribute('x1', x(at));
      cursor.setAttribute('x2', x(at));
      cursor.setAttribute('visibility', 'visible');
      const start = origin + at * width;
      const text = [when(start) + ' UTC, ' + length_of(width)];
      for (const s of series) text.push(`${s.name}: ${format(s.values[at])}`);
      if (band && band.low[at] !== null) text.push(`usual: ${format(band.low[at])} to ${format(band.high[at])}`);
      for (const s of shades.filter(s => s.from < start + width && s.to >= start)) text.push('● ' + s.text);
      const box = picture.getBoundingClientRect();
      showTip(text.join('\n'), px ?? box.left + x(at), py ?? box.top + top);
    };
    const leave = () => { cursor.setAttribute('visibility', 'hidden'); hideTip(); };
    picture.addEventListener('pointermove', e => {
      const box = picture.getBoundingClientRect();
      point(Math.floor((e.clientX - box.left - left) / inner * length), e.clientX, e.clientY);
    });
    picture.addEventListener('pointerleave', leave);
    picture.addEventListener('blur', leave);
    picture.addEventListener('keydown', e => {
      const step = { ArrowLeft: -1, ArrowRight: 1, PageUp: -Math.ceil(length / 20), PageDown: Math.ceil(length / 20) }[e.key];
      if (step) { e.preventDefault(); point(at < 0 ? 0 : at + step); }
      else if (e.key === 'Home' || e.key === 'End') { e.preventDefault(); point(e.key === 'Home' ? 0 : length - 1); }
    });
    holder.replaceChildren(picture);
  }
  fit(holder, draw);
  return figure;
}
const length_of = seconds => seconds % 3600 ? seconds / 60 + ' min' : seconds / 3600 + ' h';

/** Draws again whenever the room for it has another width. */
function fit(holder, draw) {
  let last = 0;
  new ResizeObserver(([entry]) => {
    const pixels = Math.floor(entry.contentRect.width);
    // Not at once: what is drawn changes heights, of which the observer would then have missed some.
    if (pixels > 0 && pixels !== last) { last = pixels; requestAnimationFrame(() => draw(pixels)); }
  }).observe(holder);
}

const DAYS = ['Mon', 'Tue', 'Wed', 'Thu', 'Fri', 'Sat', 'Sun'];

/** Requests by hour and weekday. */
function heatMap(hours, title) {
  const max = Math.max(...hours, 1);
  const holder = el('div');
  const hot = hours.indexOf(Math.max(...hours));
  const name = i => `${DAYS[Math.floor(i / 24)]} ${String(i % 24).padStart(2, '0')}:00`;
  fit(holder, pixels => {
    const left = 36, top = 16, cell = (pixels - left) / 24, tall = Math.max(15, Math.min(24, cell));
    const label = `${title}: busiest ${name(hot)} UTC with ${count(Math.round(hours[hot]))} requests`;
    const picture = svg('svg', { viewBox: `0 0 ${pixels} ${top + 7 * tall + 2}`, height: top + 7 * tall + 2, role: 'img', 'aria-label': label });
    for (let hour = 0; hour < 24; hour += pixels < 560 ? 6 : 3) picture.append(svg('text', { x: left + hour * cell, y: 11 }, String(hour).padStart(2, '0')));
    DAYS.forEach((day, d) => picture.append(svg('text', { x: 0, y: top + d * tall + tall * 0.7 }, day)));
    hours.forEach((n, i) => {
      // Square root: half as busy should look half as busy, not empty.
      const strength = Math.round(Math.sqrt(n / max) * 100);
      picture.append(svg('rect', {
        class: 'cell', x: left + i % 24 * cell, y: top + Math.floor(i / 24) * tall, width: cell, height: tall, rx: 2,
        style: `fill: color-mix(in oklab, var(--accent) ${strength}%, var(--sunk))`,
        onpointerenter: e => showTip(`${name(i)} UTC\n${count(Math.round(n))} requests`, e.clientX, e.clientY), onpointerleave: hideTip,
      }));
    });
    holder.replaceChildren(picture);
  });
  return el('figure', { class: 'card' }, el('figcaption', {}, el('b', {}, title), el('span', { class: 'soft' }, `requests, UTC; busiest ${name(hot)}`)), holder);
}

/** A small line without axes. */
function spark(values, tone) {
  const known = values.filter(v => v !== null);
  const max = Math.max(...known, 1e-9);
  const picture = svg('svg', { class: 'spark', viewBox: '0 0 128 27', preserveAspectRatio: 'none', 'aria-hidden': 'true' });
  picture.append(svg('path', { class: 'stroke ' + tone, d: trace(values, i => (i + 0.5) / values.length * 128, v => 25 - v / max * 23) }));
  return picture;
}
