// SPDX-License-Identifier: Apache-2.0
// What the tests stand on: simulated providers, gateways before them, and SDK clients whose every HTTP answer is noted. `audit` holds what
// a test caused against the provider's own count and against the gateway's usage records.
import { strict as assert } from 'node:assert';
import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import OpenAI, { AzureOpenAI } from 'openai';

const PROGRAM = process.env.ENTENTE_PROGRAM;
export const KEY = 'sk-sdk-tests-key';
const running = new Set();
process.on('exit', () => running.forEach((child) => child.kill('SIGKILL')));

export const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

export async function eventually(check, what, seconds = 20) {
  for (const until = Date.now() + seconds * 1000; Date.now() < until; await sleep(20)) {
    const found = await check();
    if (found) return found;
  }
  throw new Error(`waited ${seconds} s for ${what}`);
}

function start(args, env = {}) {
  const child = spawn(PROGRAM, args, { env: { ...process.env, ...env }, stdio: ['ignore', 'pipe', 'pipe'] });
  let log = '';
  running.add(child);
  child.stderr.on('data', (data) => { log = (log + data).slice(-20000); });
  child.exited = new Promise((resolve) => child.on('exit', (code, signal) => { running.delete(child); resolve(signal ?? code); }));
  const lines = createInterface({ input: child.stdout });
  child.ready = new Promise((resolve, reject) => {
    lines.once('line', (line) => resolve(line.replace(/^listening on /, '')));
    child.on('error', reject);
    child.exited.then((code) => reject(new Error(`${PROGRAM} ${args.join(' ')} ended with ${code}: ${log}`)));
  });
  child.ready.catch(() => {});
  child.log = () => log;
  child.stop = async () => { child.kill('SIGTERM'); return child.exited; };
  return child;
}

// A simulated provider: { faults: ['rate:100ms@1'], dialect, args }
export async function startSim({ dialect = 'openai', faults = [], args = [] } = {}) {
  const child = start(['sim', '--listen', '127.0.0.1:0', '--dialect', dialect, '--ttft', '1ms', '--rate', '2000', '--seed', '7', ...args,
    ...faults.flatMap((f) => ['--fault', f])]);
  const url = await child.ready;
  return {
    url, dialect, stop: child.stop,
    async count() { return (await fetch(`${url}/sim/count`)).json(); },
    // once no answer is under way
    async settled() {
      return eventually(async () => {
        const c = await this.count();
        return c.requests === c.answered + c.broken + c.refused && c;
      }, 'the simulated provider to end every answer');
    },
  };
}

// A gateway before sims: { providers: { name: { sim, options } }, models: YAML, more: YAML }
export async function startGateway({ providers, models, more = '' }) {
  const folder = mkdtempSync(join(tmpdir(), 'entente-sdk-'));
  const provider = ([name, { sim, options = '' }]) => `  ${name}: {dialect: ${sim.dialect}, url: '${sim.url}${sim.dialect === 'openai' ? '/v1' : ''}', credential: env:PROVIDER_KEY${options}}\n`;
  writeFileSync(join(folder, 'entente.yaml'), `listen: 127.0.0.1:0\ndata: ${folder}/data\nworkers: 2\nproviders:\n${Object.entries(providers).map(provider).join('')}`
    + `models:\n${models}keys:\n  - {name: sdk, secret: env:SDK_KEY, department: tests}\n${more}`);
  const child = start(['serve', '--config', join(folder, 'entente.yaml')], { SDK_KEY: KEY, PROVIDER_KEY: 'sk-of-the-gateway' });
  const url = await child.ready;
  return {
    url,
    records() {
      const done = spawnSync(PROGRAM, ['ledger', 'export', '--format', 'json', '--data', join(folder, 'data')], { encoding: 'utf8', maxBuffer: 1 << 28 });
      if (done.status !== 0) throw new Error(`entente ledger export: ${done.stderr}`);
      return done.stdout.split('\n').slice(0, -1).map((line) => JSON.parse(line)).filter((e) => e.outcome !== undefined && e.attempt === undefined);
    },
    async stop() {
      const code = await child.stop();
      rmSync(folder, { recursive: true, force: true });
      assert.equal(code, 0, `the gateway ended with ${code}: ${child.log()}`);
    },
  };
}

