// The overview, and the incidents with their evidence.

function drawOverview() {
  const { meta } = data;
  const span = meta.last - meta.first;
  byId('span').textContent = `${when(meta.first)} to ${when(meta.last)} UTC, ${length(span)}.`;
  const allowed = meta.tolerated * span / 604800;
  const by = SEVERITIES.map(s => [s, incidents.filter(i => i.alert.severity === s).length]).filter(([, n]) => n);
  const tile = (value, text, more) => el('div', { class: 'tile' }, el('b', {}, value), el('span', {}, text), more ?? []);
  byId('tiles').append(
    tile(number(meta.requests), 'requests'),
    tile(count(pairs.length + 0), meta.more_pairs ? `pairs shown; ${number(meta.more_pairs)} requests of others` : 'pairs'),
    tile(count(incidents.length + data.incidents.more), 'incidents', el('div', { class: 'chips' }, by.map(([s, n]) => el('span', { class: 'badge ' + s }, `${n} ${s}`)))),
    tile(number(allowed), `false alerts tolerated in this time (${meta.tolerated} a week)`),
    tile(share(pairs.reduce((n, p) => n + p.e, 0) / Math.max(1, meta.requests)), 'answered with a server error'),
    tile(share(pairs.reduce((n, p) => n + p.a, 0) / Math.max(1, meta.requests)), 'refused for their credentials'),
  );
  if (meta.bad) byId('tiles').append(tile(count(meta.bad), `of ${number(meta.lines)} lines could not be read`));
  const sum = key => {
    const total = new Array(bins).fill(0);
    for (const p of pairs) unpack(p[key], bins, 0).forEach((v, i) => { total[i] += v; });
    return total;
  };
  byId('traffic').append(chart({
    title: 'All traffic', unit: 'requests a second', origin, width,
    series: [{ name: 'requests', values: sum('rate'), tone: 't0' }],
    shades: incidents.map(shade), lanes: true, height: 220,
  }));
  const week = new Array(168).fill(0);
  for (const p of pairs) unpack(p.heat, 168, 0).forEach((v, i) => { week[i] += v; });
  byId('week').append(heatMap(week, 'The week'));
}
const shade = i => ({ from: i.from, to: i.to, severity: i.alert.severity, text: i.alert.message });

/** Where a value lies against what is usual: the band, the typical value, the actual one. */
function bandBar(e) {
  const known = [e.actual, e.typical, ...(e.band ?? [])].filter(v => v !== undefined);
  if (known.length < 2) return null;
  const max = Math.max(...known) * 1.05 || 1;
  // Orders of magnitude apart: then only a logarithm shows both.
  const small = Math.min(...known.filter(v => v > 0), max);
  const wide = max / small > 30;
  const x = v => wide ? (v <= small / 2 ? 0 : Math.log(v / (small / 2)) / Math.log(max / (small / 2))) * 200 : v / max * 200;
  const parts = [];
  if (e.band) parts.push(svg('rect', { class: 'area', x: x(e.band[0]), width: Math.max(1, x(e.band[1]) - x(e.band[0])), y: 2, height: 16 }));
  if (e.typical !== undefined) parts.push(svg('line', { class: 'stroke t0', x1: x(e.typical), x2: x(e.typical), y1: 1, y2: 19 }));
  if (e.actual !== undefined) parts.push(svg('circle', { cx: Math.min(195, Math.max(5, x(e.actual))), cy: 10, r: 4.5, style: 'fill: var(--high)' }));
  return svg('svg', { class: 'bandbar', viewBox: '0 0 200 20', preserveAspectRatio: 'none', role: 'img', 'aria-label': 'usual band, typical and actual' },
    svg('line', { class: 'grid', x1: 0, x2: 200, y1: 10, y2: 10 }), parts);
}

const inUnit = (value, unit) => value === undefined ? '–'
  : unit === 'share' ? share(value) : unit === 'ms' ? millis(value) : unit === 'bytes' ? bytes(Math.round(value)) : number(value);

function evidenceTable(list) {
  const rows = list.map(e => el('tr', {},
    el('td', { class: 'wide' }, e.signal.replaceAll('_', ' ')),
    el('td', {}, inUnit(e.actual, e.unit)), el('td', {}, inUnit(e.typical, e.unit)),
    el('td', {}, e.band ? `${inUnit(e.band[0], e.unit)} – ${inUnit(e.band[1], e.unit)}` : '–'),
    el('td', { class: 'text' }, ['share', 'ms', 'bytes'].includes(e.unit) ? '' : e.unit),
    el('td', {}, bandBar(e)),
    el('td', {}, share(e.contribution))));
  return el('div', { class: 'scroll' }, el('table', {}, el('thead', {}, el('tr', {},
    ['Signal', 'Actual', 'Typical', 'Usual band', '', 'Against usual', 'Part of the evidence'].map(h => el('th', { scope: 'col' }, h)))), el('tbody', {}, rows)));
}

