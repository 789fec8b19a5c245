// SPDX-License-Identifier: BSD-3-Clause
// msgpack-rpc-lite, unmodified, against a running daemon: node test.js '{"path": ...}' or '{"host": ..., "port": ...}'.
// It writes integers above 2^31 as float64, str for strings, bin for Buffers, and reads 64-bit integers as numbers.
'use strict';
const assert = require('assert');
const { Client } = require('msgpack-rpc-lite');

const DEADLINE_MS = 30000;
const client = new Client(JSON.parse(process.argv[2]));
client.on('error', (error) => { throw error; });

function call(method, ...params) {
  return new Promise((resolve, reject) => {
    client.request(method, ...params, (error, result) => (error ? reject(error) : resolve(result)));
  });
}

async function refused(code, method, ...params) {
  const error = await call(method, ...params).then(() => null, (reason) => reason);
  assert.strictEqual(typeof error, 'string', `${method} must fail with a str`);
  assert.ok(error.startsWith(code), `${method}: expected ${code}, got ${error}`);
}

async function objects() {
  const value = { text: 'grüße', list: [1, -1, 2 ** 40, 1.5, null, true], raw: Buffer.from([255, 0, 1]) };
  const id = await call('put', value);
  assert.ok(Number.isSafeInteger(id) && id > 2 ** 32, `an id above 2^32: ${id}`);
  assert.deepStrictEqual(await call('get', id), value);
  assert.strictEqual(await call('retain', id), 2);
  assert.strictEqual(await call('retain', id, 3), 5);
  assert.strictEqual(await call('release', id, 4), 1);
  const node = await call('put', null, { refs: [id, null], tag: 'node' });
  assert.deepStrictEqual(await call('refs', node), [id, null]);
  assert.deepStrictEqual(await call('release', [id]), [0]);
  assert.deepStrictEqual(await call('get', [id, id]), [value, value]);
  const row = await call('inspect', id);
  assert.strictEqual(row.id, id);
  assert.strictEqual(row.count, 1);
  assert.strictEqual(await call('link', node, 0, null), id);
  await refused('GONE', 'get', id);
  assert.strictEqual(await call('release', node), 0);
}

async function errors() {
  await refused('NOMETHOD', 'nonsense');
  await refused('BADARG', 'put');
  await refused('BADARG', 'retain', 2 ** 40 + 0.5);
  await refused('GONE', 'get', 2 ** 41);
  await refused('NOTFOUND', 'lookup', 'nothing');
}

async function names() {
  const [id, version] = await call('store', 'node-name', 'value');
  assert.deepStrictEqual(await call('fetch', 'node-name', { version: true }), ['value', version]);
  assert.strictEqual(await call('lookup', 'node-name'), id);
  const ticket = await call('share', id);
  assert.ok(Buffer.isBuffer(ticket) && ticket.length === 16);
  assert.strictEqual(await call('claim', ticket), id);
  assert.strictEqual(await call('unname', 'node-name'), true);
  assert.strictEqual(await call('release', id, 2), 0);
}

async function pipelined() {
  const ids = await Promise.all(Array.from({ length: 2000 }, (_, i) => call('put', i)));
  assert.strictEqual(new Set(ids).size, 2000);
  assert.deepStrictEqual(await Promise.all(ids.map((id) => call('get', id))), ids.map((_, i) => i));
  const left = await Promise.all([call('release', ids.slice(0, 1000)), call('release', ids.slice(1000))]);
  assert.ok(left.every((counts) => counts.every((count) => count === 0)));
  await client.notify('store', 'from-a-notification', 1);
  assert.strictEqual(await call('fetch', 'from-a-notification'), 1);
  assert.strictEqual(await call('unname', 'from-a-notification'), true);
}

async function main() {
  const hello = await call('hello', { name: 'node', pid: process.pid, runtime: process.version });
  assert.strictEqual(hello.proto, 1);
  assert.deepStrictEqual(hello.ignored, ['runtime']);
  assert.ok(Buffer.isBuffer(hello.session) && hello.session.length === 16);
  for (const part of [objects, errors, names, pipelined]) {
    await part();
    console.log(`ok ${part.name}`);
  }
  assert.strictEqual(await call('bye'), 0);
  client.close();
}

const timer = setTimeout(() => { throw new Error('no end within the deadline'); }, DEADLINE_MS);
main().then(() => { clearTimeout(timer); console.log('done'); }, (error) => { console.error(error); process.exit(1); });
