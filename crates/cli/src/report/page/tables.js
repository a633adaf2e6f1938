// Where users wait, what dominates, peaks, and who accessed what. Then everything is drawn.

/** A table that is sorted by its heads and grows by a button. `columns`: [{head, cell, value}]. */
function sortable(holder, items, columns, by, step = 20) {
  const body = el('tbody');
  const table = el('table');
  const box = el('div', { class: 'scroll' }, table);
  let sorted = by, up = false, stop = () => {};
  const heads = columns.map((c, i) => el('th', { scope: 'col', class: c.text ? 'text' : null }, c.value
    ? el('button', { type: 'button', onclick: () => { up = sorted === i ? !up : false; sorted = i; show(); } }, c.head) : c.head));
  table.append(el('thead', {}, el('tr', {}, heads)), body);
  const show = () => {
    stop();
    body.replaceChildren();
    heads.forEach((h, i) => i === sorted ? h.setAttribute('aria-sort', up ? 'ascending' : 'descending') : h.removeAttribute('aria-sort'));
    const { value } = columns[sorted];
    const list = [...items].sort((a, b) => (value(a) < value(b) ? 1 : value(a) > value(b) ? -1 : 0) * (up ? -1 : 1));
    stop = growing(box, list, item => el('tr', {}, columns.map(c => el('td', { class: c.text ? 'text ' + (c.wide ? 'wide' : '') : null }, c.cell(item)))), step, () => body);
  };
  holder.replaceChildren(box);
  show();
}

function drawSlow() {
  const all = pairs.flatMap(p => p.routes.filter(r => r.q && r.n >= 20).map(r => {
    const values = unpack(r.q[1], slowBins, null);
    const part = Math.max(1, Math.floor(slowBins / 4));
    const mean = list => { const known = list.filter(v => v !== null); return known.length ? known.reduce((s, v) => s + v, 0) / known.length : null; };
    const [before, after] = [mean(values.slice(0, part)), mean(values.slice(-part))];
    return { p, r, values, change: before && after ? after / before : null };
  }));
  const place = byId('slow-table');
  if (!all.length) { place.append(el('p', { class: 'card' }, 'The log holds no durations.')); return; }
  sortable(place, all, [
    { head: 'Route', text: true, wide: true, cell: x => [names[x.r.r], el('br'), el('button', { type: 'button', class: 'link', onclick: () => openPair(x.p, true) }, arrow(x.p.source, x.p.destination))], value: x => names[x.r.r] },
    { head: 'Half of all', cell: x => millis(x.r.ms[1]), value: x => x.r.ms[1] },
    { head: '95 of 100', cell: x => millis(x.r.ms[2]), value: x => x.r.ms[2] },
    { head: '99 of 100', cell: x => millis(x.r.ms[3]), value: x => x.r.ms[3] },
    { head: 'Since the start', cell: x => x.change === null ? '–' : el('span', { class: x.change > 1.25 ? 'worse' : '' }, number(x.change) + ' ×'), value: x => x.change ?? 0 },
    { head: '95 of 100 over time', cell: x => spark(x.values, 't1') },
    { head: 'Requests', cell: x => count(x.r.n), value: x => x.r.n },
  ], 2, 15);
}

function drawRoutes() {
  const all = new Map();
  for (const p of pairs) for (const r of p.routes) {
    const key = p.d + ' ' + r.r;
    const sum = all.get(key) ?? all.set(key, { d: p.destination, route: names[r.r], n: 0, e: 0, time: 0, out: 0 }).get(key);
    sum.n += r.n;
    sum.e += r.e;
    sum.time += r.ms[0] * r.n / 1000;
    sum.out += r.out + r.in;
  }
  const items = [...all.values()];
  const most = key => Math.max(...items.map(i => i[key]), 1e-9);
  const total = key => items.reduce((s, i) => s + i[key], 0) || 1;
  const [n, time, out] = ['n', 'time', 'out'].map(total);
  const tops = { n: most('n'), time: most('time'), out: most('out') };
  sortable(byId('routes-table'), items, [
    { head: 'Route', text: true, wide: true, cell: i => [i.route, el('br'), el('span', { class: 'soft' }, spoken(i.d))], value: i => i.route },
    { head: 'Requests', cell: i => [meter(i.n / tops.n), `${number(i.n)} (${share(i.n / n)})`], value: i => i.n },
    { head: 'Time spent', cell: i => [meter(i.time / tops.time), share(i.time / time)], value: i => i.time },
    { head: 'Bytes', cell: i => [meter(i.out / tops.out), `${bytes(i.out)} (${share(i.out / out)})`], value: i => i.out },
    { head: 'Server errors', cell: i => i.e ? share(i.e / i.n) : '–', value: i => i.e / i.n },
  ], 1, 15);
}

