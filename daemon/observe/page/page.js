// SPDX-License-Identifier: BSD-3-Clause
// The page at `/`: asks this endpoint for figures, takes differences, draws. Nothing else is asked, and nothing is kept.
(function () {
  'use strict';

  const POINTS = 300;    // that a chart shows
  const TIMEOUT_MS = 5000;
  const SESSIONS = 100;  // rows asked for

  const byId = (id) => document.getElementById(id);

  // ---- figures for people ----

  function scaled(number, step, units) {
    let unit = 0;
    while (number >= step * 0.9995 && unit + 1 < units.length) {
      number /= step;
      unit++;
    }
    const digits = unit === 0 || number >= 99.95 ? 0 : 1;
    return number.toFixed(digits) + units[unit];
  }

  const count = (n) => n < 9999.5 ? String(Math.round(n)) : scaled(n, 1000, ['', 'k', 'M', 'G', 'T']);
  const bytes = (n) => scaled(n, 1024, [' B', ' KiB', ' MiB', ' GiB', ' TiB']);
  const micros = (us) => us === null ? '-' : us < 1000 ? Math.round(us) + ' \u00b5s'
    : us < 1e6 ? (us / 1e3).toFixed(us < 1e4 ? 1 : 0) + ' ms' : (us / 1e6).toFixed(1) + ' s';

  function age(ms) {
    const s = Math.floor(ms / 1000);
    if (s < 60) return s + ' s';
    if (s < 3600) return Math.floor(s / 60) + ' min';
    if (s < 86400) return Math.floor(s / 3600) + ' h ' + Math.floor(s / 60) % 60 + ' min';
    return Math.floor(s / 86400) + ' d ' + Math.floor(s / 3600) % 24 + ' h';
  }

  const clock = (ms) => new Date(ms).toLocaleTimeString();

  // ---- differences ----

  // A counter that went down began anew.
  const rise = (before, now) => now >= before ? now - before : now;

  // Buckets [[bound or null, count], ...] by bound, less those of before.
  function durations(before, now) {
    const counts = new Map();
    for (const [bound, n] of now) counts.set(bound, n);
    for (const [bound, n] of before) counts.set(bound, rise(n, counts.get(bound) || 0));
    return counts;
  }

  // What a share of them did not exceed; null if there are none.
  function quantile(counts, share) {
    const bounds = [...counts.keys()].map((bound) => bound === null ? Infinity : bound).sort((a, b) => a - b);
    const of = (bound) => counts.get(bound === Infinity ? null : bound);
    const total = bounds.reduce((sum, bound) => sum + of(bound), 0);
    let seen = 0;
    for (const bound of bounds) {
      seen += of(bound);
      if (of(bound) > 0 && seen >= share * total) return bound === Infinity ? 12e7 : bound;
    }
    return null;
  }

  function methodRows(before, now, seconds) {
    return Object.entries(now.requests.methods).map(([name, m]) => {
      const old = before.requests.methods[name] || { count: 0, errors: 0, buckets: [] };
      const times = durations(old.buckets, m.buckets);
      return { name, count: m.count, rate: rise(old.count, m.count) / seconds, errors: m.errors, times,
        p50: quantile(times, 0.5), p99: quantile(times, 0.99), max: m.max_us };
    });
  }

  function allTimes(rows) {
    const sum = new Map();
    for (const row of rows) for (const [bound, n] of row.times) sum.set(bound, (sum.get(bound) || 0) + n);
    return sum;
  }

  function collected(gcz) {
    return gcz.pools.reduce((sum, pool) => ({ objects: sum.objects + pool.collected + pool.collected_young,
      cpu_us: sum.cpu_us + pool.cpu_us }), { objects: 0, cpu_us: 0 });
  }

  // ---- charts ----

  const dark = matchMedia('(prefers-color-scheme: dark)');
  const INKS = { light: ['#0b62a4', '#b3261e', '#2e7d32', '#8a5a00'], dark: ['#6cb4ee', '#ff8a80', '#81c784', '#ffcc66'] };
  const charts = {};

  // Lines of a chart: names, in the order of their values.
  const LINES = { requests: ['requests', 'errors'], latency: ['50 %', '99 %'],
    memory: ['values', 'objects', 'private', 'connections'], gc: ['freed', '% of a processor'] };
  const series = {};
  for (const name of Object.keys(LINES)) series[name] = [[], ...LINES[name].map(() => [])];

  function makeChart(name) {
    const place = byId('chart-' + name);
    const inks = INKS[dark.matches ? 'dark' : 'light'];
    const style = getComputedStyle(document.documentElement);
    const axis = { stroke: style.getPropertyValue('--soft').trim(), grid: { stroke: style.getPropertyValue('--line').trim() },
      ticks: { show: false } };
    if (charts[name]) charts[name].destroy();
    charts[name] = new uPlot({
      width: place.clientWidth || 300, height: 190, cursor: { y: false },
      scales: { x: { time: true }, y: { range: (u, low, high) => [0, high > 0 ? high * 1.1 : 1] } },
      axes: [{ ...axis, space: 90, size: 30, values: (u, ticks) => ticks.map((tick) => clock(tick * 1000)) },
        { ...axis, size: 56, values: (u, ticks) => ticks.map((tick) => tick < 1 ? String(+tick.toFixed(2)) : count(tick)) }],
      series: [{ label: 'at', value: (u, v) => v === null ? '-' : clock(v * 1000) }, ...LINES[name].map((label, k) => ({
        label, stroke: inks[k], width: 1.5, points: { show: false },
        value: (u, v) => v === null || v === undefined ? '-' : v < 10 ? v.toFixed(2) : count(v) }))],
    }, series[name], place);
  }

  function addPoint(name, time, values) {
    const rows = [time, ...values];
    series[name].forEach((column, k) => {
      column.push(rows[k]);
      if (column.length > POINTS) column.shift();
    });
    charts[name].setData(series[name]);
  }

  function makeCharts() {
    for (const name of Object.keys(LINES)) makeChart(name);
  }

  // ---- tables ----

  // Columns: [key, heading, how it is shown; null: text].
  const TABLES = {
    methods: { sort: 'rate', columns: [['name', 'Method', null], ['rate', 'Calls/s', count], ['count', 'In all', count],
      ['errors', 'Errors', count], ['p50', '50 %', micros], ['p99', '99 %', micros], ['max', 'Longest', micros]] },
    pools: { sort: 'used', columns: [['name', 'Pool', null], ['objects', 'Objects', count], ['bytes', 'Values', bytes],
      ['used', 'Memory', bytes], ['limit', 'Limit', bytes], ['sessions', 'Sessions', count], ['grace', 'In grace', count],
      ['names', 'Names', count], ['tickets', 'Tickets', count], ['suspects', 'Suspects', count], ['backlog', 'Backlog', count]] },
    sessions: { sort: 'bytes', columns: [['name', 'Name', null], ['pid', 'Pid', String], ['sid', 'Session', String],
      ['pool', 'Pool', null], ['state', 'State', null], ['peer', 'Peer', null], ['held', 'Holds', count],
      ['bytes', 'Bytes', bytes],
      ['queued', 'Queued', bytes], ['idle_ms', 'Idle', age], ['since_ms', 'Since', age]] },
    slow: { sort: 'at_ms', columns: [['at_ms', 'At', clock], ['duration_us', 'Took', micros], ['requests', 'Alike', count],
      ['method', 'Method', null], ['pool', 'Pool', null], ['name', 'Session', null], ['pid', 'Pid', String],
      ['args', 'Arguments', null]] },
  };

  function compare(table, a, b) {
    const x = a[table.sort], y = b[table.sort];
    const texts = typeof x === 'string' || typeof y === 'string';
    const order = texts ? String(x || '').localeCompare(String(y || '')) : (y || 0) - (x || 0);
    return table.reverse ? -order : order;
  }

  function head(name) {
    const table = TABLES[name], row = document.createElement('tr');
    for (const [key, heading, show] of table.columns) {
      const cell = document.createElement('th'), button = document.createElement('button');
      cell.scope = 'col';
      cell.className = show ? '' : 'text';
      button.type = 'button';
      button.textContent = heading;
      button.addEventListener('click', () => {
        table.reverse = table.sort === key && !table.reverse;
        table.sort = key;
        fill(name, table.rows || []);
      });
      cell.append(button);
      row.append(cell);
    }
    byId(name).append(document.createElement('thead'), document.createElement('tbody'));
    byId(name).tHead.append(row);
  }

  function fill(name, rows) {
    const table = TABLES[name], body = document.createElement('tbody');
    table.rows = rows;
    table.columns.forEach(([key], k) => {
      const cell = byId(name).tHead.rows[0].cells[k];
      if (key === table.sort) cell.setAttribute('aria-sort', table.reverse ? 'ascending' : 'descending');
      else cell.removeAttribute('aria-sort');
    });
    for (const row of [...rows].sort((a, b) => compare(table, a, b))) {
      const line = body.insertRow();
      for (const [key, , show] of table.columns) {
        const cell = line.insertCell(), value = row[key];
        cell.className = show ? '' : 'text';
        cell.textContent = value === null || value === undefined || value === '' ? '-' : show ? show(value) : value;
      }
    }
    byId(name).tBodies[0].replaceWith(body);
  }

  // ---- asking ----

  async function ask(path) {
    const answer = await fetch(path, { cache: 'no-store', credentials: 'omit', signal: AbortSignal.timeout(TIMEOUT_MS) });
    if (!answer.ok) throw new Error(path + ': ' + answer.status + ' ' + (await answer.text()).slice(0, 200));
    return answer.json();
  }

  async function look() {
    const [varz, poolz, gcz, connz, slowz] = await Promise.all(['/varz', '/poolz', '/gcz',
      '/connz?sort=bytes&limit=' + SESSIONS, '/slowz'].map(ask));
    return { varz, poolz, gcz, connz, slowz, at: performance.now(), time: Date.now() / 1000 };
  }

  const show = (id, text) => { byId(id).textContent = text; };
  const MIB = 1048576;

  function showNow(now) {
    const { varz, connz, slowz } = now;
    show('who', varz.server + ' ' + varz.version + ', up ' + age(varz.uptime_ms) + ', ' + varz.workers +
      (varz.workers === 1 ? ' worker' : ' workers') + (varz.draining ? ', going down' : ''));
    show('tile-objects', count(varz.objects));
    show('tile-memory', bytes(varz.memory.used) + ' of ' + bytes(varz.memory.limit));
    show('tile-sessions', count(varz.sessions) + (varz.grace ? ' + ' + count(varz.grace) + ' in grace' : ''));
    show('tile-connections', count(varz.connections.open));
    show('tile-total', varz.requests.total.toLocaleString('en'));
    const gc = new Map(now.gcz.pools.map((pool) => [pool.name, pool]));
    fill('pools', now.poolz.pools.map((pool) => ({ ...pool, suspects: (gc.get(pool.name) || {}).suspects })));
    fill('sessions', connz.sessions);
    show('sessions-note', connz.total > connz.sessions.length
      ? 'The ' + connz.sessions.length + ' that hold most bytes, of ' + count(connz.total) : '');
    fill('slow', slowz.rows);
    const longest = micros(slowz.threshold_us) + ' or longer since the start';
    show('slow-note', slowz.threshold_us ? count(slowz.count) + ' took ' + longest : 'None are kept: --slowlog-us is 0');
  }

  function showChange(before, now) {
    const restarted = now.varz.uptime_ms < before.varz.uptime_ms;
    const old = restarted ? { ...before.varz, requests: { total: 0, errors: 0, methods: {} } } : before.varz;
    const seconds = Math.max((now.at - before.at) / 1000, 0.001);
    const rows = methodRows(old, now.varz, seconds), times = allTimes(rows);
    const requests = rise(old.requests.total, now.varz.requests.total) / seconds;
    const errors = rise(old.requests.errors, now.varz.requests.errors) / seconds;
    const gcBefore = collected(before.gcz), gcNow = collected(now.gcz);
    const memory = now.varz.memory;
    show('tile-requests', count(requests));
    show('tile-errors', count(errors));
    show('tile-p99', micros(quantile(times, 0.99)));
    fill('methods', rows);
    addPoint('requests', now.time, [requests, errors]);
    addPoint('latency', now.time, [quantile(times, 0.5), quantile(times, 0.99)]);
    addPoint('memory', now.time, [memory.values, memory.objects, memory.private, memory.connections].map((n) => n / MIB));
    addPoint('gc', now.time, [rise(gcBefore.objects, gcNow.objects) / seconds,
      rise(gcBefore.cpu_us, gcNow.cpu_us) / seconds / 1e4]);
  }

  let before = null, paused = false, timer = null;

  async function turn() {
    try {
      const now = await look();
      byId('problem').hidden = true;
      showNow(now);
      if (before) showChange(before, now);
      before = now;
    } catch (error) {
      byId('problem').hidden = false;
      show('problem', 'No figures since ' + (before ? clock(before.time * 1000) : 'the start') + ': ' + error.message);
    }
    schedule();
  }

  function schedule() {
    clearTimeout(timer);
    if (!paused) timer = setTimeout(turn, Number(byId('interval').value));
  }

  function pause() {
    paused = !paused;
    byId('pause').setAttribute('aria-pressed', String(paused));
    show('pause', paused ? 'Go on' : 'Pause');
    schedule();
  }

  byId('pause').addEventListener('click', pause);
  byId('interval').addEventListener('change', schedule);
  document.addEventListener('keydown', (event) => {
    if (event.key === 'p' && !event.ctrlKey && !event.metaKey && !event.altKey && event.target.tagName !== 'SELECT') pause();
  });
  dark.addEventListener('change', makeCharts);
  addEventListener('resize', () => {
    for (const name of Object.keys(LINES)) charts[name].setSize({ width: byId('chart-' + name).clientWidth, height: 190 });
  });
  for (const name of Object.keys(TABLES)) head(name);
  makeCharts();
  turn();
})();