/** Fields of an alert that are told in words of their own; all others are listed as they are. */
const TOLD = ['pairwatch', 'version', 'time', 'state', 'severity', 'kind', 'message', 'evidence', 'actual', 'typical'];

/** Those that come first; what is not among them comes after. */
const FIRST = ['source', 'destination', 'identity', 'addresses', 'since', 'score', 'maturity', 'techniques'];
const rank = key => FIRST.includes(key) ? FIRST.indexOf(key) : FIRST.length;

function incidentBody(i) {
  const { alert } = i;
  const plain = v => Array.isArray(v) ? v.map(plain).join(', ') : v !== null && typeof v === 'object' ? Object.values(v).map(plain).join(' → ') : String(v);
  const facts = Object.entries(alert).filter(([key]) => !TOLD.includes(key)).sort(([a], [b]) => rank(a) - rank(b));
  return el('div', { class: 'body' },
    el('dl', { class: 'facts' }, facts.map(([key, value]) => el('div', {}, el('dt', {}, key.replaceAll('_', ' ')), el('dd', {}, plain(value))))),
    alert.evidence?.length ? evidenceTable(alert.evidence) : null,
    el('ol', { class: 'steps' }, i.lines.map(([time, state, severity, message]) => el('li', {}, `${when(seconds(time), true)} ${state}, ${severity}: ${message}`)),
      i.more ? el('li', {}, `and ${count(i.more)} more lines`) : null),
    i.pair ? el('button', { type: 'button', onclick: () => openPair(i.pair, true) }, 'See the pair over time') : null);
}

function incidentItem(i) {
  const { alert } = i;
  const item = el('details', { class: 'incident ' + alert.severity, id: 'incident-' + i.index },
    el('summary', {}, badge(alert.severity), el('span', { class: 'what' }, alert.message),
      el('span', { class: 'soft' }, alert.kind), el('time', {}, `${when(i.from)}, ${length(Math.max(1, i.to - i.from))}`)));
  item.addEventListener('toggle', () => { if (item.open && item.children.length === 1) item.append(incidentBody(i)); });
  return item;
}

/** A list that grows by a button. */
function growing(holder, items, make, step, wrap = list => list) {
  let shown = 0;
  const list = wrap(holder);
  const button = el('button', { type: 'button', class: 'more' });
  const grow = () => {
    const next = items.slice(shown, shown + step);
    list.append(...next.map(make));
    shown += next.length;
    if (shown < items.length) { button.textContent = `Show more (${count(items.length - shown)} left)`; holder.after(button); } else button.remove();
  };
  button.addEventListener('click', grow);
  grow();
  return () => button.remove();
}

function drawIncidents() {
  const place = byId('incident-list');
  if (!incidents.length) { place.append(el('p', { class: 'card' }, 'None. Nothing deviated enough from what is usual.')); return; }
  const kinds = [...new Set(incidents.map(i => i.alert.kind))].sort();
  const order = el('select', { 'aria-label': 'Order' }, el('option', { value: 'worst' }, 'worst first'), el('option', { value: 'time' }, 'in time order'));
  const kind = el('select', { 'aria-label': 'Kind' }, el('option', { value: '' }, 'all kinds'), kinds.map(k => el('option', { value: k }, `${k} (${incidents.filter(i => i.alert.kind === k).length})`)));
  const search = el('input', { type: 'search', placeholder: 'Service or word', 'aria-label': 'Incidents with this word' });
  const told = el('span', { class: 'soft' });
  const list = el('div');
  let stop = () => {};
  const show = () => {
    stop();
    list.replaceChildren();
    const word = search.value.toLowerCase();
    const found = incidents.filter(i => (!kind.value || i.alert.kind === kind.value) &&
      (!word || `${i.alert.source} ${i.alert.destination} ${i.alert.message}`.toLowerCase().includes(word)));
    if (order.value === 'worst') found.sort((a, b) => SEVERITIES.indexOf(a.alert.severity) - SEVERITIES.indexOf(b.alert.severity) || b.alert.score - a.alert.score || a.from - b.from);
    told.textContent = `${count(found.length)} of ${count(incidents.length)}`;
    stop = growing(list, found, incidentItem, 12);
  };
  for (const control of [order, kind, search]) control.addEventListener('input', show);
  place.append(el('div', { class: 'row' }, search, kind, order, told), list);
  if (data.incidents.more) place.append(el('p', { class: 'soft' }, `${count(data.incidents.more)} later incidents are not listed; the alert lines have them.`));
  show();
}