function drawCapacity() {
  const top = Math.max(...data.loads.map(l => l[2]), 1);
  const scale = v => v <= 0 ? 0 : Math.log1p(v) / Math.log1p(top);
  sortable(byId('capacity-table'), data.loads, [
    { head: 'Service', text: true, cell: l => spoken(names[l[0]]), value: l => names[l[0]] },
    { head: 'Typical minute', cell: l => number(Math.round(l[1][0])), value: l => l[1][0] },
    { head: '95 of 100', cell: l => number(Math.round(l[1][1])), value: l => l[1][1] },
    { head: '99 of 100', cell: l => number(Math.round(l[1][2])), value: l => l[1][2] },
    { head: 'Fullest minute', cell: l => count(l[2]), value: l => l[2] },
    { head: 'Typical | 99 of 100 | peak', cell: l => el('span', { class: 'meter', 'aria-hidden': 'true', title: 'on a logarithmic scale' }, el('i', { style: `width:${scale(l[2]) * 100}%; opacity:.35` }), el('i', { style: `width:${scale(l[1][2]) * 100}%; opacity:.6` }), el('i', { style: `width:${scale(l[1][0]) * 100}%` })) },
    { head: 'Peak ÷ typical', cell: l => l[1][0] ? number(l[2] / l[1][0]) + ' ×' : '–', value: l => l[1][0] ? l[2] / l[1][0] : 0 },
    { head: 'When (UTC)', cell: l => when(l[3]), value: l => l[3] },
    { head: 'Fullest second', cell: l => count(l[4]), value: l => l[4] },
  ], 4);
}

function drawAccess() {
  const { rows, more } = data.access;
  const columns = ['identity', 'source', 'destination', 'route', 'requests', 'denied', 'response_bytes', 'first', 'last'];
  const text = row => row.map((v, i) => i < 4 ? names[v] : i > 6 ? new Date(v * 1000).toISOString() : v);
  // Names are the clients' to choose: none of them may be a formula, or end its cell.
  const cell = v => { const t = String(v).replace(/^[=+\-@\t\r]/, "'$&"); return /[",\n\r]/.test(t) ? `"${t.replaceAll('"', '""')}"` : t; };
  const search = el('input', { type: 'search', placeholder: 'Identity, service or route', 'aria-label': 'Rows with this word' });
  const told = el('span', { class: 'soft' });
  const holder = el('div');
  let found = rows;
  const show = () => {
    const word = search.value.toLowerCase();
    found = word ? rows.filter(r => r.slice(0, 4).some(n => names[n].toLowerCase().includes(word))) : rows;
    told.textContent = `${count(found.length)} of ${count(rows.length)} rows`;
    sortable(holder, found, [
      { head: 'Identity', text: true, cell: r => names[r[0]] || '–', value: r => names[r[0]] },
      { head: 'Source', text: true, cell: r => spoken(names[r[1]]), value: r => names[r[1]] },
      { head: 'Destination', text: true, cell: r => spoken(names[r[2]]), value: r => names[r[2]] },
      { head: 'Route', text: true, wide: true, cell: r => names[r[3]], value: r => names[r[3]] },
      { head: 'Requests', cell: r => count(r[4]), value: r => r[4] },
      { head: 'Denied', cell: r => r[5] ? count(r[5]) : '–', value: r => r[5] },
      { head: 'Bytes', cell: r => bytes(r[6]), value: r => r[6] },
      { head: 'First', cell: r => when(r[7]), value: r => r[7] },
      { head: 'Last', cell: r => when(r[8]), value: r => r[8] },
    ], 4);
  };
  const save = () => {
    const lines = [columns, ...found.map(text)].map(row => row.map(cell).join(',') + '\r\n');
    const url = URL.createObjectURL(new Blob(lines, { type: 'text/csv' }));
    el('a', { href: url, download: 'access.csv' }).click();
    setTimeout(() => URL.revokeObjectURL(url), 1000);
  };
  search.addEventListener('input', show);
  byId('access-table').append(el('div', { class: 'row' }, search, told, el('button', { type: 'button', onclick: save }, 'Save as CSV')), holder);
  if (more) byId('access-table').append(el('p', { class: 'soft' }, `${count(more)} requests are in none of these rows; report --access writes more of them to a file.`));
  show();
}

drawOverview();
if (pairs.length) drawGraph();
drawIncidents();
drawPairs();
drawSlow();
drawRoutes();
drawCapacity();
drawAccess();
byId('footer').textContent = `Pairwatch ${data.meta.version}. All times are UTC. This page is all there is: it asks no network for anything.`;
document.documentElement.dataset.drawn = 'yes';
