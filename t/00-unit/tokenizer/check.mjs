// SPDX-License-Identifier: Apache-2.0
//
// Every text of the corpus, token by token, against js-tiktoken. Prints TAP.
//
//   node check.mjs ENCODE_PIPE FOLDER_WITH_node_modules
import { spawnSync } from 'node:child_process';
import { createRequire } from 'node:module';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { corpus } from './corpus.mjs';

const [pipe, modules] = process.argv.slice(2);
if (!modules) { console.error('usage: node check.mjs ENCODE_PIPE FOLDER_WITH_node_modules'); process.exit(2); }
const root = join(dirname(fileURLToPath(import.meta.url)), '../../..');
const require = createRequire(join(resolve(modules), 'package.json'));
const { Tiktoken } = require('js-tiktoken/lite');
const ENCODINGS = ['o200k_base', 'cl100k_base'];

function ours(encoding, texts) {
  const parts = [];
  for (const text of texts) {
    const bytes = Buffer.from(text);
    const head = Buffer.alloc(8);
    head.writeUInt32LE(encoding, 0);
    head.writeUInt32LE(bytes.length, 4);
    parts.push(head, bytes);
  }
  const { status, signal, stdout, stderr } = spawnSync(pipe, { input: Buffer.concat(parts), maxBuffer: 2 ** 30 });
  if (status !== 0) throw new Error(`${pipe} ended with ${status ?? signal}: ${stderr}`);
  const words = new Uint32Array(stdout.buffer.slice(stdout.byteOffset, stdout.byteOffset + stdout.length));
  const answers = [];
  for (let at = 0; at < words.length; at += 1 + words[at]) answers.push(words.subarray(at + 1, at + 1 + words[at]));
  if (answers.length !== texts.length) throw new Error(`${answers.length} answers to ${texts.length} texts`);
  return answers;
}

// What a JavaScript program would see in these bytes.
const asString = (text) => (typeof text === 'string' ? text : new TextDecoder('utf-8', { ignoreBOM: true }).decode(text));

function differences(encoding, theirs, texts) {
  const found = [];
  let tokens = 0;
  ours(encoding, texts).forEach((answer, i) => {
    const wanted = theirs.encode(asString(texts[i]), [], []);
    tokens += wanted.length;
    if (wanted.length !== answer.length || wanted.some((id, k) => id !== answer[k])) found.push({ i, wanted, answer });
  });
  return { found, tokens };
}

// Each token as a text: its own piece or part of one, found whole or by merging. Those that are parts of characters are not text.
function everyToken(ranks) {
  return ranks.bpe_ranks.split('\n').filter(Boolean).flatMap((line) => line.split(' ').slice(2))
    .map((token) => `${Buffer.from(token, 'base64')}!`).filter((text) => !text.includes('\ufffd'));
}

let number = 0;
let failed = 0;
const written = Object.entries(corpus(root));
console.log(`1..${(written.length + 1) * ENCODINGS.length}`);
ENCODINGS.forEach((name, encoding) => {
  const ranks = require(`js-tiktoken/ranks/${name}`);
  const theirs = new Tiktoken(ranks);
  for (const [group, texts] of [...written, ['every token', everyToken(ranks)]]) {
    const { found, tokens } = differences(encoding, theirs, texts);
    const bytes = texts.reduce((sum, t) => sum + Buffer.byteLength(t), 0);
    for (const { i, wanted, answer } of found.slice(0, 5))
      console.log(`# ${JSON.stringify(asString(texts[i])).slice(0, 300)}\n#   js-tiktoken ${wanted.slice(0, 40)}\n#   entente     ${[...answer].slice(0, 40)}`);
    console.log(`${found.length ? 'not ' : ''}ok ${++number} - bills in ${name} count what OpenAI would: ${group}, ${texts.length} texts, ${bytes} bytes, ${tokens} tokens${found.length ? `, ${found.length} differ` : ''}`);
    failed += found.length ? 1 : 0;
  }
});
process.exit(failed ? 1 : 0);
