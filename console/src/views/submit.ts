// SPDX-License-Identifier: Apache-2.0
import { freshKey, sendYaml } from '../api.js';
import { fill, h } from '../dom.js';
import { money, rate } from '../format.js';
import type { Created, Quote, QuoteLine } from '../types.js';
import { sentence, table, type Page } from '../view.js';

const EXAMPLE = `name: hello
num_nodes: 1

resources:
  cpus: 0.25
  memory: 0.125

run: |
  for step in 1 2 3 4 5; do
    echo "step $step of 5"
    sleep 1
  done

market:
  preemptible: true
  priority: normal
`;

const FREEDOMS: Record<string, string> = {
  as_is: 'As it stands', preemptible: 'Allow preemption', any_rack: 'Any rack', other_skus: 'Other SKUs', later: 'Finish later',
};

function line(quoted: QuoteLine): (HTMLElement | string)[] {
  const saves = quoted.saves_udollar_per_hour ?? 0;
  return [
    FREEDOMS[quoted.freedom] ?? quoted.freedom,
    quoted.fits ? rate(quoted.rate_udollar_per_hour) : '–',
    saves > 0 ? rate(saves) : '',
    quoted.above_limit ? 'not at this limit' : quoted.starts_now ? 'now' : quoted.fits ? 'waits' : 'does not fit',
    quoted.text ?? '',
  ];
}

function quoteTable(quote: Quote): HTMLElement {
  const lines = (quote.lines ?? []).filter((l) => l.offered || l.freedom === 'as_is');
  return h('div', {}, h('h2', {}, `Quote for ${quote.name || 'this workload'}`),
    h('p', {}, `${quote.nodes ?? 1} node${quote.nodes === 1 ? '' : 's'}, ${quote.kind ?? 'preemptible'}, limit ${money(quote.limit_udollar_per_hour)} per unit-hour.`),
    table(['Freedom', '#Price', '#Saves', 'Starts', ''], lines.map(line), 'No price known.'));
}

/** Quote first; the same text can then be submitted. Another text must be quoted again. */
export function submitPage(page: Page): void {
  const text = h('textarea', { id: 'task', name: 'task', rows: 18, spellcheck: 'false', wrap: 'off' });
  text.value = EXAMPLE;
  const trouble = h('p', { class: 'trouble', role: 'alert' });
  const result = h('section', { class: 'card', hidden: true });
  const quoteButton = h('button', { type: 'submit', id: 'quote' }, 'Quote');
  const submitButton = h('button', { type: 'button', id: 'submit', disabled: true }, 'Submit');
  let key = freshKey();
  const changed = (): void => {
    submitButton.disabled = true;
    key = freshKey(); // one text, one workload, however often it is pressed or the answer is lost
  };
  const doing = async (button: HTMLButtonElement, work: () => Promise<void>): Promise<void> => {
    button.disabled = true;
    fill(trouble);
    try { await work(); } catch (error) { fill(trouble, sentence(error)); }
    button.disabled = false;
  };
  const quote = (): Promise<void> => doing(quoteButton, async () => {
    const asked = text.value;
    fill(result, quoteTable(await sendYaml<Quote>('/v1/quote', asked)));
    result.hidden = false;
    submitButton.disabled = text.value !== asked;
  });
  const submit = (): Promise<void> => doing(submitButton, async () => {
    const made = await sendYaml<Created>('/v1/workloads', text.value, key);
    if (!page.signal.aborted) location.hash = `#/workload/${made.id}`;
  });
  text.addEventListener('input', changed);
  submitButton.addEventListener('click', () => void submit());
  fill(page.root, h('h1', {}, 'Submit'),
    h('form', { class: 'card submit', on: { submit: (event: Event) => { event.preventDefault(); void quote(); } } },
      h('label', { for: 'task' }, 'Task file'), text,
      h('p', { class: 'hint' }, 'A task with files of yours (workdir, file_mounts) is submitted from the command line: tessera run FILE.'),
      trouble, h('div', { class: 'buttons' }, quoteButton, submitButton)),
    result);
}
