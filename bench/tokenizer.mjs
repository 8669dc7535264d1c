// SPDX-License-Identifier: Apache-2.0
//
// How fast entente counts tokens beside js-tiktoken, in one run, on the same texts. Each figure is the median of three.
//
//   node bench/tokenizer.mjs ENCODE_PIPE FOLDER_WITH_node_modules
//
// ENCODE_PIPE is build/t/00-unit/tokenizer/encode_pipe; the folder is build/src/neutral/vocabulary.
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { LANGUAGES, generator, prose } from '../t/00-unit/tokenizer/corpus.mjs';

const [pipe, modules] = process.argv.slice(2);
if (!modules) { console.error('usage: node tokenizer.mjs ENCODE_PIPE FOLDER_WITH_node_modules'); process.exit(2); }
const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const require = createRequire(join(resolve(modules), 'package.json'));
const { Tiktoken } = require('js-tiktoken/lite');
const SIZE = 400000;

function shuffled(text, seed) { // the same words in another order, up to SIZE
  const next = generator(seed);
  const words = text.split(/(?<=\s)/);
  let out = '';
  while (out.length < SIZE) out += words[next(words.length)];
  return out;
}

const TEXTS = {
  'English prose': shuffled(readFileSync(join(root, 'LICENSE'), 'utf8').replace(/\s+/g, ' '), 1),
  'C and JavaScript': ['src/neutral/tokenizer.c', 'tools/vocabulary/generate.mjs'].map((f) => readFileSync(join(root, f), 'utf8')).join('').repeat(9),
  'Chinese, Japanese': shuffled(`${LANGUAGES.Chinese} ${LANGUAGES.Japanese} `.replace(/(?<=[、,，:])/g, ' '), 2),
  'Hindi, Thai, Arabic': shuffled(`${LANGUAGES.Hindi} ${LANGUAGES.Thai} ${LANGUAGES.Arabic} `, 3),
  'fifty scripts and code': prose(5, SIZE),
  'a run of one letter, 2 KB': 'a'.repeat(2000), // js-tiktoken's time grows with the square of this
};

function record(encoding, bytes) {
  const head = Buffer.alloc(8);
  head.writeUInt32LE(encoding, 0);
  head.writeUInt32LE(bytes.length, 4);
  return Buffer.concat([head, bytes]);
}

function entente(encoding, bytes) {
  const rounds = Math.max(1, Math.round(4e6 / bytes.length));
  const { status, stdout, stderr } = spawnSync(pipe, ['time', `${rounds}`], { input: record(encoding, bytes) });
  if (status !== 0) throw new Error(`${pipe}: ${stderr}`);
  const [ns, tokens] = `${stdout}`.split(' ').map(Number);
  return { speed: (bytes.length * rounds) / ns * 1e3, tokens };
}

function tiktoken(encoder, text, bytes) {
  const start = process.cpuUsage();
  const tokens = encoder.encode(text, [], []).length;
  const { user, system } = process.cpuUsage(start);
  return { speed: bytes.length / (user + system), tokens };
}

function median(run) {
  const runs = [run(), run(), run()].sort((a, b) => a.speed - b.speed);
  return runs[1];
}

console.log('MB/s of CPU time, one thread      entente  js-tiktoken   ratio');
['o200k_base', 'cl100k_base'].forEach((name, encoding) => {
  const encoder = new Tiktoken(require(`js-tiktoken/ranks/${name}`));
  for (const [title, text] of Object.entries(TEXTS)) {
    const bytes = Buffer.from(text);
    const ours = median(() => entente(encoding, bytes));
    const theirs = median(() => tiktoken(encoder, text, bytes));
    if (ours.tokens !== theirs.tokens) throw new Error(`${title}: ${ours.tokens} tokens, js-tiktoken says ${theirs.tokens}`);
    console.log(`${name.slice(0, 6)}  ${title.padEnd(25)} ${ours.speed.toFixed(1).padStart(8)} ${theirs.speed.toFixed(2).padStart(12)} ${(ours.speed / theirs.speed).toFixed(0).padStart(7)}`);
  }
});
