// SPDX-License-Identifier: BSD-3-Clause
// A browser that is told what to do: a command of JSON on each line of stdin, its answer on a line of stdout.
//   {open: URL, width, height, dark}   a new page in a new profile
//   {run: EXPRESSION}                  its value in the page
//   {press: KEY}, {click: SELECTOR}, {size: [WIDTH, HEIGHT]}, {picture: PATH}
//   {log: true}                        what was asked for since `open`, and what went wrong
import { createInterface } from 'node:readline';
import { chromium } from 'playwright-core';

const browser = await chromium.launch({ executablePath: process.argv[2], args: ['--no-sandbox', '--disable-gpu'] });
let page, log;

let context;

async function open({ open: url, width = 1200, height = 900, dark = false }) {
  if (context) await context.close();
  context = await browser.newContext({ viewport: { width, height }, colorScheme: dark ? 'dark' : 'light', locale: 'en-GB' });
  log = { requests: [], problems: [] };
  page = await context.newPage();
  page.on('request', (request) => log.requests.push(request.url()));
  page.on('requestfailed', (request) => log.problems.push('failed: ' + request.url()));
  page.on('console', (message) => ['error', 'warning'].includes(message.type()) && log.problems.push(message.text()));
  page.on('pageerror', (error) => log.problems.push(String(error)));
  const answer = await page.goto(url);
  return { status: answer.status(), headers: answer.headers() };
}

async function obey(command) {
  if (command.open) return open(command);
  if (command.run) return page.evaluate(command.run);
  if (command.press) return page.keyboard.press(command.press);
  if (command.click) return page.click(command.click);
  if (command.size) return page.setViewportSize({ width: command.size[0], height: command.size[1] });
  if (command.picture) return void await page.screenshot({ path: command.picture, fullPage: Boolean(command.whole) });
  return log;
}

for await (const line of createInterface({ input: process.stdin })) {
  let answer;
  try {
    answer = { value: await obey(JSON.parse(line)) ?? null };
  } catch (error) {
    answer = { error: String(error) };
  }
  process.stdout.write(JSON.stringify(answer) + '\n');
}
await browser.close();
