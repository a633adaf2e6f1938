'use strict';
// Reading the data, and words and elements that everything else uses.

const data = JSON.parse(document.getElementById('data').textContent);
const names = data.names;
const LETTERS = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
const DIGIT = Object.fromEntries([...LETTERS].map((letter, i) => [letter, i]));

/** A packed series of `length` values; what it leaves out is `rest`. */
function unpack(text, length, rest) {
  const values = new Array(length).fill(rest);
  for (let i = 0; i * 2 < text.length && i < length; i++) {
    const code = DIGIT[text[i * 2]] * 64 + DIGIT[text[i * 2 + 1]];
    values[i] = code === 4095 ? null : code === 0 ? 0 : 2 ** (code / 64 - 20);
  }
  return values;
}

const [origin, width] = data.fine ?? [data.meta.first, 60];
const [slowOrigin, slowWidth] = data.coarse ?? [data.meta.first, 60];
const bins = Math.floor((data.meta.last - origin) / width) + 1;
const slowBins = Math.floor((data.meta.last - slowOrigin) / slowWidth) + 1;

/** At most three digits that matter. */
function number(x) {
  if (x === null || x === undefined || !isFinite(x)) return '–';
  const size = Math.abs(x);
  for (const [limit, unit] of [[1e9, ' G'], [1e6, ' M'], [1e4, ' k']]) {
    if (size >= limit) return trim((x / (unit === ' k' ? 1e3 : limit)).toPrecision(3)) + unit;
  }
  return trim(size >= 1000 ? x.toFixed(0) : x.toPrecision(3));
}
function trim(text) {
  return text.includes('e') ? String(Number(text)) : text.includes('.') ? text.replace(/\.?0+$/, '') : text;
}
const share = x => number(x * 100) + ' %';
const millis = ms => ms >= 10000 ? number(ms / 1000) + ' s' : number(ms) + ' ms';
const bytes = n => n >= 1e9 ? number(n / 1e9) + ' GB' : n >= 1e6 ? number(n / 1e6) + ' MB' : n >= 1e3 ? number(n / 1e3) + ' kB' : n + ' B';
const count = n => n.toLocaleString('en').replaceAll(',', '\u202f');

/** A time in UTC, as far as a person needs it. */
function when(seconds, precise) {
  const text = new Date(seconds * 1000).toISOString();
  return text.slice(0, 10) + ' ' + text.slice(11, precise ? 19 : 16);
}
function length(seconds) {
  for (const [size, name] of [[86400, 'days'], [3600, 'hours'], [60, 'minutes']]) {
    if (seconds >= 2 * size) return number(seconds / size) + ' ' + name;
  }
  return number(seconds) + ' seconds';
}

/** The part of a name a person needs. */
function spoken(name) {
  const last = name.slice(name.lastIndexOf('/') + 1);
  return last.endsWith('.svc.cluster.local') ? last.split('.')[0] : last;
}
const arrow = (s, d) => spoken(s) + ' → ' + spoken(d);

const SEVERITIES = ['critical', 'high', 'medium', 'low', 'info'];
const worst = list => SEVERITIES.find(s => list.includes(s));

/** An element. Text is always text: names come from whoever sent the requests. */
function el(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}
function svg(tag, attributes = {}, ...children) {
  return fill(document.createElementNS('http://www.w3.org/2000/svg', tag), attributes, children);
}
function fill(element, attributes, children) {
  for (const [key, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false) continue;
    if (key.startsWith('on')) element.addEventListener(key.slice(2), value);
    else element.setAttribute(key, value === true ? '' : value);
  }
  element.append(...children.flat().filter(c => c !== null && c !== undefined && c !== false));
  return element;
}
const byId = id => document.getElementById(id);
const badge = severity => el('span', { class: 'badge ' + severity }, severity);

const tip = byId('tip');
function showTip(text, x, y) {
  tip.textContent = text;
  tip.hidden = false;
  const box = tip.getBoundingClientRect();
  tip.style.left = Math.max(4, Math.min(x + 14, innerWidth - box.width - 4)) + 'px';
  tip.style.top = (y + 14 + box.height > innerHeight ? Math.max(4, y - box.height - 10) : y + 14) + 'px';
}
const hideTip = () => { tip.hidden = true; };
addEventListener('scroll', hideTip, { passive: true });
addEventListener('keydown', event => { if (event.key === 'Escape') hideTip(); });

// Pairs, with what several places want to know of them.
const pairs = data.pairs.map((p, index) => ({ ...p, index, source: names[p.s], destination: names[p.d], incidents: [] }));
const pairByEnds = new Map(pairs.map(p => [p.source + '\0' + p.destination, p]));
const seconds = text => Date.parse(text) / 1000;
const incidents = data.incidents.list.map((incident, index) => {
  const { alert, lines } = incident;
  const ends = lines.map(line => seconds(line[0]));
  const item = {
    ...incident, index, alert,
    from: seconds(alert.since),
    to: Math.max(...ends, seconds(alert.time)),
    pair: pairByEnds.get(alert.source + '\0' + alert.destination),
  };
  item.pair?.incidents.push(item);
  return item;
});

// The part of the page that is looked at, in the navigation; light or dark.
const links = new Map([...document.querySelectorAll('nav a')].map(a => [a.hash.slice(1), a]));
const watcher = new IntersectionObserver(entries => {
  for (const entry of entries) links.get(entry.target.id)?.classList.toggle('here', entry.isIntersecting);
}, { rootMargin: '-20% 0px -70% 0px' });
document.querySelectorAll('section').forEach(section => watcher.observe(section));
byId('theme').addEventListener('click', () => {
  const root = document.documentElement;
  const dark = root.style.colorScheme ? root.style.colorScheme === 'dark' : matchMedia('(prefers-color-scheme: dark)').matches;
  root.style.colorScheme = dark ? 'light' : 'dark';
});