// One fetch of an SDK, with its answers noted.
function noting(answers) {
  return async (url, init) => {
    const entry = { at: Date.now(), retry: new Headers(init?.headers).get('x-stainless-retry-count') };
    answers.push(entry);
    const response = await fetch(url, init);
    entry.status = response.status;
    entry.headers = response.headers;
    return response;
  };
}

// A stand: where SDKs talk to, with its clients. `kind` is how the client speaks: openai or azure.
export function stand({ name, sim, gateway, base, kind = 'openai', model = 'gpt-4o', embedding = 'text-embedding-3-small' }) {
  const answers = [];
  const url = gateway ? gateway.url : sim.url;
  const options = { apiKey: KEY, maxRetries: 0, timeout: 60_000, fetch: noting(answers) };
  const client = (more = {}) => (kind === 'azure'
    ? new AzureOpenAI({ ...options, endpoint: url, apiVersion: '2024-10-21', ...more })
    : new OpenAI({ ...options, baseURL: url + base, ...more }));
  return { name, sim, gateway, model, embedding, answers, url, client, openai: client() };
}

const DELTA = ['requests', 'answered', 'broken', 'refused', 'input_tokens', 'output_tokens', 'broken_input_tokens', 'broken_output_tokens'];
const INPUT = ['input', 'cache_read', 'cache_write', 'cache_write_1h', 'input_audio', 'input_image'];
const OUTPUT = ['output', 'reasoning', 'output_audio', 'output_image'];
const sum = (records, classes) => records.reduce((n, r) => n + classes.reduce((m, c) => m + (r.usage[c] ?? 0), 0), 0);

// Runs `body(openai)` and checks what it left: the provider's own count equals the sum of the records to the token, and each answer that
// the client saw has exactly one record. Returns { result, delta, records }. `asked`: requests the client made that have no answer.
export async function audit(s, body, { unanswered = 0, exact = true } = {}) {
  const before = await s.sim.settled();
  const old = s.gateway ? s.gateway.records().length : 0;
  s.answers.length = 0;
  let result;
  try {
    result = await body(s.openai);
  } catch (e) {
    await sleep(500); // its records are not the next test's
    throw e;
  }
  const answered = s.answers.filter((a) => a.status);
  const wanted = answered.length + unanswered;
  let records = [];
  if (s.gateway) {
    records = await eventually(() => { const r = s.gateway.records().slice(old); return r.length >= wanted && r; }, `${wanted} records`);
    await sleep(20);
    records = s.gateway.records().slice(old);
    assert.equal(records.length, wanted, 'one record per request');
    assert.equal(new Set(records.map((r) => r.id)).size, wanted, 'no request has two records');
    const ids = new Set(records.map((r) => r.id));
    for (const a of answered) assert.ok(ids.has(a.headers.get('x-entente-request-id')), 'the answer has its record');
  }
  const after = await s.sim.settled();
  const delta = Object.fromEntries(DELTA.map((k) => [k, after[k] - before[k]]));
  if (s.gateway && exact) {
    assert.equal(sum(records, INPUT), delta.input_tokens + delta.broken_input_tokens, 'input tokens of the records and of the provider');
    assert.equal(sum(records, OUTPUT), delta.output_tokens + delta.broken_output_tokens, 'output tokens of the records and of the provider');
  }
  return { result, delta, records };
}

// The usage that the client was shown is what the provider counted.
export function sameUsage(usage, delta) {
  assert.equal(usage.prompt_tokens, delta.input_tokens, 'prompt tokens');
  if ('completion_tokens' in usage) assert.equal(usage.completion_tokens, delta.output_tokens, 'completion tokens');
  assert.equal(usage.total_tokens, delta.input_tokens + delta.output_tokens, 'total tokens');
}

export async function collect(stream) {
  const chunks = [];
  for await (const chunk of stream) chunks.push(chunk);
  return chunks;
}

export const textOf = (chunks, index = 0) => chunks.flatMap((c) => c.choices).filter((c) => c.index === index).map((c) => c.delta?.content ?? c.text ?? '').join('');
export const say = (n) => [{ role: 'user', content: `Please say exactly ${n} tokens of anything` }];
