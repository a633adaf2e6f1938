// The list of pairs, and one of them in full.

let findPairs = () => {}, openPair = () => {};

function pairDetail(p) {
  const shades = p.incidents.map(shade);
  const series = (key, rest = 0) => unpack(p[key], bins, rest);
  const errors = series('errors'), denied = series('denied');
  const parts = [
    el('div', { class: 'card' }, el('h3', { tabindex: -1 }, `${p.source} → ${p.destination}`),
      el('div', { class: 'facts' }, el('span', {}, `${count(p.n)} requests`), el('span', {}, `${share(p.e / p.n)} server errors`), el('span', {}, `${share(p.a / p.n)} refused credentials`),
        el('span', {}, p.incidents.length ? `${p.incidents.length} incidents` : 'no incident')),
      p.incidents.slice(0, 8).map(i => el('div', { class: 'told' }, badge(i.alert.severity), el('button', { type: 'button', class: 'link', onclick: () => openIncident(i) }, `${when(i.from)} ${i.alert.message}`)))),
    chart({
      title: 'Requests', unit: 'a second', origin, width, shades, height: 220,
      series: [{ name: 'actual', values: series('rate'), tone: 't0' }, { name: 'typical', values: series('typical', null), tone: 't3', dashed: true }],
      band: { low: series('low', null), high: series('high', null) },
    }),
  ];
  if (p.e || p.a) {
    parts.push(chart({
      title: 'Errors', unit: 'a second', origin, width, shades, height: 140,
      series: [{ name: 'server errors', values: errors, tone: 't2' }, { name: 'refused credentials', values: denied, tone: 't1' }],
    }));
  }
  const timed = p.routes.filter(r => r.q);
  if (timed.length) {
    const holder = el('div');
    const pick = el('select', { 'aria-label': 'Route' }, timed.map((r, i) => el('option', { value: i }, names[r.r])));
    const show = () => holder.replaceChildren(chart({
      title: 'Duration', unit: 'milliseconds', origin: slowOrigin, width: slowWidth, shades, height: 170,
      series: ['half of all', '95 of 100', '99 of 100'].map((name, q) => ({ name: name + ' are faster', values: unpack(timed[pick.value].q[q], slowBins, null), tone: 't' + q })),
    }));
    pick.addEventListener('input', show);
    show();
    parts.push(el('div', { class: 'row' }, el('label', {}, 'Durations of ', pick)), holder);
  }
  parts.push(heatMap(unpack(p.heat, 168, 0), 'The week'));
  const most = Math.max(...p.routes.map(r => r.n));
  parts.push(el('h4', {}, 'Routes'), el('div', { class: 'scroll' }, el('table', {},
    el('thead', {}, el('tr', {}, ['Route', 'Requests', 'Errors', 'Refused', 'Mean', '95 of 100', 'Bytes out'].map(h => el('th', { scope: 'col' }, h)))),
    el('tbody', {}, p.routes.map(r => el('tr', {}, el('td', { class: 'wide' }, names[r.r]),
      el('td', {}, meter(r.n / most), count(r.n)), el('td', {}, r.e ? share(r.e / r.n) : '–'), el('td', {}, r.a ? share(r.a / r.n) : '–'),
      el('td', {}, r.ms[0] ? millis(r.ms[0]) : '–'), el('td', {}, r.ms[2] ? millis(r.ms[2]) : '–'), el('td', {}, bytes(r.out))))))));
  return parts;
}
const meter = part => el('span', { class: 'meter', 'aria-hidden': 'true' }, el('i', { style: `width:${(part * 100).toFixed(1)}%` }));

function openIncident(i) {
  let item = byId('incident-' + i.index);
  if (!item) {
    item = incidentItem(i);
    byId('incident-list').append(item);
  }
  item.open = true;
  item.scrollIntoView({ block: 'center' });
  item.querySelector('summary').focus({ preventScroll: true });
}

function drawPairs() {
  const rank = p => { const s = worst(p.incidents.map(i => i.alert.severity)); return s ? SEVERITIES.length - SEVERITIES.indexOf(s) : 0; };
  const search = el('input', { type: 'search', placeholder: `Find one of ${count(pairs.length)} pairs`, 'aria-label': 'Pairs with this name' });
  const body = el('tbody');
  const rows = new Map();
  for (const p of [...pairs].sort((a, b) => rank(b) - rank(a) || b.n - a.n)) {
    const severity = worst(p.incidents.map(i => i.alert.severity));
    rows.set(p, el('tr', {}, el('td', {}, el('button', { type: 'button', class: 'link', title: `${p.source} → ${p.destination}`, onclick: () => openPair(p, innerWidth < 960) }, el('span', { class: 'soft' }, spoken(p.source)), '→\u00a0' + spoken(p.destination))),
      el('td', {}, number(p.n)), el('td', {}, severity ? el('span', { class: 'badge ' + severity, title: severity }, p.incidents.length) : '')));
  }
  body.append(...rows.values());
  search.addEventListener('input', () => {
    const word = search.value.toLowerCase();
    for (const [p, row] of rows) row.hidden = !`${p.source} ${p.destination} ${arrow(p.source, p.destination)}`.toLowerCase().includes(word);
  });
  byId('pair-list').append(el('div', { class: 'row' }, search), el('div', { class: 'scroll', tabindex: 0, role: 'region', 'aria-label': 'Pairs' }, el('table', {},
    el('thead', {}, el('tr', {}, ['Pair', 'Requests', ''].map(h => el('th', { scope: 'col' }, h)))), body)));
  findPairs = name => {
    search.value = name;
    search.dispatchEvent(new Event('input'));
    const first = [...rows].find(([, row]) => !row.hidden);
    if (first) openPair(first[0], false);
    byId('pairs').scrollIntoView();
    search.focus({ preventScroll: true });
  };
  openPair = (p, move) => {
    for (const [other, row] of rows) row.setAttribute('aria-current', other === p);
    byId('pair').replaceChildren(...pairDetail(p));
    if (move) {
      byId('pair').scrollIntoView();
      byId('pair').querySelector('h3').focus({ preventScroll: true });
    }
  };
  const first = rows.keys().next().value;
  if (first) openPair(first, false);
}
