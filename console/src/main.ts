// SPDX-License-Identifier: Apache-2.0
// The frame of the console: who is signed in, which page is shown, whether the feed is live.

import { get, onSignedOut, send } from './api.js';
import { fill, h } from './dom.js';
import { EventFeed, type Status } from './events.js';
import type { Prices } from './types.js';
import { Page, notice, sentence } from './view.js';
import { accountsPage } from './views/accounts.js';
import { fleetPage } from './views/fleet.js';
import { pricesPage } from './views/prices.js';
import { queuePage } from './views/queue.js';
import { signInPage } from './views/sign_in.js';
import { submitPage } from './views/submit.js';
import { workloadPage } from './views/workload.js';

const app = document.getElementById('app')!;
const main = h('main', {});
const light = h('span', { class: 'feed', 'data-feed': 'connecting', role: 'status' }, 'connecting');
const feed = new EventFeed(showStatus);
let page: Page | null = null;
let signedIn = false;

const PAGES: Record<string, (page: Page) => void> = {
  prices: pricesPage, fleet: fleetPage, queue: queuePage, accounts: accountsPage, submit: submitPage,
};
const NAMES: [string, string][] = [
  ['prices', 'Prices'], ['fleet', 'Fleet'], ['queue', 'Queue'], ['accounts', 'Accounts'],
];

function showStatus(status: Status): void {
  light.dataset['feed'] = status;
  fill(light, status === 'live' ? 'live' : status === 'broken' ? 'no connection' : 'connecting');
}

function frame(): void {
  const nav = h('nav', { 'aria-label': 'pages' },
    ...NAMES.map(([path, name]) => h('a', { href: `#/${path}`, 'data-page': path }, name)));
  const signOut = h('button', { class: 'quiet', type: 'button', on: { click: () => void leave() } }, 'Sign out');
  fill(app,
    h('header', {}, h('a', { class: 'brand', href: '#/prices' }, logo(), 'Tessera'), nav,
      h('span', { class: 'spring' }), light,
      h('a', { class: 'button', href: '#/submit', 'data-page': 'submit' }, 'Submit'), signOut),
    main);
}

function logo(): HTMLElement {
  return h('span', { class: 'logo', 'aria-hidden': 'true' }, h('i'), h('i'), h('i'), h('i'));
}

async function leave(): Promise<void> {
  try { await send('DELETE', '/v1/console/session'); } catch (error) { notice(sentence(error)); }
  askForCode();
}

function askForCode(code = ''): void {
  signedIn = false;
  feed.stop();
  page?.end();
  page = null;
  fill(app, main);
  signInPage(main, code, enter);
}

function enter(): void {
  signedIn = true;
  frame();
  feed.start();
  route();
}

function route(): void {
  if (!signedIn) { void start(); return; }
  const [name = '', id = ''] = location.hash.replace(/^#\/?/, '').split('/');
  page?.end();
  const root = h('div', { class: 'page' });
  page = new Page(root, feed);
  fill(main, root);
  document.querySelectorAll('[data-page]').forEach((link) =>
    link.getAttribute('data-page') === name
      ? link.setAttribute('aria-current', 'page') : link.removeAttribute('aria-current'));
  if (name === 'workload' && id) workloadPage(page, decodeURIComponent(id));
  else if (PAGES[name]) PAGES[name](page);
  else location.replace('#/prices');
}

/** A link with a code signs in at once; the code leaves the address before anything else. */
async function start(): Promise<void> {
  const code = /^#code=([\w-]+)$/.exec(location.hash)?.[1];
  if (code) {
    history.replaceState(null, '', '/');
    askForCode(code);
    return;
  }
  try {
    await get<Prices>('/v1/prices');
    enter();
  } catch (error) {
    askForCode();
    if (!(error instanceof Error && 'status' in error && error.status === 401)) notice(sentence(error));
  }
}

onSignedOut(() => { if (signedIn) askForCode(); });
addEventListener('hashchange', route);
void start();
