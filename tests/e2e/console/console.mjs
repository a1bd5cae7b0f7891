// SPDX-License-Identifier: Apache-2.0
// The console in headless Chromium: signs in, quotes, submits, sees it run, reads its log, signs out.
//     node console.mjs ADDRESS-WITH-CODE CHROMIUM [FOLDER-FOR-PICTURES]
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { join } from 'node:path';

const [link, chromium, pictures] = process.argv.slice(2);
const console_root = new URL('../../../console/package.json', import.meta.url);
const playwright = createRequire(console_root)('playwright-core').chromium;
const PATIENCE_MS = 60_000;

const TASK = `name: seen-by-a-browser
num_nodes: 1
resources:
  cpus: 0.25
  memory: 0.125
run: |
  for step in 1 2 3 4 5; do echo "step $step of 5"; sleep 0.5; done
market:
  preemptible: true
`;

async function picture(page, name) {
  if (pictures) await page.screenshot({ path: join(pictures, `${name}.png`), fullPage: true });
}

async function open(page, name) {
  await page.click(`nav [data-page="${name}"]`);
  await page.waitForSelector(`nav [data-page="${name}"][aria-current]`);
}

async function signIn(page) {
  await page.goto(link);
  await page.waitForSelector('[data-feed="live"]');
  assert.ok(!page.url().includes('code'), 'the code stays in the address');
  assert.equal(await page.evaluate(() => document.cookie), '', 'a script can read the session');
}

async function submit(page) {
  await page.click('[data-page="submit"]');
  await page.fill('#task', 'name: misspelt\nrun: echo\nunknown_field: 1\n');
  await page.click('#quote');
  await page.waitForFunction(() => document.querySelector('.trouble')?.textContent.includes('unknown_field'));
  await page.fill('#task', TASK);
  assert.ok(await page.isDisabled('#submit'), 'submitted before it was quoted');
  await page.click('#quote');
  await page.waitForSelector('#submit:not([disabled])');
  await picture(page, 'submit');
  await page.click('#submit');
  await page.waitForSelector('.timeline [data-step="submitted"]');
  return page.url().split('/').at(-1);
}

async function watch(page, id) {
  await page.waitForSelector('.work-head [data-state="running"]');
  await page.waitForFunction(() => document.querySelector('.log')?.textContent.includes('step 2 of 5'));
  await picture(page, 'workload-running');
  await open(page, 'queue');
  await page.waitForSelector(`[data-workload="${id}"]`);
  await picture(page, 'queue');
  await page.click(`[data-workload="${id}"]`);
  await page.waitForSelector('.work-head [data-state="finished"]');
  await page.waitForFunction(() => document.querySelector('.log')?.textContent.includes('step 5 of 5'));
  const log = await page.textContent('.log');
  assert.equal(log.match(/step \d of 5/g).join(), '1 2 3 4 5'.split(' ').map((n) => `step ${n} of 5`).join());
  await page.waitForSelector('.sum');
  await picture(page, 'workload-finished');
}

/** Nothing may hang over the side of a narrow page. */
async function narrow(page) {
  await page.setViewportSize({ width: 390, height: 844 });
  for (const name of ['prices', 'fleet', 'queue', 'accounts']) {
    await open(page, name);
    await page.waitForSelector('.card, .rack');
    const over = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
    assert.ok(over <= 0, `${name} is ${over} px too wide for a phone`);
    await picture(page, `${name}-phone`);
  }
  await page.setViewportSize({ width: 1280, height: 800 });
}

async function look(page) {
  await open(page, 'prices');
  await page.waitForSelector('.chart .line.price', { state: 'attached' }); // a price that stands still has no height
  await page.evaluate(() => { window.first = document.querySelector('.chart .line.price').getAttribute('d'); });
  await page.waitForFunction(() => document.querySelector('.chart .line.price').getAttribute('d') !== window.first);
  await picture(page, 'prices');
  await open(page, 'fleet');
  await page.waitForSelector('.node .slice');
  await picture(page, 'fleet');
  await open(page, 'accounts');
  await page.waitForSelector('table');
  await picture(page, 'accounts');
}

async function leave(page) {
  await page.click('text=Sign out');
  await page.waitForSelector('#code');
  await page.reload();
  await page.waitForSelector('#code');
  await page.fill('#code', 'not-a-code');
  await page.press('#code', 'Enter');
  await page.waitForFunction(() => document.querySelector('.trouble')?.textContent);
  await picture(page, 'sign-in');
}

// Chromium's sandbox does not work for root, as which tests in a container run.
const browser = await playwright.launch({ executablePath: chromium, args: [...(process.getuid() === 0 ? ['--no-sandbox'] : []), '--disable-dev-shm-usage'] });
try {
  const context = await browser.newContext({ viewport: { width: 1280, height: 800 }, colorScheme: process.env.SCHEME ?? 'light' });
  const page = await context.newPage();
  page.setDefaultTimeout(PATIENCE_MS);
  const troubles = [];
  let feeds = 0;
  page.on('request', (request) => {
    const path = new URL(request.url()).pathname;
    if (path === '/v1/console/session' && page.url().includes('code=')) troubles.push('the code is still in the address');
    if (path === '/v1/events' && ++feeds > 1 && !request.headers()['last-event-id']) troubles.push('the feed is not resumed');
  });
  page.on('pageerror', (error) => troubles.push(String(error)));
  page.on('console', (message) => { if (/Content Security Policy/.test(message.text())) troubles.push(message.text()); });
  await signIn(page);
  const id = await submit(page);
  await watch(page, id);
  await look(page);
  await narrow(page);
  await leave(page);
  assert.deepEqual(troubles, []);
} finally {
  await browser.close();
}
