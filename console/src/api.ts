// SPDX-License-Identifier: Apache-2.0
// Requests to the server that sent this page. The session is a cookie that no script can read.

export class ApiError extends Error {
  constructor(readonly status: number, readonly code: string, readonly field: string, message: string) {
    super(message);
  }
  /** The field's path goes first, as the command line says it. */
  get sentence(): string {
    return this.field ? `${this.field}: ${this.message}` : this.message;
  }
}

async function errorOf(answer: Response): Promise<ApiError> {
  try {
    const { error } = (await answer.json()) as { error: { code: string; field?: string; message: string } };
    return new ApiError(answer.status, error.code, error.field ?? '', error.message);
  } catch {
    return new ApiError(answer.status, 'unavailable', '', `the server answered ${answer.status}`);
  }
}

let whenSignedOut = (): void => {};

/** Called at each answer that says there is no session (any more). */
export function onSignedOut(callback: () => void): void {
  whenSignedOut = callback;
}

export async function request(path: string, init: RequestInit = {}): Promise<Response> {
  let answer: Response;
  try {
    answer = await fetch(path, { credentials: 'same-origin', cache: 'no-store', ...init });
  } catch (error) {
    if (init.signal?.aborted) throw error;
    throw new ApiError(0, 'unavailable', '', 'the server does not answer');
  }
  if (answer.ok) return answer;
  if (answer.status === 401 && path !== '/v1/console/session') whenSignedOut();
  throw await errorOf(answer);
}

export async function get<T>(path: string, signal?: AbortSignal): Promise<T> {
  return (await request(path, signal ? { signal } : {})).json() as Promise<T>;
}

export async function send<T>(method: string, path: string, body?: unknown): Promise<T> {
  const init: RequestInit = { method };
  if (body !== undefined) {
    init.body = JSON.stringify(body);
    init.headers = { 'Content-Type': 'application/json' };
  }
  const text = await (await request(path, init)).text();
  return (text ? JSON.parse(text) : {}) as T;
}

export async function sendYaml<T>(path: string, yaml: string, key?: string): Promise<T> {
  const headers: Record<string, string> = { 'Content-Type': 'application/yaml' };
  if (key) headers['Idempotency-Key'] = key;
  return (await request(path, { method: 'POST', body: yaml, headers })).json() as Promise<T>;
}

/** Random text for an Idempotency-Key (randomUUID would need TLS beyond loopback). */
export function freshKey(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (b) => b.toString(16).padStart(2, '0')).join('');
}
