// SPDX-License-Identifier: Apache-2.0
//
// Writes the tokenizer's read-only table from the vocabularies of npm's js-tiktoken and from the Unicode classes
// of the JavaScript engine that runs this. src/neutral/tokenizer_table.h specifies the format; keep both in step.
//
//   node generate.mjs OUT.bin OUT.S
//
// The package is installed beside OUT.bin, never in the source tree; `npm ci` holds it to the lock file's hash.
import { execFileSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { basename, dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const ENCODINGS = ['o200k_base', 'cl100k_base'];
const TOKEN_BYTES_MAX = 128;
const [OFFSET_BITS, LENGTH_BITS, ID_BITS] = [21n, 7n, [18n, 17n]];
const KEYS_PER_BUCKET = 4;
const LOAD = 0.98; // a few free slots make the last buckets easy to place
const BLOCK = 128; // code points per block of the class table

function install(folder) {
  const here = dirname(fileURLToPath(import.meta.url));
  mkdirSync(folder, { recursive: true });
  for (const name of ['package.json', 'package-lock.json', '.npmrc']) copyFileSync(join(here, name), join(folder, name));
  try {
    execFileSync('npm', ['ci', '--ignore-scripts', '--prefer-offline', '--no-update-notifier'], { cwd: folder, stdio: 'pipe' });
  } catch (error) {
    console.error(`cannot install the vocabularies in ${folder}: npm ci said\n${error.stderr ?? error.message}`);
    process.exit(1);
  }
  return createRequire(join(folder, 'package.json'));
}

// Tokens are strings of one character per byte here. Returns id -> token, checked to be complete.
function readVocabulary({ bpe_ranks: ranks }) {
  const tokens = [];
  for (const line of ranks.split('\n').filter(Boolean)) {
    const [, first, ...encoded] = line.split(' ');
    encoded.forEach((token, i) => { tokens[Number(first) + i] = Buffer.from(token, 'base64').toString('latin1'); });
  }
  const distinct = new Set(tokens);
  if (distinct.size !== tokens.length) throw new Error('a vocabulary with holes or doubles');
  for (let byte = 0; byte < 256; byte++)
    if (!distinct.has(String.fromCharCode(byte))) throw new Error(`byte ${byte} is no token`);
  return tokens;
}

// One text in which every token occurs: longest first, and a token seen inside an earlier one costs nothing.
function layOutText(tokens) {
  const at = new Map();
  const known = new Set(tokens);
  const parts = [];
  let length = 0;
  for (const token of [...tokens].sort((a, b) => b.length - a.length)) {
    if (at.has(token)) continue;
    for (let from = 0; from < token.length; from++)
      for (let to = from + 1; to <= token.length; to++) {
        const inner = token.slice(from, to);
        if (known.has(inner) && !at.has(inner)) at.set(inner, length + from);
      }
    parts.push(token);
    length += token.length;
  }
  return { at, text: Buffer.from(parts.join(''), 'latin1') };
}

// The hash of tokenizer.c's hash_bytes, byte for byte.
const M1 = 0x9e6c63d0876a9a35n, M2 = 0xc2d0be7d4f1ab28dn;
const u64 = (x) => BigInt.asUintN(64, x);
function hash(bytes) {
  const n = bytes.length;
  let a = u64(BigInt(n) * M1), b;
  if (n < 4) {
    b = BigInt(bytes[0] | (bytes[n >> 1] << 8) | (bytes[n - 1] << 16));
  } else if (n <= 8) {
    b = BigInt(bytes.readUInt32LE(0)) | (BigInt(bytes.readUInt32LE(n - 4)) << 32n);
  } else {
    for (let i = 0; i + 8 < n; i += 8) {
      a = u64((a ^ bytes.readBigUInt64LE(i)) * M1);
      a ^= a >> 29n;
    }
    b = bytes.readBigUInt64LE(n - 8);
  }
  const h = u64((a ^ b) * M2);
  return u64((h ^ (h >> 32n)) * M1);
}

const scale = (x, n) => Math.floor((x * n) / 2 ** 32); // x * n < 2**53
const slotOf = (low, displacement, slots) =>
  scale(Math.imul(low ^ Math.imul(displacement, 0x9e3779b1), 0x85ebca6b) >>> 0, slots);

// Hash and displace: each bucket gets the first displacement that sends all its keys to free slots, big buckets first.
function placeTokens(tokens) {
  const slots = Math.ceil(tokens.length / LOAD);
  const buckets = Math.ceil(tokens.length / KEYS_PER_BUCKET);
  const members = Array.from({ length: buckets }, () => []);
  for (const token of tokens) {
    const h = hash(Buffer.from(token, 'latin1'));
    members[scale(Number(h >> 32n), buckets)].push({ token, low: Number(h & 0xffffffffn) | 0 });
  }
  const displacements = new Uint16Array(buckets);
  const taken = new Array(slots).fill(null);
  const order = members.map((_, i) => i).sort((a, b) => members[b].length - members[a].length);
  for (const bucket of order) {
    const keys = members[bucket];
    let d = 0;
    search: for (;; d++) {
      if (d > 0xffff) throw new Error('no displacement left: change a multiplier of the hash');
      const wanted = [];
      for (const key of keys) {
        const slot = slotOf(key.low, d, slots);
        if (taken[slot] !== null || wanted.includes(slot)) continue search;
        wanted.push(slot);
      }
      keys.forEach((key, i) => { taken[wanted[i]] = key.token; });
      break;
    }
    displacements[bucket] = d;
  }
  return { displacements, taken };
}

function packSlots(taken, at, ids) {
  const slots = new BigUint64Array(taken.length);
  taken.forEach((token, i) => {
    if (token === null) return void (slots[i] = u64(-1n));
    let word = BigInt(at.get(token)) | (BigInt(token.length - 1) << OFFSET_BITS);
    let shift = OFFSET_BITS + LENGTH_BITS;
    ids.forEach((idOf, e) => {
      const none = (1n << ID_BITS[e]) - 1n;
      word |= BigInt(idOf.get(token) ?? none) << shift;
      shift += ID_BITS[e];
    });
    slots[i] = word;
  });
  return slots;
}

// The order is that of enum tokenizer_class. The vocabularies' patterns ask for exactly these.
function classOf(codePoint) {
  const c = String.fromCodePoint(codePoint);
  if (c === "'") return 9;
  if (c === '/') return 10;
  if (c === ' ') return 7;
  if (c === '\r' || c === '\n') return 6;
  if (/\s/u.test(c)) return 8;
  if (/[\p{Lu}\p{Lt}]/u.test(c)) return 1;
  if (/\p{Ll}/u.test(c)) return 2;
  if (/[\p{Lm}\p{Lo}]/u.test(c)) return 3;
  if (/\p{M}/u.test(c)) return 4;
  if (/\p{N}/u.test(c)) return 5;
  return 0;
}

function classTable() {
  const index = new Uint8Array(0x110000 / BLOCK);
  const blocks = [];
  const seen = new Map();
  for (let b = 0; b < index.length; b++) {
    const block = Buffer.from(Array.from({ length: BLOCK }, (_, i) => classOf(b * BLOCK + i)));
    const key = block.toString('latin1');
    if (!seen.has(key)) { seen.set(key, blocks.length); blocks.push(block); }
    index[b] = seen.get(key);
  }
  if (blocks.length > 256) throw new Error('more class blocks than a byte can name');
  return { index: Buffer.from(index), blocks: Buffer.concat(blocks) };
}

const bytesOf = (array) => Buffer.from(array.buffer, array.byteOffset, array.byteLength);

function assemble(sections) {
  const header = Buffer.alloc(64);
  header.write('ENTTOK1\0', 0, 'latin1');
  const parts = [header];
  let at = header.length;
  for (const [field, bytes] of sections) {
    header.writeUInt32LE(at, field);
    header.writeUInt32LE(bytes.length, field + 4);
    const padded = Buffer.alloc(Math.ceil(bytes.length / 64) * 64);
    bytes.copy(padded);
    parts.push(padded);
    at += padded.length;
  }
  return Buffer.concat(parts);
}

const ASSEMBLY = (name) => `/* SPDX-License-Identifier: Apache-2.0
 *
 * Generated by tools/vocabulary/generate.mjs: puts the table into the program's read-only data.
 */
#ifdef __APPLE__
#define SYMBOL _tokenizer_table
    .section __TEXT,__const
    .private_extern SYMBOL
#else
#define SYMBOL tokenizer_table
    .section .rodata.tokenizer_table, "a", %progbits
    .hidden SYMBOL
    .type SYMBOL, %object
#endif
    .globl SYMBOL
    .balign 4096
SYMBOL:
    .incbin "${name}"
#ifdef __ELF__
    .size SYMBOL, . - SYMBOL
    .section .note.GNU-stack, "", %progbits
#endif
`;

function main(bin, assembly) {
  if (new Uint8Array(new Uint16Array([1]).buffer)[0] !== 1) throw new Error('the table is little-endian');
  const require = install(join(dirname(resolve(bin)), 'vocabulary'));
  const vocabularies = ENCODINGS.map((name) => readVocabulary(require(`js-tiktoken/ranks/${name}`)));
  const tokens = [...new Set(vocabularies.flat())];
  if (tokens.some((t) => t.length > TOKEN_BYTES_MAX)) throw new Error('a token is longer than the table can say');
  vocabularies.forEach((v, e) => { if (v.length >= 2 ** Number(ID_BITS[e])) throw new Error('ids need more bits'); });
  const { at, text } = layOutText(tokens);
  if (text.length >= 2 ** Number(OFFSET_BITS)) throw new Error('the text needs more bits');
  const { displacements, taken } = placeTokens(tokens);
  const ids = vocabularies.map((v) => new Map(v.map((token, id) => [token, id])));
  const classes = classTable();
  writeFileSync(bin, assemble([
    [8, bytesOf(packSlots(taken, at, ids))],
    [16, bytesOf(displacements)],
    [24, text],
    [32, classes.index],
    [40, classes.blocks],
  ]));
  writeFileSync(assembly, ASSEMBLY(basename(bin)));
}

if (process.argv.length !== 4 || !existsSync(dirname(resolve(process.argv[2])))) {
  console.error('usage: node generate.mjs OUT.bin OUT.S   (in a folder that exists)');
  process.exit(2);
}
main(process.argv[2], process.argv[3]);
