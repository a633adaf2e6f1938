// The service graph: callers left of what they call.

/** Services under one name each: `shop/cart` and `cart.shop.svc.cluster.local` are one. */
function services() {
  const parts = name => {
    const cluster = name.match(/^([^./]+)\.([^./]+)\.svc\.cluster\.local$/);
    const account = name.match(/^([^/]+)\/([^/]+)$/);
    return cluster ? [cluster[1], cluster[2]] : account ? [account[2], account[1]] : [name, ''];
  };
  const spaces = new Map();
  for (const p of pairs) for (const name of [p.source, p.destination]) {
    const [short, space] = parts(name);
    if (space) (spaces.get(short) ?? spaces.set(short, new Set()).get(short)).add(space);
  }
  const key = name => {
    const [short, space] = parts(name);
    return space && spaces.get(short).size > 1 ? `${space}/${short}` : short;
  };
  const nodes = new Map(), edges = new Map();
  const node = name => nodes.get(name) ?? nodes.set(name, { name, out: new Set(), into: new Set() }).get(name);
  for (const p of pairs) {
    const [a, b] = [node(key(p.source)), node(key(p.destination))];
    const id = a.name + '\0' + b.name;
    const edge = edges.get(id) ?? edges.set(id, { a, b, n: 0, severities: [] }).get(id);
    edge.n += p.n;
    edge.severities.push(...p.incidents.map(i => i.alert.severity));
    if (a !== b) { a.out.add(b); b.into.add(a); }
  }
  return { nodes: [...nodes.values()], edges: [...edges.values()] };
}

/** Layers by the longest way from a caller nobody calls; calls that go round in circles are left out of the reckoning. */
function layers(nodes) {
  const state = new Map(), order = [];
  const visit = n => {
    state.set(n, 'open');
    for (const next of n.out) {
      if (state.get(next) === 'open') { n.out.delete(next); next.into.delete(n); } else if (!state.has(next)) visit(next);
    }
    state.set(n, 'done');
    order.push(n);
  };
  [...nodes].sort((a, b) => a.into.size - b.into.size || b.out.size - a.out.size).forEach(n => state.has(n) || visit(n));
  for (const n of order.reverse()) n.layer = Math.max(0, ...[...n.into].map(m => (m.layer ?? 0) + 1));
  const list = [];
  for (const n of nodes) (list[n.layer] ??= []).push(n);
  const place = () => list.forEach(layer => layer.forEach((n, i) => { n.at = (i + 0.5) / layer.length; }));
  place();
  // Towards the middle of its neighbours, back and forth: fewer lines cross.
  for (let round = 0; round < 8; round++) {
    for (const layer of round % 2 ? [...list].reverse() : list) {
      const mean = n => { const near = [...(round % 2 ? n.out : n.into)]; return near.length ? near.reduce((s, m) => s + m.at, 0) / near.length : n.at; };
      layer.map(n => [mean(n), n]).sort((a, b) => a[0] - b[0]).forEach(([, n], i) => { n.at = (i + 0.5) / layer.length; layer[i] = n; });
    }
  }
  return list;
}

function drawGraph() {
  const { nodes, edges } = services();
  const list = layers(nodes);
  const deepest = Math.max(...list.map(l => l.length));
  const tall = Math.max(220, deepest * 30 + 24);
  const short = name => name.length > 24 ? name.slice(0, 23) + '…' : name;
  for (const n of nodes) n.w = Math.min(190, short(n.name).length * 7.3 + 20);
  const step = Math.max(...nodes.map(n => n.w)) + 62;
  const wide = Math.max(360, list.length * step - 46);
  for (const n of nodes) {
    n.x = 8 + n.layer * step;
    n.y = 12 + n.at * (tall - 24);
  }
  const most = Math.max(...edges.map(e => e.n));
  const picture = svg('svg', { class: 'graph', viewBox: `0 0 ${wide} ${tall}`, style: `min-width:${Math.round(wide * 0.8)}px; max-height:${Math.round(tall * 1.25)}px`, role: 'group', 'aria-label': 'Service graph' });
  const drawn = edges.map(e => {
    const severity = worst(e.severities);
    const back = e.b.layer <= e.a.layer;
    const [x1, y1, x2, y2] = [e.a.x + e.a.w, e.a.y, e.b.x, e.b.y];
    const bend = back ? 60 : Math.max(30, (x2 - x1) / 2);
    const path = svg('path', {
      class: 'edge ' + (severity ? 'risky ' + severity : ''), 'stroke-width': (1 + 5 * Math.log1p(e.n) / Math.log1p(most)).toFixed(1),
      d: `M${x1} ${y1}C${x1 + bend} ${y1} ${x2 - bend} ${y2} ${x2} ${y2}`,
      onpointerenter: ev => showTip(`${e.a.name} → ${e.b.name}\n${count(e.n)} requests${severity ? `\n${e.severities.length} incidents, worst ${severity}` : ''}`, ev.clientX, ev.clientY),
      onpointerleave: hideTip,
    });
    return { e, path, rank: severity ? SEVERITIES.length - SEVERITIES.indexOf(severity) : 0 };
  }).sort((a, b) => a.rank - b.rank);
  picture.append(...drawn.map(d => d.path));
  const boxes = new Map();
  for (const n of nodes) {
    const own = edges.filter(e => e.a === n || e.b === n);
    const severity = worst(own.flatMap(e => e.severities));
    const box = svg('g', {
      class: 'node ' + (severity ? 'risky ' + severity : ''), tabindex: 0, role: 'button', transform: `translate(${n.x} ${n.y - 11})`,
      'aria-label': `${n.name}: called by ${own.filter(e => e.b === n).length}, calls ${own.filter(e => e.a === n).length}${severity ? ', worst incident ' + severity : ''}`,
    }, svg('title', {}, n.name), svg('rect', { width: n.w, height: 22, rx: 6 }), svg('text', { x: 9, y: 15.5 }, short(n.name)));
    const near = on => {
      picture.classList.toggle('picked', on);
      for (const { e, path } of drawn) {
        const mine = e.a === n || e.b === n;
        path.classList.toggle('near', on && mine);
        if (mine) for (const m of [e.a, e.b]) boxes.get(m).classList.toggle('near', on);
      }
      box.classList.toggle('near', on);
    };
    const open = () => { near(false); findPairs(n.name); };
    for (const event of ['pointerenter', 'focus']) box.addEventListener(event, () => near(true));
    for (const event of ['pointerleave', 'blur']) box.addEventListener(event, () => near(false));
    box.addEventListener('click', open);
    box.addEventListener('keydown', e => { if (e.key === 'Enter' || e.key === ' ') { e.preventDefault(); open(); } });
    boxes.set(n, box);
  }
  picture.append(...boxes.values());
  const seen = SEVERITIES.filter(s => incidents.some(i => i.alert.severity === s));
  byId('graph').append(el('div', { class: 'row' }, seen.map(badge), el('span', { class: 'soft' }, `${count(nodes.length)} services, ${count(pairs.length)} pairs`)),
    el('div', { class: 'scroll', style: 'padding:.6rem' }, picture));
}
