// SPDX-License-Identifier: Apache-2.0
import { send } from '../api.js';
import { fill, h } from '../dom.js';
import { sentence } from '../view.js';

/** Asks for the one-time code, or tries the one given; `done` is called once there is a session. */
export function signInPage(root: HTMLElement, given: string, done: () => void): void {
  const input = h('input', {
    id: 'code', name: 'code', required: true, autocomplete: 'one-time-code', spellcheck: 'false',
    autocapitalize: 'off',
  });
  const trouble = h('p', { class: 'trouble', role: 'alert' });
  const button = h('button', { type: 'submit' }, 'Sign in');
  const attempt = async (code: string): Promise<void> => {
    button.disabled = true;
    fill(trouble);
    try {
      await send('POST', '/v1/console/session', { code });
      done();
    } catch (error) {
      fill(trouble, sentence(error));
      button.disabled = false;
      input.focus();
    }
  };
  const submit = (event: Event): void => {
    event.preventDefault();
    void attempt(input.value.trim());
  };
  fill(root, h('form', { class: 'sign-in card', on: { submit } },
    h('h1', {}, 'Tessera'),
    h('p', {}, 'Type ', h('code', {}, 'tessera console'), ' on the machine of the server: it prints a code that signs in once.'),
    h('label', { for: 'code' }, 'One-time code'), input, button, trouble));
  if (given) void attempt(given);
  else input.focus();
}
